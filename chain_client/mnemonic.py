"""BIP-39 phrases and BIP-32 derivation on secp256k1, at m/44'/118'/index'/0/0.

Source: BIP-39 and BIP-32; tested against their published vectors.
"""

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Sequence

from coincurve import PrivateKey

from chain_client.errors import InvalidMnemonic

COIN_TYPE = 118
NUM_WORDS = 24
_ENTROPY_BYTES_BY_WORDS = {12: 16, 15: 20, 18: 24, 21: 28, 24: 32}
_HARDENED = 2**31
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_PBKDF2_ROUNDS = 2048


def _words() -> Sequence[str]:
    from cosmpy.mnemonic.words import ENGLISH_MNEMONIC_WORDS_LIST

    return list(ENGLISH_MNEMONIC_WORDS_LIST)


def generate_mnemonic() -> str:
    """Return 24 new words from the system's randomness."""
    return encode_entropy(secrets.token_bytes(_ENTROPY_BYTES_BY_WORDS[NUM_WORDS]))


def encode_entropy(entropy: bytes) -> str:
    """Return the phrase of 16, 20, 24, 28 or 32 bytes."""
    assert len(entropy) in _ENTROPY_BYTES_BY_WORDS.values()
    checksum_bits = len(entropy) * 8 // 32
    checksum = hashlib.sha256(entropy).digest()[0] >> (8 - checksum_bits)
    bits = int.from_bytes(entropy, "big") << checksum_bits | checksum
    num_words = (len(entropy) * 8 + checksum_bits) // 11
    words = _words()
    return " ".join(words[bits >> 11 * (num_words - 1 - i) & 0x7FF] for i in range(num_words))


def decode_mnemonic(phrase: str) -> bytes:
    """Return the entropy of a phrase.

    Raises:
        InvalidMnemonic: wrong length, unknown word or wrong checksum.
    """
    words = phrase.split()
    if len(words) not in _ENTROPY_BYTES_BY_WORDS:
        raise InvalidMnemonic(
            f"a mnemonic has 12, 15, 18, 21 or 24 words, this one has {len(words)}"
        )
    index_by_word = {word: index for index, word in enumerate(_words())}
    bits = 0
    for position, word in enumerate(words, start=1):
        if word not in index_by_word:
            raise InvalidMnemonic(
                f"word {position} of the mnemonic is not in the BIP-39 English list",
                hint="check its spelling; all words are lower case",
            )
        bits = bits << 11 | index_by_word[word]
    num_bytes = _ENTROPY_BYTES_BY_WORDS[len(words)]
    entropy = (bits >> num_bytes * 8 // 32).to_bytes(num_bytes, "big")
    if encode_entropy(entropy).split() != words:
        raise InvalidMnemonic(
            "the mnemonic's checksum does not hold",
            hint="one word is wrong, or two are in the wrong order",
        )
    return entropy


def compute_seed(phrase: str, passphrase: str = "") -> bytes:
    """Return the 64-byte seed of a phrase."""
    normal = unicodedata.normalize("NFKD", " ".join(phrase.split()))
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase)
    return hashlib.pbkdf2_hmac("sha512", normal.encode(), salt.encode(), _PBKDF2_ROUNDS)


def derive_path(seed: bytes, path: str) -> bytes:
    """Return the 32-byte secret at a path such as `m/44'/118'/0'/0/0`."""
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    secret, chain_code = digest[:32], digest[32:]
    for part in path.split("/")[1:]:
        index = int(part.rstrip("'")) + (_HARDENED if part.endswith("'") else 0)
        if index >= _HARDENED:
            data = b"\0" + secret
        else:
            data = PrivateKey(secret).public_key.format(compressed=True)
        digest = hmac.digest(chain_code, data + index.to_bytes(4, "big"), "sha512")
        child = (int.from_bytes(digest[:32], "big") + int.from_bytes(secret, "big")) % _CURVE_ORDER
        secret, chain_code = child.to_bytes(32, "big"), digest[32:]
    return secret


def account_path(index: int = 0) -> str:
    """Return the path of an account: one hardened account number each."""
    return f"m/44'/{COIN_TYPE}'/{index}'/0/0"


def derive_secret(phrase: str, index: int = 0) -> bytes:
    """Return the secret of account `index` of a phrase.

    Raises:
        InvalidMnemonic: the phrase is no BIP-39 phrase.
    """
    decode_mnemonic(phrase)
    return derive_path(compute_seed(phrase), account_path(index))
