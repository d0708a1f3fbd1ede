"""What a transaction must pass before its messages run: limits, fee, signatures, sequence.

Order, codes and texts are the Cosmos SDK's, because clients parse them. A transaction refused here
pays nothing and keeps its sequence; one refused later has paid.

Source: `reference/chain.md` sections 4.1 and 4.5.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from cosmos.crypto.secp256k1 import keys_pb2
from cosmos.tx.signing.v1beta1 import signing_pb2
from cosmos.tx.v1beta1 import tx_pb2
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError

from node.runtime.addresses import (
    compute_account_address,
    compute_module_address,
    decode_account,
    encode_account,
)
from node.runtime.amino import build_sign_bytes
from node.runtime.coins import BASE_DENOM, format_coins, parse_coins
from node.runtime.context import Context
from node.runtime.errors import (
    InsufficientFee,
    InvalidAddress,
    InvalidPublicKey,
    InvalidRequest,
    MemoTooLarge,
    NoSignatures,
    TooManySignatures,
    TxTimedOut,
    Unauthorized,
    UnknownAddress,
    UnknownExtensionOptions,
    WrongSequence,
    ensure,
)
from node.runtime.events import Address, Event
from node.runtime.runtime import Runtime
from node.runtime.signatures import SignatureCache
from node.runtime.times import get_nanoseconds
from node.runtime.tx import DecodedTx, SignerInfo

SECP256K1_TYPE_URL = "/cosmos.crypto.secp256k1.PubKey"
FEE_COLLECTOR_ADDR = compute_module_address("fee_collector")


class Mode(Enum):
    """Why a transaction is run."""

    CHECK = "check"
    RECHECK = "recheck"
    DELIVER = "deliver"
    SIMULATE = "simulate"


@dataclass(frozen=True)
class TxFeePaid(Event):
    """The fee of a transaction was taken."""

    abci_type: ClassVar[str] = "tx"
    fee: str
    fee_payer: Address


@dataclass(frozen=True)
class TxSequenceUsed(Event):
    """A signer's sequence was used: `address/sequence`."""

    abci_type: ClassVar[str] = "tx"
    acc_seq: str


@dataclass(frozen=True)
class TxSigned(Event):
    """A signature was accepted, base64."""

    abci_type: ClassVar[str] = "tx"
    signature: str


class AccountsAccess(Protocol):
    """What signature checks need of accounts."""

    def get_params(self, ctx: Context) -> Any: ...
    def get_account(self, ctx: Context, addr: bytes) -> Any: ...
    def has_account(self, ctx: Context, addr: bytes) -> bool: ...
    def set_account(self, ctx: Context, addr: bytes, account: Any) -> None: ...


class FeeTransfer(Protocol):
    """What fee deduction needs of the bank."""

    def get_balance(self, ctx: Context, addr: bytes, denom: str = ...) -> int: ...

    def transfer(
        self, ctx: Context, sender: bytes, recipient: bytes, amount: int, denom: str = ...
    ) -> None: ...


class FeeGrants(Protocol):
    """Takes a fee off what one account allows another."""

    def use_grant(
        self,
        ctx: Context,
        granter: bytes,
        grantee: bytes,
        fee: Sequence[tuple[str, int]],
        type_urls: Sequence[str],
    ) -> None: ...


