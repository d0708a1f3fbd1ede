"""The accounts of every devnet."""

from __future__ import annotations

from chain_client.keys import Key
from genesis.devnet import MNEMONIC, get_account, list_devnet_addrs


def test_accounts_are_distinct_and_named() -> None:
    addrs = list_devnet_addrs()
    assert len(addrs) == 50
    assert addrs[get_account("miner-3").addr] == "miner-3"


def test_accounts_are_those_of_the_keyring() -> None:
    account = get_account("validator-1")
    key = Key.from_mnemonic(account.name, MNEMONIC, account.index)
    assert (key.secret, key.address) == (account.secret, account.address)
