"""Accounts: who may sign, with which key, and what sequence comes next.

An account comes to be when an address first receives coins; its number is never given twice. The
public key is stored with the first signed transaction. Module accounts are addresses derived from
a name; nobody holds a key to them and nobody may send to them directly.

Invariants: account numbers are distinct and below the counter.
Source: Cosmos SDK x/auth, `reference/chain.md` section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from cosmos.auth.v1beta1 import auth_pb2, query_pb2, tx_pb2

from node.pallets.accounts.types import AccountsParams
from node.runtime.addresses import (
    ACCOUNT_PREFIX,
    AddressError,
    compute_module_address,
    decode_account,
    encode_account,
)
from node.runtime.codecs import ADDRESS, ProtoCodec
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken, QueryInvalid, QueryNotFound
from node.runtime.paging import paginate
from node.runtime.pallet import Pallet, invariant, query
from node.runtime.params import ParamsCodec
from node.runtime.storage import Item, Map, Schema, Sequence
from proto.packing import pack_any


class AccountsSchema(Schema):
    """Storage of accounts."""

    params = Item(0x00, "params", ParamsCodec(AccountsParams))
    accounts: Map[bytes, Any] = Map(0x01, "accounts", ADDRESS, ProtoCodec(auth_pb2.BaseAccount))
    next_number = Sequence(0x02, "next_account_number")


class AccountsPallet(Pallet[AccountsSchema]):
    """The accounts pallet.

    Args:
        module_permissions: permissions by module account name, for queries and to refuse sends.
    """

    name = "accounts"
    index = 11
    schema = AccountsSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)
    params_messages = (tx_pb2.MsgUpdateParams, tx_pb2.MsgUpdateParamsResponse)

    def __init__(self, module_permissions: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__()
        self.module_permissions = dict(sorted(module_permissions.items()))
        self._module_names = {compute_module_address(n): n for n in self.module_permissions}

    # Capabilities

    def get_params(self, ctx: Context) -> AccountsParams:
        """Get the parameters."""
        params: AccountsParams = self.storage.params.expect(ctx)
        return params

    def get_account(self, ctx: Context, addr: bytes) -> Any:
        """Get the `BaseAccount` of an address, or None."""
        return self.storage.accounts.get(ctx, addr)

    def has_account(self, ctx: Context, addr: bytes) -> bool:
        """Tell whether an address has an account; costs the gas of getting it."""
        return self.storage.accounts.has(ctx, addr)

    def set_account(self, ctx: Context, addr: bytes, account: Any) -> None:
        """Write a changed `BaseAccount`."""
        self.storage.accounts.set(ctx, addr, account)

    def ensure_account(self, ctx: Context, addr: bytes) -> None:
        """Create the account of an address unless it has one."""
        if not self.storage.accounts.has(ctx, addr):
            number = self.storage.next_number.next(ctx)
            account = auth_pb2.BaseAccount(address=encode_account(addr), account_number=number)
            self.storage.accounts.set(ctx, addr, account)

    def is_module_addr(self, addr: bytes) -> bool:
        """Tell whether the address belongs to a module account."""
        return addr in self._module_names

    # Queries

    @query("Account")
    def query_account(self, ctx: Context, request: Any) -> Any:
        """Answer the account of an address, packed in `Any`."""
        addr = parse_query_addr(request.address)
        account = self.get_account(ctx, addr)
        if account is None:
            raise QueryNotFound(f"account {request.address} not found")
        return query_pb2.QueryAccountResponse(account=self._pack_account(ctx, addr, account))

    @query("Accounts")
    def query_accounts(self, ctx: Context, request: Any) -> Any:
        """Answer all accounts, in pages."""
        entries, page = paginate(ctx, self.storage.accounts, request.pagination)
        packed = [self._pack_account(ctx, addr, account) for addr, account in entries]
        return query_pb2.QueryAccountsResponse(accounts=packed, pagination=page)

    @query("AccountInfo")
    def query_account_info(self, ctx: Context, request: Any) -> Any:
        """Answer the base account of an address."""
        account = self.get_account(ctx, parse_query_addr(request.address))
        if account is None:
            raise QueryNotFound(f"account {request.address} not found")
        return query_pb2.QueryAccountInfoResponse(info=account)

    @query("AccountAddressByID")
    def query_account_address_by_id(self, ctx: Context, request: Any) -> Any:
        """Answer the address of an account number."""
        number = request.account_id or request.id
        for _, account in self.storage.accounts.iterate(ctx):
            if account.account_number == number:
                return query_pb2.QueryAccountAddressByIDResponse(account_address=account.address)
        raise QueryNotFound(f"account address not found with account number {number}")

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        return query_pb2.QueryParamsResponse(params=self.get_params(ctx).to_message())

    @query("ModuleAccounts")
    def query_module_accounts(self, ctx: Context, request: Any) -> Any:
        """Answer every module account."""
        packed = [pack_any(self._build_module_account(ctx, n)) for n in self.module_permissions]
        return query_pb2.QueryModuleAccountsResponse(accounts=packed)

    @query("ModuleAccountByName")
    def query_module_account_by_name(self, ctx: Context, request: Any) -> Any:
        """Answer the module account of a name."""
        if request.name not in self.module_permissions:
            raise QueryNotFound(f"account {request.name} not found")
        packed = pack_any(self._build_module_account(ctx, request.name))
        return query_pb2.QueryModuleAccountByNameResponse(account=packed)

    @query("Bech32Prefix")
    def query_bech32_prefix(self, ctx: Context, request: Any) -> Any:
        """Answer the prefix of account addresses."""
        return query_pb2.Bech32PrefixResponse(bech32_prefix=ACCOUNT_PREFIX)

    def _pack_account(self, ctx: Context, addr: bytes, account: Any) -> Any:
        name = self._module_names.get(addr)
        return pack_any(account if name is None else self._build_module_account(ctx, name))

    def _build_module_account(self, ctx: Context, name: str) -> Any:
        addr = compute_module_address(name)
        account = self.get_account(ctx, addr)
        if account is None:
            account = auth_pb2.BaseAccount(address=encode_account(addr))
        return auth_pb2.ModuleAccount(
            base_account=account, name=name, permissions=self.module_permissions[name]
        )

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, AccountsParams())

    @invariant
    def check_account_numbers(self, ctx: Context) -> None:
        """Account numbers are distinct and below the counter."""
        numbers = sorted(
            account.account_number for _, account in self.storage.accounts.iterate(ctx)
        )
        distinct = all(low < high for low, high in pairwise(numbers))
        if not distinct or (numbers and numbers[-1] >= self.storage.next_number.peek(ctx)):
            raise InvariantBroken("accounts: an account number is shared or was never handed out")


def parse_query_addr(text: str) -> bytes:
    """Decode the address of a query.

    Raises: QueryInvalid.
    """
    if not text:
        raise QueryInvalid("Address cannot be empty")
    try:
        return decode_account(text)
    except AddressError as error:
        raise QueryInvalid(f"invalid address: {error}") from error
