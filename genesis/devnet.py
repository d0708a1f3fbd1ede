"""The devnet preset: named accounts of one published mnemonic, and the genesis they start with.

Account index: faucet 0, owner 1, then 16 validators, then 32 miners. Beside them the six accounts
of every Substrate development chain, //Alice to //Ferdie, so that the examples of Substrate clients
run as they stand. Everyone knows these keys; a genesis that is not marked as a devnet refuses them.
Every validator is an operator with a bond; node i of a devnet belongs to validator-i, the others
score without running a node.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from chain_client.mnemonic import account_path, compute_seed, derive_path
from genesis.builder import GenesisBuilder
from genesis.document import save_document
from node.chain import CHAIN_ID
from node.engine.keys import load_node_id, load_validator_key
from node.onion import SEED_BYTES, OnionKeeper, save_seed
from node.pallets.gov.types import GovParams
from node.pallets.slashing.types import SlashingParams
from node.runtime.addresses import compute_account_address, encode_account
from node.runtime.params import ParamsCodec

MNEMONIC = (
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
)
NUM_VALIDATORS = 16
NUM_MINERS = 32

FAUCET_UDSC = 1_000_000 * 10**6
OWNER_UDSC = 10_000 * 10**6
VALIDATOR_UDSC = 11_000 * 10**6
MINER_UDSC = 100 * 10**6
SELF_BOND_UDSC = 1_000 * 10**6
DEVELOPMENT_UDSC = 10_000 * 10**6
DEVELOPMENT_ADDRS = {
    "//Alice": "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
    "//Bob": "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48",
    "//Charlie": "90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22",
    "//Dave": "306721211d5404bd9da88e0204360a1a9ab8b87c66c1bc2fcdd37f3c2222cc20",
    "//Eve": "e659a7a1628cdd93febc04a4e0646ea20e9f5f0ce097d9a05290d4a9e054df4e",
    "//Ferdie": "1cbd2d43530a44705ad088af313e18f80b53ef16b36177cd4b77b846f2a5f07c",
}
"""Public sr25519 keys derived from Substrate's development phrase, 32 bytes as hex."""
DEVNET_PARAMS: dict[str, dict[str, Any]] = {
    "staking": {"unbonding_time": "60s", "max_validators": 100, "max_entries": 7},
    "slashing": ParamsCodec(SlashingParams).to_json(
        SlashingParams(
            signed_blocks_window=1_000, min_signed_per_window=5 * 10**16, downtime_jail_seconds=60
        )
    ),
    "gov": ParamsCodec(GovParams).to_json(
        GovParams(max_deposit_seconds=60, voting_seconds=30, expedited_voting_seconds=15)
    ),
}
"""Unbonding, jail and votes take a minute at most; a node may be away for minutes."""


@dataclass(frozen=True)
class DevnetAccount:
    """An account of every devnet.

    Args:
        name, role: "miner-0", "miner".
        index: account index under `MNEMONIC`, path m/44'/118'/index'/0/0.
        balance_udsc: at genesis, a bond included.
    """

    name: str
    role: str
    index: int
    balance_udsc: int

    @property
    def secret(self) -> bytes:
        """The published secp256k1 key, 32 bytes."""
        return derive_path(get_devnet_seed(), account_path(self.index))

    @property
    def addr(self) -> bytes:
        """The account's address, 20 bytes."""
        return get_addr(self.index)

    @property
    def address(self) -> str:
        """The account's address as bech32."""
        return encode_account(self.addr)


@lru_cache(maxsize=1)
def get_devnet_seed() -> bytes:
    """Get the seed of the published mnemonic."""
    return compute_seed(MNEMONIC)


@lru_cache(maxsize=256)
def get_addr(index: int) -> bytes:
    """Get the address of an account index."""
    secret = derive_path(get_devnet_seed(), account_path(index))
    return compute_account_address(PrivateKey(secret).public_key.format(compressed=True))


def list_accounts() -> list[DevnetAccount]:
    """List the accounts of every devnet: faucet, owner, validators, miners."""
    first_miner = 2 + NUM_VALIDATORS
    validators = [
        DevnetAccount(f"validator-{i}", "validator", 2 + i, VALIDATOR_UDSC)
        for i in range(NUM_VALIDATORS)
    ]
    miners = [
        DevnetAccount(f"miner-{i}", "miner", first_miner + i, MINER_UDSC) for i in range(NUM_MINERS)
    ]
    faucet = DevnetAccount("faucet", "faucet", 0, FAUCET_UDSC)
    return [faucet, DevnetAccount("owner", "owner", 1, OWNER_UDSC), *validators, *miners]


