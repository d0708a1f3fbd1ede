"""What an extrinsic must pass before its calls run: the rules of `node.runtime.ante`.

One sequence an account over both formats. An extrinsic names no gas, so size and number of calls
bound it; the fee of that bound is taken before its calls run, and what they left over is given back
after them. A node that wants a higher price takes the difference from the tip.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from node.runtime.addresses import ADDRESS_BYTES, encode_account
from node.runtime.ante import (
    FEE_COLLECTOR_ADDR,
    AccountsAccess,
    FeeTransfer,
    GasPrice,
    Mode,
    TxFeePaid,
    TxSequenceUsed,
    TxSigned,
    build_key,
)
from node.runtime.coins import BASE_DENOM
from node.runtime.context import Context
from node.runtime.errors import (
    InsufficientFee,
    InvalidRequest,
    TxTimedOut,
    Unauthorized,
    UnknownAddress,
    WrongSequence,
    ensure,
)
from node.runtime.runtime import Runtime
from node.runtime.signatures import SignatureCache
from node.runtime.substrate.calls import CallTable
from node.runtime.substrate.extrinsic import Extrinsic, compute_fee
from node.runtime.substrate.signatures import ECDSA, is_signed_by, recover_key


class BlockHashes(Protocol):
    """Hash of the synthetic header of a past block, None for one too old or to come."""

    def get_block_hash(self, ctx: Context, number: int) -> bytes | None: ...


@dataclass(frozen=True)
class ExtrinsicRules:
    """What a chain that takes extrinsics has in addition: its calls and its block hashes."""

    table: CallTable
    hashes: BlockHashes


def verify_tagged(key: bytes, signature: bytes, message: bytes) -> bool:
    """Verify with a key that is one byte of kind and the address."""
    return is_signed_by(key[0], key[1:], signature, message)


class ExtrinsicAnte:
    """Runs the checks of an extrinsic in order.

    Args:
        runtime: knows the signers of messages.
        accounts, bank: capabilities.
        min_gas_price: enforced in `Mode.CHECK` only.
        hashes: what eras and genesis are bound to.
    """

    def __init__(
        self,
        runtime: Runtime,
        accounts: AccountsAccess,
        bank: FeeTransfer,
        min_gas_price: GasPrice,
        hashes: BlockHashes,
    ) -> None:
        self._runtime = runtime
        self._accounts = accounts
        self._bank = bank
        self._min_gas_price = min_gas_price
        self._hashes = hashes
        verify: Callable[[bytes, bytes, bytes], bool] = verify_tagged
        self._signature_cache = SignatureCache(verify)

    def run(self, ctx: Context, tx: Extrinsic, mode: Mode) -> None:
        """Check an extrinsic, take the fee of all it may use, and use its sequence.

        Raises: ChainError; the caller rolls back.
        Emits: TxSequenceUsed, TxSigned and the bank's events.
        """
        text = encode_account(tx.signer)
        ensure(bool(tx.messages), InvalidRequest, "must contain at least one call")
        for type_url, message in tx.messages:
            signers = self._runtime.get_signers(type_url, message)
            ensure(signers == [tx.signer], Unauthorized, f"{type_url} must be signed by others")
        params = self._accounts.get_params(ctx)
        ctx.gas.consume(params.tx_size_cost_per_byte * len(tx.raw), "txSize")
        is_ecdsa = tx.kind == ECDSA
        cost = params.sig_verify_cost_secp256k1 if is_ecdsa else params.sig_verify_cost_ed25519
        ctx.gas.consume(cost, "ante verify: extrinsic")
        birth_hash, genesis_hash = self._get_hashes(ctx, tx)
        self._deduct_fee(ctx, tx, text, mode)
        account = self._accounts.get_account(ctx, tx.signer)
        ensure(
            tx.nonce == account.sequence,
            WrongSequence,
            f"account sequence mismatch, expected {account.sequence}, got {tx.nonce}",
        )
        if mode is not Mode.SIMULATE:
            payload = tx.build_payload(genesis_hash, birth_hash)
            key = bytes((tx.kind,)) + tx.signer
            is_signed = self._signature_cache.verify(key, tx.signature, payload)
            ensure(is_signed, Unauthorized, "signature verification failed")
            if len(tx.signer) == ADDRESS_BYTES and not account.HasField("pub_key"):
                public_key = recover_key(tx.signature, payload)
                ensure(public_key is not None, Unauthorized, "signature verification failed")
                account.pub_key.CopyFrom(build_key(public_key or b""))
        account.sequence += 1
        self._accounts.set_account(ctx, tx.signer, account)
        ctx.emit(TxSequenceUsed(f"{text}/{tx.nonce}"))
        if mode is not Mode.SIMULATE:
            ctx.emit(TxSigned(base64.b64encode(tx.signature).decode()))

    def settle(self, ctx: Context, tx: Extrinsic, gas_used: int) -> None:
        """Give back the fee of the gas that was not used; the tip stays.

        Args:
            ctx: after the calls ran or were rolled back; its meter is not the extrinsic's.
        Emits: TxFeePaid and the bank's events.
        """
        fee = compute_fee(min(gas_used, tx.gas_limit))
        left = tx.fee_udsc - fee
        if left:
            self._bank.transfer(ctx, FEE_COLLECTOR_ADDR, tx.signer, left)
        ctx.emit(TxFeePaid(f"{fee + tx.tip}{BASE_DENOM}", encode_account(tx.signer)))

    def _get_hashes(self, ctx: Context, tx: Extrinsic) -> tuple[bytes, bytes]:
        genesis_hash = self._hashes.get_block_hash(ctx, 0)
        birth_hash = genesis_hash
        if tx.era.period_blocks:
            birth = tx.era.compute_birth(ctx.height)
            birth_hash = self._hashes.get_block_hash(ctx, birth)
        if birth_hash is None or genesis_hash is None:
            raise TxTimedOut(f"the era began with a block that height {ctx.height} does not know")
        return birth_hash, genesis_hash

    def _deduct_fee(self, ctx: Context, tx: Extrinsic, text: str, mode: Mode) -> None:
        total = tx.fee_udsc + tx.tip
        if mode is Mode.CHECK:
            required = self._min_gas_price.compute_fee(tx.gas_limit)
            ensure(
                total >= required,
                InsufficientFee,
                f"insufficient fees; got: {total}{BASE_DENOM} required: {required}{BASE_DENOM}",
            )
        has_account = self._accounts.has_account(ctx, tx.signer)
        ensure(has_account, UnknownAddress, f"fee payer address: {text} does not exist")
        if mode is not Mode.SIMULATE:
            self._bank.transfer(ctx, tx.signer, FEE_COLLECTOR_ADDR, total)
