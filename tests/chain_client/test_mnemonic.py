"""BIP-39 and BIP-32 against their published vectors, and against cosmpy."""

import pytest
from cosmpy.aerial.wallet import LocalWallet
from cosmpy.crypto.keypairs import PrivateKey
from cosmpy.mnemonic import derive_child_key_from_mnemonic
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_client.errors import InvalidMnemonic
from chain_client.keys import Key
from chain_client.mnemonic import (
    compute_seed,
    decode_mnemonic,
    derive_path,
    encode_entropy,
    generate_mnemonic,
)

# From the vectors BIP-39 points to (English, passphrase TREZOR): entropy, phrase, seed.
BIP39 = [
    (
        "00" * 16,
        "abandon " * 11 + "about",
        "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f"
        "2cf141630c7a3c4ab7c81b2f001698e7463b04",
    ),
    (
        "7f" * 16,
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6fa457fe1296106559a3c80937a1"
        "c1069be3a3a5bd381ee6260e8d9739fce1f607",
    ),
    (
        "80" * 16,
        "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
        "d71de856f81a8acc65e6fc851a38d4d7ec216fd0796d0a6827a3ad6ed5511a30fa280f12eb2e47ed2ac03b5c46"
        "2a0358d18d69fe4f985ec81778c1b370b652a8",
    ),
    (
        "ff" * 16,
        "zoo " * 11 + "wrong",
        "ac27495480225222079d7be181583751e86f571027b0497b5b5d11218e0a8a13332572917f0f8e5a589620c6f1"
        "5b11c61dee327651a14c34e18231052e48c069",
    ),
    (
        "00" * 32,
        "abandon " * 23 + "art",
        "bda85446c68413707090a52022edd26a1c9462295029f2e60cd7c4f2bbd3097170af7a4d73245cafa9c3cca8d5"
        "61a7c3de6f5d4a10be8ed2a5e608d68f92fcc8",
    ),
    (
        "ff" * 32,
        "zoo " * 23 + "vote",
        "dd48c104698c30cfe2b6142103248622fb7bb0ff692eebb00089b32d22484e1613912f0a5b694407be899ffd31"
        "ed3992c456cdf60f5d4564b8ba3f05a69890ad",
    ),
]

# BIP-32 test vectors 1 and 3 (leading zeros): seed, path, secret.
SEED_1 = "000102030405060708090a0b0c0d0e0f"
SEED_3 = (
    "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0"
    "c64d2e8a1e7d1457df2e5a3c51c73235be"
)
BIP32 = [
    (SEED_1, "m", "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35"),
    (SEED_1, "m/0'", "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea"),
    (SEED_1, "m/0'/1", "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368"),
    (SEED_1, "m/0'/1/2'", "cbce0d719ecf7431d88e6a89fa1483e02e35092af60c042b1df2ff59fa424dca"),
    (SEED_1, "m/0'/1/2'/2", "0f479245fb19a38a1954c5c7c0ebab2f9bdfd96a17563ef28a6a4b1a2a764ef4"),
    (
        SEED_1,
        "m/0'/1/2'/2/1000000000",
        "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8",
    ),
    (SEED_3, "m", "00ddb80b067e0d4993197fe10f2657a844a384589847602d56f0c629c81aae32"),
    (SEED_3, "m/0'", "491f7a2eebc7b57028e0d3faa0acda02e75c33b03c48fb288c41e2ea44e1daef"),
]


@pytest.mark.parametrize(("entropy", "phrase", "seed"), BIP39)
def test_published_phrases(entropy: str, phrase: str, seed: str) -> None:
    assert encode_entropy(bytes.fromhex(entropy)) == phrase
    assert decode_mnemonic(phrase).hex() == entropy
    assert compute_seed(phrase, "TREZOR").hex() == seed


@pytest.mark.parametrize(("seed", "path", "secret"), BIP32)
def test_published_derivations(seed: str, path: str, secret: str) -> None:
    assert derive_path(bytes.fromhex(seed), path).hex() == secret


@pytest.mark.parametrize("index", [0, 1, 7])
def test_same_address_as_cosmpy(index: int) -> None:
    phrase = BIP39[4][1]
    secret = derive_child_key_from_mnemonic(phrase, path=f"m/44'/118'/{index}'/0/0")
    wallet = LocalWallet(PrivateKey(secret), prefix="descent")
    key = Key.from_mnemonic("a", phrase, index)
    assert key.address == str(wallet.address())
    assert key.public_key == wallet.public_key().public_key_bytes


def test_generated_phrases_differ() -> None:
    phrases = {generate_mnemonic() for _ in range(3)}
    assert len(phrases) == 3
    assert all(len(phrase.split()) == 24 for phrase in phrases)


@settings(max_examples=30)
@given(st.sampled_from([16, 20, 24, 28, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
def test_round_trip(entropy: bytes) -> None:
    assert decode_mnemonic("  ".join(encode_entropy(entropy).split())) == entropy


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("", "has 0"),
        ("abandon " * 13, "has 13"),
        ("abandon " * 11 + "abuot", "word 12"),
        ("abandon " * 12, "checksum"),
    ],
)
def test_invalid_phrase(phrase: str, words: str) -> None:
    with pytest.raises(InvalidMnemonic, match=words):
        decode_mnemonic(phrase)
