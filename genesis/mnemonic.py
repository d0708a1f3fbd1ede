"""Account keys from a mnemonic: BIP-39 seed, BIP-32 path m/44'/118'/INDEX'/0/0 on secp256k1.

Only derivation: phrases are made and checked in the chain client. Tested against the published
vectors of both documents.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

from coincurve import PrivateKey

from node.runtime.addresses import compute_account_address

COIN_TYPE = 118
HARDENED = 2**31
CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
SEED_ROUNDS = 2_048


def compute_seed(phrase: str, passphrase: str = "") -> bytes:
    """Compute the 64-byte BIP-39 seed of a phrase."""
    words = unicodedata.normalize("NFKD", " ".join(phrase.split()))
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase)
    return hashlib.pbkdf2_hmac("sha512", words.encode(), salt.encode(), SEED_ROUNDS)


def derive_path(seed: bytes, path: str) -> bytes:
    """Derive the 32-byte secret at a path such as `m/44'/118'/0'/0/0`."""
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    secret, chain_code = digest[:32], digest[32:]
    for part in path.split("/")[1:]:
        number = int(part.rstrip("'"))
        if part.endswith("'"):
            data = b"\x00" + secret + (number + HARDENED).to_bytes(4, "big")
        else:
            public = PrivateKey(secret).public_key.format(compressed=True)
            data = public + number.to_bytes(4, "big")
        digest = hmac.digest(chain_code, data, "sha512")
        total = int.from_bytes(digest[:32], "big") + int.from_bytes(secret, "big")
        secret, chain_code = (total % CURVE_ORDER).to_bytes(32, "big"), digest[32:]
    return secret


def derive_secret(phrase: str, index: int) -> bytes:
    """Derive the secret of account `index`."""
    return derive_path(compute_seed(phrase), f"m/44'/{COIN_TYPE}'/{index}'/0/0")


def derive_account(phrase: str, index: int) -> bytes:
    """Derive the 20-byte address of account `index`."""
    public = PrivateKey(derive_secret(phrase, index)).public_key.format(compressed=True)
    return compute_account_address(public)
