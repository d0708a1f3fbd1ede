"""Transactions without I/O: bytes, signatures, fees, results, sequence numbers.

A transaction is Cosmos `TxRaw`, signed with SIGN_MODE_DIRECT by one secp256k1 key.
Source: reference/chain.md section 4.1.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

from cosmos.base.v1beta1.coin_pb2 import Coin
from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmos.tx.signing.v1beta1.signing_pb2 import SIGN_MODE_DIRECT
from cosmos.tx.v1beta1 import tx_pb2

from chain_client.address import compute_address
from chain_client.amounts import BASE_DENOM
from chain_client.errors import InvalidInput, TxRefused
from chain_client.keys import Key
from proto.packing import pack_any

GAS_ADJUSTMENT = Decimal("1.5")  # simulated gas times this is the limit
DEFAULT_GAS_PRICE = Decimal("0.025")  # udsc a gas, when the node does not publish its minimum

SDK = "sdk"
CODE_INSUFFICIENT_FUNDS = 5
CODE_OUT_OF_GAS = 11
CODE_INSUFFICIENT_FEE = 13
CODE_ALREADY_IN_MEMPOOL = 19
CODE_MEMPOOL_FULL = 20
CODE_WRONG_SEQUENCE = 32

# What to do about a refusal, by (codespace, code).
HINTS: dict[tuple[str, int], str] = {
    (SDK, 4): "check that the key is the signer the message names, and that --chain-id is right",
    (SDK, CODE_INSUFFICIENT_FUNDS): "send less, or fund the account first; the fee counts too",
    (SDK, 7): "check the address; a name must be in the keyring (`descent keys list`)",
    (SDK, 9): "the account does not exist before it has received something",
    (SDK, 10): "amounts are positive whole numbers of udsc",
    (SDK, CODE_OUT_OF_GAS): "give more: --gas N, above the gasUsed named",
    (SDK, 12): "shorten --memo",
    (SDK, CODE_INSUFFICIENT_FEE): "the node asks a higher gas price",
    (SDK, CODE_MEMPOOL_FULL): "the node is busy; send again later",
    (SDK, 30): "the height it was meant for has passed; send again",
    ("staking", 3): "`descent query staking validators` lists the operators",
    ("runs", 7): "`descent run list` lists the runs",
    ("runs", 9): "give the owner's key with --key",
    ("runs", 11): "--hotkey names another key to sign with; `descent run show` lists the seats",
    ("runs", 12): "raise --max-burn, or wait: the price falls with time",
    ("runs", 13): "delegate to the key's operator first: `descent tx stake create-operator`",
    (SDK, CODE_WRONG_SEQUENCE): "another transaction of this account came first; send again",
}

_SEQUENCE = re.compile(r"account sequence mismatch, expected (\d+), got (\d+)")
_REQUIRED_FEE = re.compile(rf"required: ?(\d+){BASE_DENOM}")
# How refusals read when only their text reaches the client, as from Simulate.
_CODE_BY_TEXT = (
    ("incorrect account sequence", CODE_WRONG_SEQUENCE),
    ("insufficient fee", CODE_INSUFFICIENT_FEE),
    ("out of gas", CODE_OUT_OF_GAS),
    ("insufficient funds", CODE_INSUFFICIENT_FUNDS),
    ("signature verification failed", 4),
    ("unauthorized", 4),
    ("invalid address", 7),
    ("unknown address", 9),
    ("invalid coins", 10),
    ("memo too large", 12),
)


@dataclass(frozen=True)
class Event:
    """One event of the chain; attributes keep their order in `pairs`."""

    type: str
    pairs: tuple[tuple[str, str], ...]

    def get(self, key: str, default: str = "") -> str:
        """Return the first attribute named `key`."""
        return next((value for name, value in self.pairs if name == key), default)


@dataclass(frozen=True)
class TxResult:
    """A transaction a block holds.

    Attributes:
        tx_hash: lower-case hex.
        code: 0 for success.
        data: encoded `cosmos.base.abci.v1beta1.TxMsgData`.
    """

    tx_hash: str
    height: int
    code: int = 0
    codespace: str = ""
    raw_log: str = ""
    gas_wanted: int = 0
    gas_used: int = 0
    fee_udsc: int = 0
    timestamp: str = ""
    events: tuple[Event, ...] = ()
    data: bytes = b""
    messages: tuple[str, ...] = ()
    memo: str = ""

    def response(self, response_type: Any, index: int = 0) -> Any:
        """Decode the answer of message `index`, e.g. `MsgCreateRunResponse`.

        Raises:
            TxRefused: the transaction carries no such answer.
        """
        from cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData

        decoded = TxMsgData.FromString(self.data)
        if index < len(decoded.msg_responses):
            return response_type.FromString(decoded.msg_responses[index].value)
        if index < len(decoded.data):
            return response_type.FromString(decoded.data[index].data)
        raise TxRefused(f"transaction {self.tx_hash} carries no answer to message {index}")


@dataclass(frozen=True)
class SignedTx:
    """Bytes ready to send; the hash makes sending them twice harmless."""

    raw: bytes
    sequence: int
    gas_limit: int
    fee_udsc: int

    @property
    def tx_hash(self) -> str:
        """Lower-case hex SHA-256 of the bytes."""
        return hashlib.sha256(self.raw).hexdigest()


@dataclass
class AccountSequence:
    """What is known of one account: the number the next transaction takes."""

    account_number: int
    next_sequence: int


@dataclass
class SequenceTracker:
    """Sequence numbers handed out here, ahead of what the chain has committed."""

    accounts: dict[str, AccountSequence] = field(default_factory=dict)

    def get(self, address: str) -> AccountSequence | None:
        """Return what is known, or None before the first use and after `forget`."""
        return self.accounts.get(address)

    def learn(self, address: str, account_number: int, sequence: int) -> AccountSequence:
        """Record what the chain said."""
        self.accounts[address] = AccountSequence(account_number, sequence)
        return self.accounts[address]

    def forget(self, address: str) -> None:
        """Ask the chain again next time."""
        self.accounts.pop(address, None)


def build_tx(
    key: Key,
    messages: Sequence[Any],
    *,
    chain_id: str,
    account_number: int,
    sequence: int,
    gas_limit: int,
    fee_udsc: int,
    memo: str = "",
    timeout_height: int = 0,
) -> SignedTx:
    """Encode and sign a transaction of one signer."""
    unsigned = make_tx(
        messages, gas_limit=gas_limit, fee_udsc=fee_udsc, memo=memo, timeout_height=timeout_height
    )
    raw = sign_tx(
        key, unsigned, chain_id=chain_id, account_number=account_number, sequence=sequence
    )
    return SignedTx(raw.SerializeToString(deterministic=True), sequence, gas_limit, fee_udsc)


def make_tx(
    messages: Sequence[Any],
    *,
    gas_limit: int,
    fee_udsc: int,
    memo: str = "",
    timeout_height: int = 0,
) -> Any:
    """Make a `Tx` that nobody has signed."""
    unsigned = tx_pb2.Tx()
    unsigned.body.messages.extend(pack_any(message) for message in messages)
    unsigned.body.memo, unsigned.body.timeout_height = memo, timeout_height
    unsigned.auth_info.fee.gas_limit = gas_limit
    if fee_udsc:
        unsigned.auth_info.fee.amount.append(Coin(denom=BASE_DENOM, amount=str(fee_udsc)))
    return unsigned


def sign_tx(key: Key, unsigned: Any, *, chain_id: str, account_number: int, sequence: int) -> Any:
    """Return the `TxRaw` of a `Tx` with one signer; earlier signatures are dropped."""
    mode = tx_pb2.ModeInfo(single=tx_pb2.ModeInfo.Single(mode=SIGN_MODE_DIRECT))
    signer = tx_pb2.SignerInfo(
        public_key=pack_any(PubKey(key=key.public_key)), mode_info=mode, sequence=sequence
    )
    auth_info = tx_pb2.AuthInfo(signer_infos=[signer], fee=unsigned.auth_info.fee)
    sign_doc = tx_pb2.SignDoc(
        body_bytes=unsigned.body.SerializeToString(deterministic=True),
        auth_info_bytes=auth_info.SerializeToString(deterministic=True),
        chain_id=chain_id,
        account_number=account_number,
    )
    return tx_pb2.TxRaw(
        body_bytes=sign_doc.body_bytes,
        auth_info_bytes=sign_doc.auth_info_bytes,
        signatures=[key.sign(sign_doc.SerializeToString(deterministic=True))],
    )


def find_signer(tx: Any) -> tuple[str, int]:
    """Return address and sequence of the one signer of a `Tx`.

    Raises:
        InvalidInput: nobody signed it, several did, or with a key of another kind.
    """
    signers = tx.auth_info.signer_infos
    if len(signers) != 1 or len(tx.signatures) != 1:
        raise InvalidInput(
            f"the transaction has {len(tx.signatures)} signatures, not one",
            hint="`descent tx sign FROM FILE` signs it",
        )
    packed = signers[0].public_key
    if packed.type_url != "/" + PubKey.DESCRIPTOR.full_name:
        raise InvalidInput(f"the transaction is signed with a key of type {packed.type_url!r}")
    return compute_address(PubKey.FromString(packed.value).key), int(signers[0].sequence)


def compute_gas_limit(gas_used: int) -> int:
    """Return the limit to ask for after a simulation used `gas_used`."""
    return int((gas_used * GAS_ADJUSTMENT).to_integral_value(ROUND_CEILING))


def compute_fee(gas_limit: int, gas_price: Decimal) -> int:
    """Return the fee in udsc, rounded up."""
    return int((gas_limit * gas_price).to_integral_value(ROUND_CEILING))


def parse_gas_price(text: str) -> Decimal:
    """Read a node's minimum gas price, e.g. `0.025udsc`, from a list with commas; 0 when absent."""
    for part in text.split(","):
        match = re.fullmatch(rf"(\d+(?:\.\d+)?){BASE_DENOM}", part.strip())
        if match:
            return Decimal(match[1])
    return Decimal(0)


