"""The accounts of every devnet."""

from __future__ import annotations

from substrateinterface import Keypair

from chain_client.keys import Key
from genesis.devnet import DEVELOPMENT_ADDRS, MNEMONIC, get_account, list_devnet_addrs


def test_accounts_are_distinct_and_named() -> None:
    addrs = list_devnet_addrs()
    assert len(addrs) == 56
    assert addrs[get_account("miner-3").addr] == "miner-3"


def test_accounts_are_those_of_the_keyring() -> None:
    account = get_account("validator-1")
    key = Key.from_mnemonic(account.name, MNEMONIC, account.index)
    assert (key.secret, key.address) == (account.secret, account.address)


def test_accounts_of_substrate_examples() -> None:
    assert len(DEVELOPMENT_ADDRS) == 6
    for uri, public_key in DEVELOPMENT_ADDRS.items():
        assert Keypair.create_from_uri(uri).public_key.hex() == public_key
        assert list_devnet_addrs()[bytes.fromhex(public_key)] == uri
