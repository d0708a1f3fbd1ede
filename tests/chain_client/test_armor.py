"""Keys as armoured text: what other wallets wrote, and what damage says."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_client.armor import armor_secret, compute_crc24, parse_armor, unarmor_secret
from chain_client.errors import InvalidMnemonic, KeyFileCorrupted, WrongPassphrase
from chain_client.keys import Key
from chain_client.suri import derive_suri

SECRET = bytes(range(1, 33))
PATH = Path("key.asc")
# Of the Cosmos SDK's own test of `keys import`, passphrase 123456789.
FOREIGN = """-----BEGIN TENDERMINT PRIVATE KEY-----
salt: A790BB721D1C094260EA84F5E5B72289
kdf: bcrypt

HbP+c6JmeJy9JXe2rbbF1QtCX1gLqGcDQPBXiCtFvP7/8wTZtVOPj8vREzhZ9ElO
3P7YnrzPQThG0Q+ZnRSbl9MAS8uFAM4mqm5r/Ys=
=f3l4
-----END TENDERMINT PRIVATE KEY-----
"""

# Written by a Go program with the SDK's steps and golang.org/x/crypto, passphrase battery staple.
FROM_GO = """-----BEGIN TENDERMINT PRIVATE KEY-----
kdf: argon2
type: secp256k1
salt: 07070707070707070707070707070707

3cKiioT/l6Xmce5wFuJIAhPRRhpL9DymMgArKsesHirIzQZQIqsgbGXP/pZnAMUV
pMtcBfY=
=p0su
-----END TENDERMINT PRIVATE KEY-----"""


def test_round_trip() -> None:
    text = armor_secret(SECRET, "correct horse")
    assert max(len(line) for line in text.splitlines()) <= 64
    assert unarmor_secret(text, "correct horse", PATH) == SECRET
    assert unarmor_secret(text.replace("\n", "\r\n"), "correct horse", PATH) == SECRET
    with pytest.raises(WrongPassphrase, match="does not open"):
        unarmor_secret(text, "wrong horse", PATH)


def test_foreign_wallet() -> None:
    assert len(unarmor_secret(FOREIGN, "123456789", PATH)) == 32
    with pytest.raises(WrongPassphrase):
        unarmor_secret(FOREIGN, "12345678", PATH)


def test_foreign_wallet__argon2() -> None:
    assert unarmor_secret(FROM_GO, "battery staple", PATH) == b"\x09" * 32


def test_crc24() -> None:
    """The check value of CRC-24/OPENPGP."""
    assert compute_crc24(b"123456789") == 0x21CF02


@settings(max_examples=60)
@given(at=st.integers(0, 400), byte=st.sampled_from("\n =A/x-\x7f"))
def test_invalid_damaged(at: int, byte: str) -> None:
    """One character changed: refused as damaged, or the same block still."""
    text = FOREIGN
    at %= len(text)
    changed = text[:at] + byte + text[at + 1 :]
    try:
        headers, data = parse_armor(changed, PATH)
    except KeyFileCorrupted:
        return
    before = parse_armor(text, PATH)
    assert data == before[1]
    assert (
        headers["salt"] != before[0]["salt"]
        or "kdf" not in headers
        or headers == before[0]
        or (headers["kdf"] != "bcrypt")
    )


@pytest.mark.parametrize(
    ("text", "public_key"),
    [
        ("//Alice", "020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1"),
        ("//Bob", "0390084fdbf27d2b79d26a4f13f0ccd982cb755a661969143c37cbc49ef5b91f27"),
        (
            "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice",
            "020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1",
        ),
        (
            "0xcb6df9de1efca7a3998a8ead4e02159d5fa99c3e0d4fd6432667390bb4726854",
            "020a1091341fe5664bfa1782d5e04779689068c916b04cb365ec3153755684d9a1",
        ),
    ],
)
def test_suri(text: str, public_key: str) -> None:
    assert Key("a", derive_suri(text)).public_key.hex() == public_key


def test_suri__paths_and_passwords_count() -> None:
    texts = ["//a", "//1", "//a//1", "//1//a", "//a///secret", "//" + "long" * 20]
    assert len({derive_suri(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("text", ["/soft", "0x1234", "abandon abandon", "//a/soft", "0xzz//a"])
def test_invalid_suri(text: str) -> None:
    with pytest.raises(InvalidMnemonic):
        derive_suri(text)
