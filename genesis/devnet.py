"""The devnet preset: named accounts from one published mnemonic, and the genesis they start with.

Account index: faucet 0, owner 1, validator-i 100+i, miner-i 200+i. Everyone knows these keys;
a genesis that is not marked as a devnet refuses them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from genesis.builder import GenesisBuilder
from genesis.document import save_document
from genesis.mnemonic import COIN_TYPE, compute_seed, derive_path
from node.chain import CHAIN_ID
from node.engine.keys import load_validator_key
from node.onion import SEED_BYTES, OnionKeeper, save_seed
from node.runtime.addresses import compute_account_address, encode_account

DEVNET_MNEMONIC = "test test test test test test test test test test test junk"
FAUCET_INDEX = 0
OWNER_INDEX = 1
FIRST_VALIDATOR_INDEX = 100
FIRST_MINER_INDEX = 200
MAX_NAMED = 32
"""validator-0..31 and miner-0..31 are known by name."""

FAUCET_UDSC = 1_000_000 * 10**6
OWNER_UDSC = 10_000 * 10**6
VALIDATOR_UDSC = 2_000 * 10**6
MINER_UDSC = 100 * 10**6
SELF_BOND_UDSC = 1_000 * 10**6
DEVNET_PARAMS: dict[str, dict[str, Any]] = {
    "staking": {"unbonding_time": "60s", "max_validators": 100, "max_entries": 7},
}
"""Unbonding takes a minute, so that it can be watched."""


@dataclass(frozen=True)
class DevnetAccount:
    """A named account of the devnet; `index` is the hardened account number of its path."""

    name: str
    role: str
    index: int
    secret: bytes
    addr: bytes

    @property
    def address(self) -> str:
        """Bech32 address."""
        return encode_account(self.addr)


@lru_cache(maxsize=1)
def get_devnet_seed() -> bytes:
    """Get the seed of the published mnemonic."""
    return compute_seed(DEVNET_MNEMONIC)


@lru_cache(maxsize=256)
def make_account(name: str) -> DevnetAccount:
    """Make the account of a name: faucet, owner, validator-i or miner-i.

    Raises: KeyError for another name.
    """
    role, _, number = name.partition("-")
    firsts = {"validator": FIRST_VALIDATOR_INDEX, "miner": FIRST_MINER_INDEX}
    if name == "faucet":
        index = FAUCET_INDEX
    elif name == "owner":
        index = OWNER_INDEX
    elif role in firsts and number.isdigit() and int(number) < MAX_NAMED:
        index = firsts[role] + int(number)
    else:
        raise KeyError(f"{name} is no devnet account")
    secret = derive_path(get_devnet_seed(), f"m/44'/{COIN_TYPE}'/{index}'/0/0")
    addr = compute_account_address(derive_public_key(secret))
    return DevnetAccount(name, role, index, secret, addr)


def derive_public_key(secret: bytes) -> bytes:
    """Derive the compressed public key of a secret."""
    return PrivateKey(secret).public_key.format(compressed=True)


def list_names(num_validators: int, num_miners: int) -> list[str]:
    """List the account names of a devnet."""
    validators = [f"validator-{index}" for index in range(num_validators)]
    miners = [f"miner-{index}" for index in range(num_miners)]
    return ["faucet", "owner", *validators, *miners]


@lru_cache(maxsize=1)
def list_devnet_addrs() -> dict[bytes, str]:
    """List every address whose key is published, with its name."""
    names = list_names(MAX_NAMED, MAX_NAMED)
    return {make_account(name).addr: name for name in names}


@dataclass(frozen=True)
class OperatorKeys:
    """What an operator's node brings into genesis: ed25519 key and beacon anchor, 32 bytes each."""

    consensus_key: bytes
    anchor: bytes


def build_devnet(
    operators: list[OperatorKeys],
    *,
    time_ns: int,
    num_validators: int,
    num_miners: int,
    chain_id: str = CHAIN_ID,
    params: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Build the genesis of a devnet.

    Args:
        operators: one a consensus node; validator-i owns operator i. Further scoring validators are
            operators too, with a consensus key nobody runs.
        time_ns: genesis time, nanoseconds since 1970.
        params: parameter sections by pallet over the preset.
    """
    builder = GenesisBuilder(
        chain_id, time_ns, is_devnet=True, params={**DEVNET_PARAMS, **(params or {})}
    )
    num_operators = max(num_validators, len(operators))
    amounts = {"faucet": FAUCET_UDSC, "owner": OWNER_UDSC}
    amounts |= {f"validator-{index}": VALIDATOR_UDSC for index in range(num_operators)}
    amounts |= {f"miner-{index}": MINER_UDSC for index in range(num_miners)}
    for name, udsc in amounts.items():
        builder.add_account(make_account(name).addr, udsc)
    for index in range(num_operators):
        account = make_account(f"validator-{index}")
        if index < len(operators):
            consensus_key = operators[index].consensus_key
            builder.register_beacon(account.addr, operators[index].anchor)
        else:
            consensus_key = hashlib.sha256(f"devnet/{account.name}".encode()).digest()
        builder.add_operator(account.addr, account.name, consensus_key, SELF_BOND_UDSC)
    return builder.build()


def init_devnet_home(
    home: Path,
    *,
    time_ns: int,
    onion_seed: bytes,
    num_validators: int = 2,
    num_miners: int = 3,
    chain_id: str = CHAIN_ID,
    params: dict[str, dict[str, Any]] | None = None,
) -> str:
    """Make the home of a devnet's one node: keys, onion seed, genesis; returns the genesis hash.

    Args:
        onion_seed: 32 secret bytes; the same seed gives the same beacon.
    """
    if len(onion_seed) != SEED_BYTES:
        raise ValueError(f"onion_seed has {len(onion_seed)} bytes, expected {SEED_BYTES}")
    config = home / "config"
    config.mkdir(parents=True, exist_ok=True)
    key = load_validator_key(config / "priv_validator_key.json")
    operator = make_account("validator-0")
    save_seed(config / "onion_seed", onion_seed)
    (config / "operator").write_text(operator.address + "\n")
    anchor = OnionKeeper(onion_seed, operator.addr).first_anchor
    document = build_devnet(
        [OperatorKeys(key.public_key, anchor)],
        time_ns=time_ns,
        num_validators=num_validators,
        num_miners=num_miners,
        chain_id=chain_id,
        params=params,
    )
    return save_document(config / "genesis.json", document)