@dataclass(frozen=True)
class GasPrice:
    """Lowest gas price a node takes: `udsc` a million gas. Node-local, checked on arrival only."""

    udsc_per_million_gas: int = 0

    def compute_fee(self, gas: int) -> int:
        """Compute the fee in udsc for an amount of gas, rounded up."""
        return -(-gas * self.udsc_per_million_gas // 1_000_000)


class AnteHandler:
    """Runs the checks of a transaction in order.

    Args:
        runtime: knows the signers of messages.
        accounts, bank: capabilities.
        min_gas_price: enforced in `Mode.CHECK` only.
        fee_grants: lets accounts pay the fees of others; None where that is not possible.
    """

    def __init__(
        self,
        runtime: Runtime,
        accounts: AccountsAccess,
        bank: FeeTransfer,
        min_gas_price: GasPrice,
        fee_grants: FeeGrants | None = None,
    ) -> None:
        self._runtime = runtime
        self._accounts = accounts
        self._bank = bank
        self._min_gas_price = min_gas_price
        self._fee_grants = fee_grants
        self._signature_cache = SignatureCache()

    def run(self, ctx: Context, tx: DecodedTx, mode: Mode) -> None:
        """Check a transaction, take its fee and use its sequences.

        Raises: ChainError; the caller rolls back.
        Emits: TxFeePaid, TxSequenceUsed, TxSigned and the bank's events.
        """
        self._check_basics(ctx, tx, mode)
        params = self._accounts.get_params(ctx)
        memo = tx.body.memo
        if len(memo) > params.max_memo_characters:
            raise MemoTooLarge(
                f"maximum number of characters is {params.max_memo_characters} "
                f"but received {len(memo)} characters"
            )
        ctx.gas.consume(params.tx_size_cost_per_byte * len(tx.raw), "txSize")
        signers = tx.facts.signers or self._list_signers(tx)
        self._deduct_fee(ctx, tx, signers, mode)
        num_signatures = len(tx.signer_infos)
        if num_signatures > params.tx_sig_limit:
            raise TooManySignatures(f"signatures: {num_signatures}, limit: {params.tx_sig_limit}")
        is_counted = num_signatures == len(signers)
        if mode is not Mode.SIMULATE:
            is_counted = is_counted and num_signatures == len(tx.signatures)
        if not is_counted:
            raise Unauthorized(
                f"invalid number of signer;  expected: {len(signers)}, got {num_signatures}"
            )
        for index, signer in enumerate(signers):
            ctx.gas.consume(params.sig_verify_cost_secp256k1, "ante verify: secp256k1")
            self._check_signer(ctx, tx, index, signer, mode)

    def _check_basics(self, ctx: Context, tx: DecodedTx, mode: Mode) -> None:
        if not tx.facts.is_well_formed:
            self._check_form(tx, mode)
            tx.facts.is_well_formed = mode is not Mode.SIMULATE
        last_height = tx.body.timeout_height
        if last_height and ctx.height > last_height:
            raise TxTimedOut(f"block height: {ctx.height}, timeout height: {last_height}")
        if tx.has_deadline:
            timeout_ns = get_nanoseconds(tx.body.timeout_timestamp)
            ensure(
                ctx.block.time_ns <= timeout_ns, TxTimedOut, "block time is after timeout timestamp"
            )

    def _check_form(self, tx: DecodedTx, mode: Mode) -> None:
        body, fee = tx.body, tx.fee
        ensure(not body.extension_options, UnknownExtensionOptions)
        ensure(bool(tx.messages), InvalidRequest, "must contain at least one message")
        ensure(bool(tx.signatures) or mode is Mode.SIMULATE, NoSignatures)
        ensure(not body.unordered, InvalidRequest, "unordered transactions are not supported")
        ensure(not tx.auth_info.HasField("tip"), InvalidRequest, "tips are not supported")
        has_grants = self._fee_grants is not None
        ensure(has_grants or not fee.granter, InvalidRequest, "fee grants are not enabled")

    def _list_signers(self, tx: DecodedTx) -> list[bytes]:
        """List distinct signers in order of first need; the fee payer comes after them."""
        signers: list[bytes] = []
        for type_url, message in tx.messages:
            for signer in self._runtime.get_signers(type_url, message):
                if signer not in signers:
                    signers.append(signer)
        # A multi-send without inputs names none, and nobody would pay.
        ensure(bool(signers), InvalidAddress, "no message names a signer")
        if tx.fee.payer:
            payer = decode_payer(tx.fee.payer)
            if payer not in signers:
                signers.append(payer)
        tx.facts.signers = signers
        return signers

    def _deduct_fee(self, ctx: Context, tx: DecodedTx, signers: list[bytes], mode: Mode) -> None:
        fee = tx.fee
        coins = parse_coins(fee.amount, allow_empty=True)
        if mode is Mode.CHECK:
            required = self._min_gas_price.compute_fee(tx.gas_limit)
            if dict(coins).get(BASE_DENOM, 0) < required:
                texts = format_coins(coins), f"{required}{BASE_DENOM}"
                raise InsufficientFee(f"insufficient fees; got: {texts[0]} required: {texts[1]}")
        payer = decode_payer(fee.payer) if fee.payer else signers[0]
        payer_text = encode_account(payer)
        if not self._accounts.has_account(ctx, payer):
            raise UnknownAddress(f"fee payer address: {payer_text} does not exist")
        if fee.granter:
            payer = self._use_grant(ctx, tx, payer, coins)
            payer_text = encode_account(payer)
        if mode is Mode.SIMULATE and not coins:
            coins = self._assume_fee(ctx, payer)
        for denom, amount in coins:
            self._bank.transfer(ctx, payer, FEE_COLLECTOR_ADDR, amount, denom)
        ctx.emit(TxFeePaid(format_coins(coins), payer_text))

    def _use_grant(
        self, ctx: Context, tx: DecodedTx, payer: bytes, coins: list[tuple[str, int]]
    ) -> bytes:
        """Take the fee off the granter's allowance; returns who pays."""
        granter = decode_payer(tx.fee.granter)
        if granter != payer and self._fee_grants is not None:
            type_urls = [type_url for type_url, _ in tx.messages]
            self._fee_grants.use_grant(ctx, granter, payer, coins, type_urls)
        return granter

    def _assume_fee(self, ctx: Context, payer: bytes) -> list[tuple[str, int]]:
        """Assume a fee where a simulation carries none, so that its gas covers paying one."""
        return [(BASE_DENOM, 1)] if self._bank.get_balance(ctx, payer) else []

    def _check_signer(
        self, ctx: Context, tx: DecodedTx, index: int, signer: bytes, mode: Mode
    ) -> None:
        info = tx.signer_infos[index]
        account = self._accounts.get_account(ctx, signer)
        text = encode_account(signer)
        if account is None:
            raise UnknownAddress(f"account {text} does not exist")
        self._set_public_key(account, info, index, signer, mode)
        sequence = account.sequence
        if info.sequence != sequence:
            raise WrongSequence(
                f"account sequence mismatch, expected {sequence}, got {info.sequence}"
            )
        if mode is not Mode.SIMULATE:
            self._verify(ctx, tx, index, account)
        account.sequence = sequence + 1
        self._accounts.set_account(ctx, signer, account)
        ctx.emit(TxSequenceUsed(f"{text}/{info.sequence}"))
        if mode is not Mode.SIMULATE:
            ctx.emit(TxSigned(base64.b64encode(tx.signatures[index]).decode()))

    def _set_public_key(
        self, account: Any, info: SignerInfo, index: int, signer: bytes, mode: Mode
    ) -> None:
        """Take the key of a first transaction into the account.

        Raises: InvalidPublicKey.
        """
        if info.key is None:
            has_key = account.HasField("pub_key") or mode is Mode.SIMULATE
            ensure(has_key, InvalidPublicKey, "account has no public key and the tx carries none")
            return
        key = parse_key(*info.key)
        if compute_account_address(key) != signer:
            raise InvalidPublicKey(
                f"pubKey does not match signer address {encode_account(signer)} "
                f"with signer index: {index}"
            )
        if not account.HasField("pub_key"):
            account.pub_key.CopyFrom(build_key(key))

    def _verify(self, ctx: Context, tx: DecodedTx, index: int, account: Any) -> None:
        key = parse_key(account.pub_key.type_url, account.pub_key.value)
        number, chain_id = account.account_number, ctx.block.chain_id
        if tx.facts.verified.get(index) == (key, chain_id, number):
            return
        sign_bytes = self._build_sign_bytes(tx, index, chain_id, number)
        ensure(
            self._signature_cache.verify(key, tx.signatures[index], sign_bytes),
            Unauthorized,
            f"signature verification failed; please verify account number "
            f"({number}), sequence ({account.sequence}) and chain-id ({chain_id})",
        )
        tx.facts.verified[index] = key, chain_id, number

    def _build_sign_bytes(
        self, tx: DecodedTx, index: int, chain_id: str, account_number: int
    ) -> bytes:
        """Build what a signer signed, from the transaction's bytes and the arguments alone."""
        info = tx.signer_infos[index]
        if info.mode == signing_pb2.SIGN_MODE_LEGACY_AMINO_JSON:
            return build_sign_bytes(tx, chain_id, account_number, info.sequence, self._get_class)
        ensure(
            info.mode == signing_pb2.SIGN_MODE_DIRECT,
            Unauthorized,
            "only SIGN_MODE_DIRECT and SIGN_MODE_LEGACY_AMINO_JSON are supported",
        )
        signed: bytes = tx_pb2.SignDoc(
            body_bytes=tx.body_bytes,
            auth_info_bytes=tx.auth_info_bytes,
            chain_id=chain_id,
            account_number=account_number,
        ).SerializeToString(deterministic=True)
        return signed

    def _get_class(self, type_url: str) -> Any:
        return self._runtime.get_call(type_url).message_class


@lru_cache(maxsize=16384)
def parse_key(type_url: str, value: bytes) -> bytes:
    """Get the 33 bytes of a packed secp256k1 key.

    Raises: InvalidPublicKey.
    """
    ensure(
        type_url == SECP256K1_TYPE_URL,
        InvalidPublicKey,
        f"unrecognized public key type: {type_url!r}",
    )
    try:
        key: bytes = keys_pb2.PubKey.FromString(value).key
    except DecodeError as error:
        raise InvalidPublicKey("public key does not parse") from error
    ensure(len(key) == 33, InvalidPublicKey, f"length of pubkey is incorrect: {len(key)}")
    return key


def build_key(key: bytes) -> Any:
    """Pack a secp256k1 key."""
    value = keys_pb2.PubKey(key=key).SerializeToString(deterministic=True)
    return any_pb2.Any(type_url=SECP256K1_TYPE_URL, value=value)


def decode_payer(text: str) -> bytes:
    """Decode the fee payer.

    Raises: UnknownAddress.
    """
    try:
        return decode_account(text)
    except ValueError as error:
        raise UnknownAddress(f"fee payer address: {text} does not exist") from error
