"""Extrinsics made by hand, for what no client library sends."""

import coincurve
import ed25519_zebra
import sr25519

from node.runtime.substrate.accounts import compute_account_id
from node.runtime.substrate.calls import BALANCES, UTILITY
from node.runtime.substrate.extrinsic import (
    SPEC_VERSION,
    TRANSACTION_VERSION,
    encode_signed,
    wrap_extrinsic,
)
from node.runtime.substrate.headers import hash_blake2
from node.runtime.substrate.scale import encode_compact
from node.runtime.substrate.signatures import ED25519, SR25519
from tests.runtime.chain_driver import Key

IMMORTAL = b"\x00"


class Signer:
    """A key of one of the three kinds; `addr` is its account."""

    def __init__(self, kind: int, seed: bytes = b"\x05" * 32) -> None:
        self.kind = kind
        self.cosmos = Key("", seed)
        self._secret = coincurve.PrivateKey(seed)
        if kind == SR25519:
            self._public, self._private = sr25519.pair_from_seed(seed)
            self.addr = self._public
        elif kind == ED25519:
            self._private, self.addr = ed25519_zebra.ed_from_seed(seed)
        else:
            self.addr = self.cosmos.addr

    def sign(self, message: bytes) -> bytes:
        """Sign as the kind does."""
        if self.kind == SR25519:
            return sr25519.sign((self._public, self._private), message)
        if self.kind == ED25519:
            return ed25519_zebra.ed_sign(self._private, message)
        return self._secret.sign_recoverable(hash_blake2(message), hasher=None)


def build_transfer(recipient: bytes, amount: int) -> bytes:
    """Build the call `Balances.transfer_keep_alive`."""
    account_id = compute_account_id(recipient)
    return bytes((BALANCES, 3, 0)) + account_id + encode_compact(amount)


def build_batch(calls: list[bytes]) -> bytes:
    """Build the call `Utility.batch_all`."""
    return bytes((UTILITY, 2)) + encode_compact(len(calls)) + b"".join(calls)


def encode_era(period: int, height: int) -> bytes:
    """Encode as sp-runtime does, for periods that need no quantising."""
    bits = period.bit_length() - 2
    return (bits | (height % period) << 4).to_bytes(2, "little")


def build_extrinsic(
    signer: Signer,
    call: bytes,
    *,
    nonce: int,
    genesis_hash: bytes,
    birth_hash: bytes | None = None,
    era: bytes = IMMORTAL,
    tip: int = 0,
    spec_version: int = SPEC_VERSION,
) -> bytes:
    """Build a signed extrinsic as blocks hold it; `birth_hash` is genesis' unless given."""
    extra = era + encode_compact(nonce) + encode_compact(tip)
    versions = spec_version.to_bytes(4, "little") + TRANSACTION_VERSION.to_bytes(4, "little")
    payload = call + extra + versions + genesis_hash + (birth_hash or genesis_hash)
    signature = signer.sign(hash_blake2(payload) if len(payload) > 256 else payload)
    account_id = compute_account_id(signer.addr)
    return wrap_extrinsic(encode_signed(account_id, signer.kind, signature, extra, call))
