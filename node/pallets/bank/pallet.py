"""Bank: balances of accounts and the total supply of every denomination.

Other pallets move, mint and burn through the capability methods; users through `MsgSend` and
`MsgMultiSend`. A balance of zero is absent. An account comes to be when it first receives coins.

Invariants: the supply of a denomination equals the sum of its balances.
Source: Cosmos SDK x/bank, `reference/chain.md` sections 4.1 and 4.3.
"""

from __future__ import annotations

from typing import Any

from cosmos.bank.v1beta1 import bank_pb2, query_pb2, tx_pb2

from node.pallets.accounts.pallet import parse_query_addr
from node.pallets.accounts.types import AccountsCreate
from node.pallets.bank.errors import (
    InputOutputMismatch,
    MultipleSenders,
    NoInputs,
    NoOutputs,
    SendDisabled,
)
from node.pallets.bank.types import (
    MAX_RECIPIENTS,
    BankParams,
    CoinReceived,
    CoinsBurned,
    CoinsMinted,
    CoinSpent,
    Transferred,
)
from node.runtime.addresses import encode_account
from node.runtime.codecs import ADDRESS, AMOUNT, TEXT, ProtoCodec, pair
from node.runtime.coins import (
    BASE_DENOM,
    DENOM_PATTERN,
    DISPLAY_DENOM,
    build_coin,
    format_coins,
    parse_coins,
)
from node.runtime.context import Context
from node.runtime.errors import (
    InsufficientFunds,
    InvalidRequest,
    InvariantBroken,
    QueryInvalid,
    QueryNotFound,
    Unauthorized,
    ensure,
)
from node.runtime.paging import paginate
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.params import ParamsCodec
from node.runtime.parsing import parse_account
from node.runtime.storage import Item, Map, Schema


class BankSchema(Schema):
    """Storage of the bank; prefixes and layout as in the Cosmos SDK."""

    supply = Map(0x00, "supply", TEXT, AMOUNT)
    denom_metadata: Map[str, Any] = Map(0x01, "denom_metadata", TEXT, ProtoCodec(bank_pb2.Metadata))
    balances = Map(0x02, "balances", pair(ADDRESS, TEXT), AMOUNT)
    params = Item(0x05, "params", ParamsCodec(BankParams))


def build_base_metadata() -> Any:
    """Build the metadata of the base denomination."""
    units = [
        bank_pb2.DenomUnit(denom=BASE_DENOM, exponent=0),
        bank_pb2.DenomUnit(denom=DISPLAY_DENOM, exponent=6),
    ]
    return bank_pb2.Metadata(
        description="The coin of Descent",
        denom_units=units,
        base=BASE_DENOM,
        display=DISPLAY_DENOM,
        name="Descent",
        symbol=DISPLAY_DENOM,
    )


def get_input_addrs(message: Any) -> list[str]:
    """Get the signers of a MsgMultiSend."""
    return [entry.address for entry in message.inputs]


