"""Secrets as Substrate tools write them: `PHRASE//hard//path`, `//Alice`, `0xSEED`, for secp256k1.

The 32-byte seed is the first half of PBKDF2 over the phrase's entropy (not over its words, as in
BIP-39); each hard junction hashes it with its name. An empty phrase is the development phrase that
everybody knows. The same text gives the account that polkadot.js and subkey derive with `ecdsa`.

Source: Substrate primitives/core/src/crypto.rs, ecdsa.rs; substrate-bip39; tested against subkey's
output for //Alice and //Bob.
"""

import hashlib
import re

from chain_client.errors import InvalidMnemonic
from chain_client.mnemonic import decode_mnemonic

DEVELOPMENT_PHRASE = (
    "bottom drive obey lake curtain smoke basket hold race lonely fit walk"  # published
)
JUNCTION_TAG = b"Secp256k1HDKD"
PBKDF2_ROUNDS = 2048
SEED_BYTES = 32
_SURI = re.compile(r"(?P<phrase>[^/]*)(?P<path>(//?[^/]+)*?)(///(?P<password>.*))?")


def derive_suri(text: str) -> bytes:
    """Return the 32-byte secret of a Substrate URI.

    Raises:
        InvalidMnemonic: no phrase, a seed of another size, or a soft junction.
    """
    found = _SURI.fullmatch(text.strip())
    if found is None:
        raise InvalidMnemonic("this is no Substrate URI: PHRASE//hard//path or 0xSEED//path")
    seed = _compute_seed(found["phrase"].strip() or DEVELOPMENT_PHRASE, found["password"] or "")
    for slashes, junction in re.findall(r"(//?)([^/]+)", found["path"]):
        if slashes == "/":
            raise InvalidMnemonic(
                f"/{junction} is a soft junction: secp256k1 keys have hard ones only",
                hint=f"write //{junction}",
            )
        seed = _derive_hard(seed, junction)
    return seed


def _compute_seed(phrase: str, password: str) -> bytes:
    if phrase.startswith("0x"):
        try:
            seed = bytes.fromhex(phrase[2:])
        except ValueError:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise InvalidMnemonic(f"a seed has {SEED_BYTES} bytes in hex after 0x")
        return seed
    entropy, salt = decode_mnemonic(phrase), b"mnemonic" + password.encode()
    return hashlib.pbkdf2_hmac("sha512", entropy, salt, PBKDF2_ROUNDS)[:SEED_BYTES]


def _derive_hard(seed: bytes, junction: str) -> bytes:
    if junction.isdecimal() and int(junction) < 2**64:
        code = int(junction).to_bytes(8, "little")
    else:
        raw = junction.encode()
        code = _encode_compact(len(raw)) + raw
        if len(code) > SEED_BYTES:
            code = hashlib.blake2b(code, digest_size=SEED_BYTES).digest()
    data = _encode_compact(len(JUNCTION_TAG)) + JUNCTION_TAG + seed + code.ljust(SEED_BYTES, b"\0")
    return hashlib.blake2b(data, digest_size=SEED_BYTES).digest()


def _encode_compact(number: int) -> bytes:
    """Encode a length as SCALE does, up to 2^14."""
    return bytes((number << 2,)) if number < 64 else (number << 2 | 1).to_bytes(2, "little")
