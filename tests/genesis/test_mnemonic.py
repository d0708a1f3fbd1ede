"""Derivation against the published vectors of BIP-39 and BIP-32."""

from __future__ import annotations

from genesis.devnet import MNEMONIC, get_account, list_devnet_addrs
from genesis.mnemonic import compute_seed, derive_account, derive_path

ABANDON = "abandon " * 11 + "about"


def test_bip39_seed() -> None:
    assert compute_seed(ABANDON, "TREZOR").hex() == (
        "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf14"
        "1630c7a3c4ab7c81b2f001698e7463b04"
    )


def test_bip32_vector_1() -> None:
    seed = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    assert derive_path(seed, "m/0'").hex() == (
        "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea"
    )
    assert derive_path(seed, "m/0'/1/2'/2/1000000000").hex() == (
        "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8"
    )


def test_devnet_accounts_are_distinct_and_named() -> None:
    addrs = list_devnet_addrs()
    assert len(addrs) == 50
    assert addrs[get_account("miner-3").addr] == "miner-3"
    assert get_account("faucet").addr == derive_account(MNEMONIC, 0)