class BankPallet(Pallet[BankSchema]):
    """The bank pallet.

    Args:
        accounts: creates the account of a recipient.
    """

    name = "bank"
    index = 12
    schema = BankSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)
    params_messages = (tx_pb2.MsgUpdateParams, tx_pb2.MsgUpdateParamsResponse)
    errors = (NoInputs, NoOutputs, InputOutputMismatch, SendDisabled, MultipleSenders)
    events = (CoinSpent, CoinReceived, Transferred, CoinsMinted, CoinsBurned)

    def __init__(self, accounts: AccountsCreate) -> None:
        super().__init__()
        self._accounts = accounts

    # Capabilities

    def get_balance(self, ctx: Context, addr: bytes, denom: str = BASE_DENOM) -> int:
        """Get the balance of an account in units of `denom`."""
        return self.storage.balances.get_or(ctx, (addr, denom), 0)

    def get_supply(self, ctx: Context, denom: str = BASE_DENOM) -> int:
        """Get the total supply of a denomination."""
        return self.storage.supply.get_or(ctx, denom, 0)

    def transfer(
        self,
        ctx: Context,
        sender: bytes,
        recipient: bytes,
        amount: int,
        denom: str = BASE_DENOM,
    ) -> None:
        """Move coins between accounts. Nothing happens for 0.

        Raises: InsufficientFunds.
        Emits: CoinSpent, CoinReceived, Transferred.
        """
        if amount == 0:
            return
        self._debit(ctx, sender, amount, denom)
        self._credit(ctx, recipient, amount, denom)
        coins = f"{amount}{denom}"
        ctx.emit(Transferred(encode_account(recipient), encode_account(sender), coins))

    def mint(self, ctx: Context, recipient: bytes, amount: int, denom: str = BASE_DENOM) -> None:
        """Bring coins into being in an account. Nothing happens for 0.

        Emits: CoinReceived, CoinsMinted.
        """
        if amount == 0:
            return
        self.storage.supply.set(ctx, denom, self.get_supply(ctx, denom) + amount)
        self._credit(ctx, recipient, amount, denom)
        ctx.emit(CoinsMinted(encode_account(recipient), f"{amount}{denom}"))

    def burn(self, ctx: Context, holder: bytes, amount: int, denom: str = BASE_DENOM) -> None:
        """Destroy coins of an account. Nothing happens for 0.

        Raises: InsufficientFunds.
        Emits: CoinSpent, CoinsBurned.
        """
        if amount == 0:
            return
        self._debit(ctx, holder, amount, denom)
        self.storage.supply.set(ctx, denom, self.get_supply(ctx, denom) - amount)
        ctx.emit(CoinsBurned(encode_account(holder), f"{amount}{denom}"))

    def _debit(self, ctx: Context, addr: bytes, amount: int, denom: str) -> None:
        if amount < 0:
            raise ValueError(f"negative amount {amount}")
        balance = self.get_balance(ctx, addr, denom)
        ensure(
            balance >= amount,
            InsufficientFunds,
            f"spendable balance {balance}{denom} is smaller than {amount}{denom}",
        )
        self._set_balance(ctx, addr, denom, balance - amount)
        ctx.emit(CoinSpent(encode_account(addr), f"{amount}{denom}"))

    def _credit(self, ctx: Context, addr: bytes, amount: int, denom: str) -> None:
        if amount < 0:
            raise ValueError(f"negative amount {amount}")
        self._accounts.ensure_account(ctx, addr)
        balance = self.get_balance(ctx, addr, denom)
        self._set_balance(ctx, addr, denom, balance + amount)
        ctx.emit(CoinReceived(encode_account(addr), f"{amount}{denom}"))

    def _set_balance(self, ctx: Context, addr: bytes, denom: str, balance: int) -> None:
        if balance:
            self.storage.balances.set(ctx, (addr, denom), balance)
        else:
            self.storage.balances.delete(ctx, (addr, denom))

    # Calls

    @call(0, tx_pb2.MsgSend, tx_pb2.MsgSendResponse, signer="from_address")
    def send(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Send coins to one account.

        Raises: InvalidAddress, InvalidCoins, SendDisabled, Unauthorized, InsufficientFunds.
        Emits: CoinSpent, CoinReceived, Transferred.
        """
        recipient = self._parse_recipient(msg.to_address)
        coins = parse_coins(msg.amount)
        ensure(self.storage.params.expect(ctx).default_send_enabled, SendDisabled)
        for denom, amount in coins:
            self.transfer(ctx, origin, recipient, amount, denom)

    @call(1, tx_pb2.MsgMultiSend, tx_pb2.MsgMultiSendResponse, signer=get_input_addrs)
    def multi_send(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Send coins of one account to several.

        Raises: NoInputs, MultipleSenders, NoOutputs, InvalidRequest, InvalidAddress, InvalidCoins,
            InputOutputMismatch, SendDisabled, Unauthorized, InsufficientFunds.
        Emits: CoinSpent, CoinReceived, Transferred.
        """
        ensure(len(msg.inputs) > 0, NoInputs)
        ensure(len(msg.inputs) == 1, MultipleSenders)
        ensure(len(msg.outputs) > 0, NoOutputs)
        ensure(len(msg.outputs) <= MAX_RECIPIENTS, InvalidRequest, f"over {MAX_RECIPIENTS} outputs")
        ensure(self.storage.params.expect(ctx).default_send_enabled, SendDisabled)
        spent = parse_coins(msg.inputs[0].coins)
        left = dict(spent)
        outputs = [(self._parse_recipient(o.address), parse_coins(o.coins)) for o in msg.outputs]
        for _, coins in outputs:
            for denom, amount in coins:
                left[denom] = left.get(denom, 0) - amount
        ensure(not any(left.values()), InputOutputMismatch)
        # All of it leaves first: what a sender pays to itself must be there as well.
        for denom, amount in spent:
            self._debit(ctx, origin, amount, denom)
        for recipient, coins in outputs:
            for denom, amount in coins:
                self._credit(ctx, recipient, amount, denom)
                text = f"{amount}{denom}"
                ctx.emit(Transferred(encode_account(recipient), encode_account(origin), text))

    def _parse_recipient(self, text: str) -> bytes:
        recipient = parse_account(text, "to")
        is_blocked = self._accounts.is_module_addr(recipient)
        ensure(not is_blocked, Unauthorized, f"{text} is not allowed to receive funds")
        return recipient

    # Queries

    @query("Balance")
    def query_balance(self, ctx: Context, request: Any) -> Any:
        """Answer one balance, 0 if there is none."""
        addr = parse_query_addr(request.address)
        coin = build_coin(request.denom, self.get_balance(ctx, addr, parse_denom(request.denom)))
        return query_pb2.QueryBalanceResponse(balance=coin)

    @query("AllBalances")
    def query_all_balances(self, ctx: Context, request: Any) -> Any:
        """Answer every balance of an account."""
        addr = parse_query_addr(request.address)
        entries, page = paginate(ctx, self.storage.balances, request.pagination, (addr,))
        coins = [build_coin(denom, amount) for (_, denom), amount in entries]
        return query_pb2.QueryAllBalancesResponse(balances=coins, pagination=page)

    @query("SpendableBalances")
    def query_spendable_balances(self, ctx: Context, request: Any) -> Any:
        """Answer what an account may spend: all of it."""
        addr = parse_query_addr(request.address)
        entries, page = paginate(ctx, self.storage.balances, request.pagination, (addr,))
        coins = [build_coin(denom, amount) for (_, denom), amount in entries]
        return query_pb2.QuerySpendableBalancesResponse(balances=coins, pagination=page)

    @query("SpendableBalanceByDenom")
    def query_spendable_balance_by_denom(self, ctx: Context, request: Any) -> Any:
        """Answer what an account may spend of one denomination."""
        addr = parse_query_addr(request.address)
        coin = build_coin(request.denom, self.get_balance(ctx, addr, parse_denom(request.denom)))
        return query_pb2.QuerySpendableBalanceByDenomResponse(balance=coin)

    @query("TotalSupply")
    def query_total_supply(self, ctx: Context, request: Any) -> Any:
        """Answer the supply of every denomination."""
        entries, page = paginate(ctx, self.storage.supply, request.pagination)
        coins = [build_coin(denom, amount) for denom, amount in entries]
        return query_pb2.QueryTotalSupplyResponse(supply=coins, pagination=page)

    @query("SupplyOf")
    def query_supply_of(self, ctx: Context, request: Any) -> Any:
        """Answer the supply of one denomination."""
        amount = self.get_supply(ctx, parse_denom(request.denom))
        return query_pb2.QuerySupplyOfResponse(amount=build_coin(request.denom, amount))

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        params = self.storage.params.expect(ctx).to_message()
        return query_pb2.QueryParamsResponse(params=params)

    @query("DenomMetadata")
    def query_denom_metadata(self, ctx: Context, request: Any) -> Any:
        """Answer the metadata of one denomination."""
        metadata = self.storage.denom_metadata.get(ctx, request.denom)
        if metadata is None:
            raise QueryNotFound(f"client metadata for denom {request.denom} not found")
        return query_pb2.QueryDenomMetadataResponse(metadata=metadata)

    @query("DenomMetadataByQueryString")
    def query_denom_metadata_by_text(self, ctx: Context, request: Any) -> Any:
        """Answer the metadata of one denomination, for names that a path cannot hold."""
        metadata = self.query_denom_metadata(ctx, request).metadata
        return query_pb2.QueryDenomMetadataByQueryStringResponse(metadata=metadata)

    @query("SendEnabled")
    def query_send_enabled(self, ctx: Context, request: Any) -> Any:
        """Answer no exception: every denomination can be sent."""
        return query_pb2.QuerySendEnabledResponse()

    @query("DenomsMetadata")
    def query_denoms_metadata(self, ctx: Context, request: Any) -> Any:
        """Answer the metadata of every denomination."""
        entries, page = paginate(ctx, self.storage.denom_metadata, request.pagination)
        metadatas = [metadata for _, metadata in entries]
        return query_pb2.QueryDenomsMetadataResponse(metadatas=metadatas, pagination=page)

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, BankParams())
        if not self.storage.denom_metadata.has(ctx, BASE_DENOM):
            self.storage.denom_metadata.set(ctx, BASE_DENOM, build_base_metadata())

    @invariant
    def check_supply(self, ctx: Context) -> None:
        """The supply of every denomination equals the sum of its balances."""
        sums: dict[str, int] = {}
        for (_, denom), amount in self.storage.balances.iterate(ctx):
            sums[denom] = sums.get(denom, 0) + amount
        supply = {denom: amount for denom, amount in self.storage.supply.iterate(ctx) if amount}
        if sums != supply:
            raise InvariantBroken(
                f"bank: supply {format_coins(sorted(supply.items()))} is not the sum of balances "
                f"{format_coins(sorted(sums.items()))}"
            )


def parse_denom(text: str) -> str:
    """Check the denomination of a query.

    Raises: QueryInvalid.
    """
    if not DENOM_PATTERN.fullmatch(text):
        raise QueryInvalid("invalid denom")
    return text