def parse_expected_sequence(text: str) -> int | None:
    """Return the sequence a mismatch refusal asks for."""
    match = _SEQUENCE.search(text)
    return int(match[1]) if match else None


def parse_required_fee(text: str) -> int | None:
    """Return the udsc an insufficient-fee refusal asks for."""
    match = _REQUIRED_FEE.search(text)
    return int(match[1]) if match else None


def refusal(
    text: str, *, codespace: str = "", code: int = 0, tx_hash: str = "", height: int = 0
) -> TxRefused:
    """Make the error for a refusal; find the code in the text when only that is known."""
    if not codespace and not code:
        found = next((number for words, number in _CODE_BY_TEXT if words in text), None)
        if found is not None:
            codespace, code = SDK, found
    return TxRefused(
        text or f"refused with code {code} of {codespace}",
        tx_hash=tx_hash,
        height=height,
        hint=HINTS.get((codespace, code), ""),
        codespace=codespace or "client",
        code=code or TxRefused.default_code,
    )


def parse_tx_response(response: Any, tx: Any = None) -> TxResult:
    """Read a `cosmos.base.abci.v1beta1.TxResponse`, with the `Tx` that came beside it."""
    fee_udsc, memo, messages = 0, "", ()
    if tx is not None:
        amounts = [int(coin.amount) for coin in tx.auth_info.fee.amount if coin.denom == BASE_DENOM]
        fee_udsc, memo = sum(amounts), tx.body.memo
        messages = tuple(message.type_url for message in tx.body.messages)
    events = tuple(
        Event(event.type, tuple((pair.key, pair.value) for pair in event.attributes))
        for event in response.events
    )
    fees = [event.get("fee") for event in events if event.type == "tx"]
    paid = next(filter(None, fees), "")
    if paid.removesuffix(BASE_DENOM).isdigit():  # an extrinsic pays less than it offers
        fee_udsc = int(paid.removesuffix(BASE_DENOM))
    return TxResult(
        tx_hash=response.txhash.lower(),
        height=response.height,
        code=response.code,
        codespace=response.codespace,
        raw_log=response.raw_log,
        gas_wanted=response.gas_wanted,
        gas_used=response.gas_used,
        fee_udsc=fee_udsc,
        timestamp=response.timestamp,
        events=events,
        data=bytes.fromhex(response.data) if response.data else b"",
        messages=messages,
        memo=memo,
    )
