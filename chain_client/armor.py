"""Private keys as text for moving between machines and wallets: the Cosmos SDK's armour.

    -----BEGIN TENDERMINT PRIVATE KEY-----
    kdf: argon2                       the key under the passphrase, see below
    salt: 32 hex digits
    type: secp256k1

    base64 of the ciphertext
    =CRC-24 of it, base64
    -----END TENDERMINT PRIVATE KEY-----

Written is `argon2`: Argon2id (1 pass, 64 MiB, 4 lanes) and ChaCha20-Poly1305, its nonce zero
because a salt is used once. Read is also what older wallets write, `bcrypt` (cost 12, SHA-256 of
its text) and XSalsa20-Poly1305. The plaintext is Amino's: four bytes that name the type, the
length, the key.

Source: Cosmos SDK crypto/armor.go (v0.47 and v0.50), OpenPGP armour RFC 4880 section 6.
"""

import base64
import binascii
import re
import secrets
from pathlib import Path

from chain_client.errors import KeyFileCorrupted, WrongPassphrase

LABEL = "TENDERMINT PRIVATE KEY"
KEY_TYPE = "secp256k1"
AMINO_HEAD = bytes.fromhex("e1b0f79b20")  # tendermint/PrivKeySecp256k1, 32 bytes
ARGON2_PASSES, ARGON2_KIB, ARGON2_LANES = 1, 64 * 1024, 4
BCRYPT_COST = 12
SALT_BYTES, SECRET_BYTES = 16, 32
LINE_CHARS = 64
CRC24_START, CRC24_POLYNOMIAL = 0xB704CE, 0x1864CFB
_BCRYPT_DIGITS = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_USUAL_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLOCK = re.compile(
    rf"-----BEGIN {LABEL}-----\n(?P<headers>.*?)\n\n(?P<body>[A-Za-z0-9+/=\n]+?)\n"
    rf"=(?P<crc>[A-Za-z0-9+/]{{4}})\n-----END {LABEL}-----",
    re.DOTALL,
)


def is_armored(text: str) -> bool:
    """Tell armour from other forms of a key."""
    return text.lstrip().startswith("-----BEGIN ")


def armor_secret(secret: bytes, passphrase: str) -> str:
    """Encrypt a secp256k1 secret of 32 bytes and write it as armour."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt = secrets.token_bytes(SALT_BYTES)
    cipher = ChaCha20Poly1305(_stretch_argon2(passphrase, salt))
    data = cipher.encrypt(bytes(12), AMINO_HEAD + secret, None)
    encoded = base64.b64encode(data).decode()
    lines = [encoded[at : at + LINE_CHARS] for at in range(0, len(encoded), LINE_CHARS)]
    crc = base64.b64encode(compute_crc24(data).to_bytes(3, "big")).decode()
    headers = ["kdf: argon2", f"salt: {salt.hex().upper()}", f"type: {KEY_TYPE}"]
    block = [f"-----BEGIN {LABEL}-----", *headers, "", *lines, f"={crc}", f"-----END {LABEL}-----"]
    return "\n".join(block) + "\n"


def unarmor_secret(text: str, passphrase: str, path: Path) -> bytes:
    """Return the secret of armour.

    Raises:
        KeyFileCorrupted: the text was cut or edited, or holds another kind of key.
        WrongPassphrase: the passphrase does not open it.
    """
    headers, data = parse_armor(text, path)
    plain = _decrypt(headers, data, passphrase, path)
    if plain[: len(AMINO_HEAD)] != AMINO_HEAD or len(plain) != len(AMINO_HEAD) + SECRET_BYTES:
        raise _corrupted(path, "it holds no secp256k1 key")
    return plain[len(AMINO_HEAD) :]


def parse_armor(text: str, path: Path) -> tuple[dict[str, str], bytes]:
    """Parse armour into headers and ciphertext.

    Raises:
        KeyFileCorrupted: it is none, was cut or edited.
    """
    found = _BLOCK.search(text.replace("\r\n", "\n"))
    if found is None:
        raise _corrupted(path, f"no whole block of {LABEL}")
    pairs = [line.partition(": ") for line in found["headers"].split("\n")]
    headers = {name: value.strip() for name, _, value in pairs}
    try:
        data = base64.b64decode(found["body"].replace("\n", ""), validate=True)
        crc = int.from_bytes(base64.b64decode(found["crc"], validate=True), "big")
        salt = bytes.fromhex(headers.get("salt", ""))
    except (ValueError, binascii.Error):
        raise _corrupted(path, "its base64 or salt does not decode") from None
    if crc != compute_crc24(data):
        raise _corrupted(path, "its checksum does not hold")
    if headers.get("type", KEY_TYPE) != KEY_TYPE or len(salt) != SALT_BYTES:
        raise _corrupted(path, f"a key of type {headers.get('type')!r}, or a salt of another size")
    return headers, data


def compute_crc24(data: bytes) -> int:
    """Compute the checksum of OpenPGP armour."""
    crc = CRC24_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= CRC24_POLYNOMIAL
    return crc


def _decrypt(headers: dict[str, str], data: bytes, passphrase: str, path: Path) -> bytes:
    kdf, salt = headers.get("kdf", ""), bytes.fromhex(headers["salt"])
    if kdf == "argon2":
        plain = _open_argon2(data, passphrase, salt)
    elif kdf == "bcrypt":
        plain = _open_bcrypt(data, passphrase, salt)
    else:
        raise _corrupted(path, f"its kdf is {kdf!r}, not argon2 or bcrypt")
    if plain is None:
        raise WrongPassphrase(
            f"the passphrase does not open {path}",
            path=str(path),
            hint="it is the one the key was exported under",
        )
    return plain


def _open_argon2(data: bytes, passphrase: str, salt: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        return ChaCha20Poly1305(_stretch_argon2(passphrase, salt)).decrypt(bytes(12), data, None)
    except InvalidTag:
        return None


def _stretch_argon2(passphrase: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(
        salt=salt,
        length=32,
        iterations=ARGON2_PASSES,
        lanes=ARGON2_LANES,
        memory_cost=ARGON2_KIB,
    )
    return kdf.derive(passphrase.encode())


def _open_bcrypt(data: bytes, passphrase: str, salt: bytes) -> bytes | None:
    import hashlib

    import bcrypt
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    digits = base64.b64encode(salt).rstrip(b"=")
    settings = b"$2a$%02d$" % BCRYPT_COST
    settings += digits.translate(bytes.maketrans(_USUAL_DIGITS, _BCRYPT_DIGITS))
    key = hashlib.sha256(bcrypt.hashpw(passphrase.encode(), settings)).digest()
    try:
        return bytes(SecretBox(key).decrypt(data))
    except CryptoError:
        return None


def _corrupted(path: Path, what: str) -> KeyFileCorrupted:
    return KeyFileCorrupted(
        f"{path} is no exported key: {what}",
        path=str(path),
        hint="export it again, or recover the key from its mnemonic",
    )
