"""The folder of a node that joins a chain: keys, its operator's onion seed, genesis, settings."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from node.engine.keys import load_node_id, load_validator_key
from node.onion import SEED_BYTES, OnionKeeper, save_seed
from node.operation import NODE_SETTINGS, get_config_path
from node.runtime.addresses import encode_account
from node.settings import build_template


class HomeExists(Exception):
    """There is a node in the folder: its keys are never overwritten."""


@dataclass(frozen=True)
class NodeIdentity:
    """What others know a node by: its P2P id, its ed25519 key, its beacon anchor (or empty)."""

    node_id: str
    consensus_key: bytes
    anchor: bytes


def init_node_home(home: Path, genesis: Path, operator: bytes | None) -> NodeIdentity:
    """Make a node's folder.

    Args:
        genesis: file to copy; checked by the caller.
        operator: account address of who runs it; None for a node that only follows.
    Raises: HomeExists.
    """
    config = home / "config"
    is_here = (config / "genesis.json").exists() and genesis.samefile(config / "genesis.json")
    taken = ("priv_validator_key.json", "onion_seed", *(() if is_here else ("genesis.json",)))
    for name in taken:
        if (config / name).exists():
            raise HomeExists(f"{config / name} is there: use another --home")
    config.mkdir(parents=True, exist_ok=True)
    if not is_here:
        shutil.copy(genesis, config / "genesis.json")
    key = load_validator_key(config / "priv_validator_key.json")
    node_id = load_node_id(config / "node_key.json")
    path = get_config_path(home)
    if not path.exists():
        path.write_text(build_template(NODE_SETTINGS, "Settings of this node of Descent."))
    anchor = b""
    if operator is not None:
        seed = secrets.token_bytes(SEED_BYTES)
        save_seed(config / "onion_seed", seed)
        (config / "operator").write_text(encode_account(operator) + "\n")
        anchor = OnionKeeper(seed, operator).first_anchor
    return NodeIdentity(node_id, key.public_key, anchor)
