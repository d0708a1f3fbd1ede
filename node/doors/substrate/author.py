"""`author_*`, `payment_*` and nonces: submit extrinsics, watch them, ask what they pay."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from node.chain import Chain
from node.doors.substrate.blocks import Blocks
from node.doors.substrate.facade import RUNTIME_DISPATCH_INFO
from node.doors.substrate.rpc import (
    AlreadyImported,
    InternalError,
    InvalidFormat,
    InvalidParams,
    InvalidTx,
    LowPriority,
    Method,
    PoolFull,
    Subscribed,
    SubstrateError,
    UnknownValidity,
    Unverified,
    format_hex,
    parse_hex,
)
from node.doors.substrate.ss58 import AddressFormatError, decode_any_address
from node.doors.substrate.subscriptions import Hub, Session
from node.engine.errors import EngineUnreachable, TxRefused
from node.runtime import errors
from node.runtime.errors import TxDecodeFailed
from node.runtime.substrate.accounts import ACCOUNT
from node.runtime.substrate.calls import CallTable
from node.runtime.substrate.extrinsic import (
    UNSIGNED_VERSION,
    Extrinsic,
    compute_fee,
    decode_extrinsic,
    is_extrinsic,
    wrap_extrinsic,
)
from node.runtime.substrate.headers import hash_blake2
from node.runtime.substrate.scale import U32, Reader, ScaleError, decode_compact

MAX_PENDING = 10_000
WATCHED_BLOCKS = 256
"""An extrinsic that is in no block after so many is given up."""
STALE = "Transaction is outdated"
FUTURE = "Transaction will be valid in the future"
BAD_PROOF = "Transaction has a bad signature"
BAD_SIGNER = "Invalid signing address"
POOL_LIMIT = "The transaction couldn't enter the pool because of the limit"
UNSIGNED = "NoUnsignedValidator"
PAYMENT = "Inability to pay some fees (e.g. account balance too low)"
ANCIENT = "Transaction has an ancient birth block"
EXHAUSTS = "Transaction would exhaust the block limits"
REASONS: dict[int, str] = {
    errors.InsufficientFunds.code: PAYMENT,
    errors.UnknownAddress.code: PAYMENT,
    errors.TxTimedOut.code: ANCIENT,
    errors.InvalidGasLimit.code: EXHAUSTS,
    errors.OutOfGas.code: EXHAUSTS,
    errors.TxTooLarge.code: EXHAUSTS,
}
SIGNATURE_FAILED = "signature verification failed"
NONCE_PATTERN = re.compile(r"expected (\d+), got (\d+)")


def explain_refusal(code: int, log: str) -> SubstrateError:
    """Turn the refusal of a check into the error a Substrate node gives."""
    if code == errors.TxDecodeFailed.code:
        return Unverified(log)
    if code == errors.Unauthorized.code:
        is_proof = log.startswith(SIGNATURE_FAILED)
        return InvalidTx(BAD_PROOF if is_proof else f"{BAD_SIGNER}: {log}")
    if code == errors.InsufficientFee.code:
        return InvalidTx(f"{PAYMENT}: {log}")
    if code == errors.WrongSequence.code:
        found = NONCE_PATTERN.search(log)
        is_future = found is not None and int(found[2]) > int(found[1])
        return InvalidTx(FUTURE if is_future else STALE)
    return InvalidTx(REASONS.get(code, f"Custom error: {code} ({log})"))


def decode_submitted(encoded: bytes, table: CallTable) -> Extrinsic:
    """Decode an extrinsic as clients send it.

    Raises: InvalidFormat, Unverified, UnknownValidity.
    """
    reader = Reader(encoded)
    try:
        length = decode_compact(reader)
    except ScaleError as error:
        raise InvalidFormat(str(error)) from None
    if length != reader.left:
        raise InvalidFormat(f"{length} bytes announced, {reader.left} there")
    if encoded[reader.offset : reader.offset + 1] == bytes((UNSIGNED_VERSION,)):
        raise UnknownValidity(UNSIGNED)
    try:
        return decode_extrinsic(wrap_extrinsic(encoded), table)
    except TxDecodeFailed as error:
        raise Unverified(str(error)) from None


class AuthorMethods:
    """The methods that hand extrinsics to the engine."""

    def __init__(self, blocks: Blocks, hub: Hub, chain: Chain) -> None:
        self.blocks = blocks
        self.hub = hub
        self._table = chain.call_table
        self._accounts = chain.accounts.storage.accounts
        self.calls = {
            "AccountNonceApi_account_nonce": self._call_nonce,
            "TransactionPaymentApi_query_info": self._call_query_info,
        }

    def list_methods(self) -> dict[str, Method]:
        """List the methods by name."""
        return {
            "author_submitExtrinsic": self.submit,
            "author_submitAndWatchExtrinsic": self.submit_and_watch,
            "author_unwatchExtrinsic": self.unwatch,
            "author_pendingExtrinsics": self.list_pending,
            "payment_queryInfo": self.query_info,
            "payment_queryFeeDetails": self.query_fee_details,
            "system_accountNextIndex": self.get_next_index,
            "account_nextIndex": self.get_next_index,
        }

    # Submitting

    async def _broadcast(self, text: Any) -> bytes:
        encoded = parse_hex(text, "extrinsic")
        decoded = decode_submitted(encoded, self._table)
        raw = decoded.raw
        try:
            checked = await self.blocks.view.engine.broadcast_tx(raw)
        except TxRefused as refusal:
            if refusal.code == errors.TxInMempoolCache.code:
                raise AlreadyImported(format_hex(hash_blake2(encoded))) from None
            if refusal.code == errors.TxTooLarge.code:
                raise InvalidTx(EXHAUSTS) from None
            raise PoolFull(POOL_LIMIT) from None
        except EngineUnreachable as error:
            raise InternalError(str(error)) from None
        if checked.code == errors.WrongSequence.code:
            waiting = await self._find_waiting(decoded.signer, decoded.nonce)
            if waiting is not None:
                raise LowPriority(waiting.tip, decoded.tip)
        if checked.code:
            raise explain_refusal(checked.code, checked.log)
        return raw

    async def _find_waiting(self, signer: bytes, nonce: int) -> Extrinsic | None:
        """Find the extrinsic of an account with that nonce that waits for a block."""
        for decoded in await self._decode_pending():
            if (decoded.signer, decoded.nonce) == (signer, nonce):
                return decoded
        return None

    async def _decode_pending(self) -> list[Extrinsic]:
        found = []
        for tx in await self._list_pending():
            with contextlib.suppress(TxDecodeFailed):
                found.append(decode_extrinsic(tx, self._table))
        return found

    async def submit(self, session: Session | None, extrinsic: Any) -> str:
        """Submit an extrinsic; answer its hash."""
        raw = await self._broadcast(extrinsic)
        return format_hex(hash_blake2(raw[1:]))

    async def submit_and_watch(self, session: Session | None, extrinsic: Any) -> Subscribed:
        """Submit an extrinsic and tell when it is in a block, which is final at once."""
        start = self.blocks.get_height()
        raw = await self._broadcast(extrinsic)
        tx_hash = decode_submitted(raw[1:], self._table).tx_hash
        is_over = False

        def update(height: int) -> list[Any] | None:
            nonlocal is_over
            if is_over:
                return None
            place = self.blocks.view.find_tx(tx_hash)
            if place is None or place[0] > height:
                if height > start + WATCHED_BLOCKS:
                    is_over = True
                    return ["dropped"]
                return []
            is_over = True
            block_hash = format_hex(self.blocks.get_hash(place[0]) or b"")
            return [{"inBlock": block_hash}, {"finalized": block_hash}]

        return self.hub.subscribe(session, "author_extrinsicUpdate", update, ["ready"])

    async def unwatch(self, session: Session | None, subscription_id: Any) -> bool:
        """End a watch."""
        return self.hub.unsubscribe(session, subscription_id)

    async def _list_pending(self) -> list[bytes]:
        try:
            waiting = await self.blocks.view.engine.list_unconfirmed(MAX_PENDING)
        except EngineUnreachable as error:
            raise InternalError(str(error)) from None
        return [tx for tx in waiting.txs if is_extrinsic(tx)]

    async def list_pending(self, session: Session | None) -> list[str]:
        """Answer the extrinsics that wait for a block."""
        return [format_hex(tx[1:]) for tx in await self._list_pending()]

    # Nonces

    def read_nonce(self, addr: bytes, height: int) -> int:
        """Read the sequence of an account after a block; 0 without an account."""
        with self.blocks.open_state(height) as state:
            raw = state.view.get(self._accounts.store, self._accounts.encode_key(addr))
        return 0 if raw is None else int(self._accounts.value_codec.decode(raw).sequence)

    def _call_nonce(self, reader: Reader, height: int) -> bytes:
        addr = ACCOUNT.decode(reader)
        reader.finish()
        return U32.encode(self.read_nonce(addr, height))

    async def get_next_index(self, session: Session | None, account: Any) -> int:
        """Answer the nonce to sign next, counting what waits for a block."""
        try:
            addr = decode_any_address(account)
        except AddressFormatError as error:
            raise InvalidParams(str(error)) from None
        waiting = {item.nonce for item in await self._decode_pending() if item.signer == addr}
        # Read after it: what is in a block meanwhile waits no more, and counts in this state.
        nonce = self.read_nonce(addr, self.blocks.view.get_state_heights()[1])
        while nonce in waiting:
            nonce += 1
        return nonce

    # Fees

    def _call_query_info(self, reader: Reader, height: int) -> bytes:
        encoded = reader.take(reader.left - 4)
        decoded = decode_submitted(encoded, self._table)
        weight = {"ref_time": decoded.gas_limit, "proof_size": 0}
        info = {"weight": weight, "class": "Normal", "partial_fee": decoded.fee_udsc}
        return RUNTIME_DISPATCH_INFO.encode(info)

    async def query_info(self, session: Session | None, extrinsic: Any, at: Any = None) -> Any:
        """Answer the most an extrinsic pays without its tip."""
        decoded = decode_submitted(parse_hex(extrinsic, "extrinsic"), self._table)
        weight = {"ref_time": decoded.gas_limit, "proof_size": 0}
        return {"weight": weight, "class": "normal", "partialFee": str(decoded.fee_udsc)}

    async def query_fee_details(
        self, session: Session | None, extrinsic: Any, at: Any = None
    ) -> Any:
        """Answer the most an extrinsic pays, in parts."""
        decoded = decode_submitted(parse_hex(extrinsic, "extrinsic"), self._table)
        fee = compute_fee(decoded.gas_limit)
        parts = {"baseFee": hex(0), "lenFee": hex(0), "adjustedWeightFee": hex(fee)}
        return {"inclusionFee": parts}