def get_account(name: str) -> DevnetAccount:
    """Get an account by name.

    Raises: KeyError.
    """
    return {account.name: account for account in list_accounts()}[name]


@lru_cache(maxsize=1)
def list_devnet_addrs() -> dict[bytes, str]:
    """List every address whose key is published, with its name."""
    found = {account.addr: account.name for account in list_accounts()}
    return found | {bytes.fromhex(key): name for name, key in DEVELOPMENT_ADDRS.items()}


@dataclass(frozen=True)
class OperatorKeys:
    """What an operator's node brings into genesis: ed25519 key and beacon anchor, 32 bytes each."""

    consensus_key: bytes
    anchor: bytes


def build_devnet(
    operators: list[OperatorKeys],
    *,
    time_ns: int,
    chain_id: str = CHAIN_ID,
    params: dict[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Build the genesis of a devnet.

    Args:
        operators: one a consensus node; operator i is validator-i.
        time_ns: genesis time, nanoseconds since 1970.
        params: parameter sections by pallet over the preset.
    """
    builder = GenesisBuilder(
        chain_id, time_ns, is_devnet=True, params={**DEVNET_PARAMS, **(params or {})}
    )
    accounts = list_accounts()
    for account in accounts:
        builder.add_account(account.addr, account.balance_udsc)
    for public_key in DEVELOPMENT_ADDRS.values():
        builder.add_account(bytes.fromhex(public_key), DEVELOPMENT_UDSC)
    validators = [account for account in accounts if account.role == "validator"]
    for index, account in enumerate(validators):
        consensus_key = hashlib.sha256(f"devnet/{account.name}".encode()).digest()
        if index < len(operators):
            consensus_key = operators[index].consensus_key
            builder.register_beacon(account.addr, operators[index].anchor)
        builder.add_operator(account.addr, account.name, consensus_key, SELF_BOND_UDSC)
    return builder.build()


def init_devnet_home(
    home: Path,
    *,
    time_ns: int,
    onion_seed: bytes,
    chain_id: str = CHAIN_ID,
    params: dict[str, dict[str, Any]] | None = None,
) -> str:
    """Make the home of a devnet's one node; see `init_devnet_homes`."""
    return init_devnet_homes(
        [home], time_ns=time_ns, onion_seeds=[onion_seed], chain_id=chain_id, params=params
    )


def init_devnet_homes(
    homes: Sequence[Path],
    *,
    time_ns: int,
    onion_seeds: Sequence[bytes],
    chain_id: str = CHAIN_ID,
    params: dict[str, dict[str, Any]] | None = None,
) -> str:
    """Make the homes of a devnet's nodes: keys, onion seeds, one genesis; returns its hash.

    Node i belongs to validator-i; all have equal consensus power.

    Args:
        onion_seeds: 32 secret bytes a node; the same seeds give the same beacon.
    """
    operators = []
    for index, (home, seed) in enumerate(zip(homes, onion_seeds, strict=True)):
        if len(seed) != SEED_BYTES:
            raise ValueError(f"onion_seed has {len(seed)} bytes, expected {SEED_BYTES}")
        config = home / "config"
        config.mkdir(parents=True, exist_ok=True)
        key = load_validator_key(config / "priv_validator_key.json")
        load_node_id(config / "node_key.json")
        operator = get_account(f"validator-{index}")
        save_seed(config / "onion_seed", seed)
        (config / "operator").write_text(operator.address + "\n")
        anchor = OnionKeeper(seed, operator.addr).first_anchor
        operators.append(OperatorKeys(key.public_key, anchor))
    document = build_devnet(operators, time_ns=time_ns, chain_id=chain_id, params=params)
    for home in homes:
        digest = save_document(home / "config" / "genesis.json", document)
    return digest


def write_node_homes(homes: Sequence[Path], addresses: Mapping[str, str], time_ns: int) -> None:
    """Make the homes of a devnet's nodes unless they are there.

    Args:
        addresses: account name -> bech32 address as the caller's keyring has them.
        time_ns: genesis time, nanoseconds since 1970.
    Raises: ValueError if the keyring holds another key under a devnet name.
    """
    if (homes[-1] / "config" / "genesis.json").exists():
        return
    for account in list_accounts():
        found = addresses.get(account.name, account.address)
        if found != account.address:
            raise ValueError(
                f"the keyring has {found} as {account.name}, the devnet {account.address}: use "
                "another --home, or remove that key"
            )
    seeds = [secrets.token_bytes(SEED_BYTES) for _ in homes]
    init_devnet_homes(homes, time_ns=time_ns, onion_seeds=seeds)
