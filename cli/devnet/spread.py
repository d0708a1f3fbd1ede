"""Folders of a devnet whose processes run apart: containers, namespaces, machines.

Each process gets a folder of its own with its keys and its settings, and finds the others by host
name:

    DIR/node-0 ... node-3          nodes on CometBFT, all doors on every address
    DIR/owner                      key of the run's owner, and run.toml
    DIR/validator-0, DIR/miner-0   key, and validator.toml or miner.toml
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain_client.keys import Key, Keyring
from cli.devnet.layout import FIRST_PARTICIPANT_PORT, PORTS, RUN_ID
from cli.participant_settings import FIRST_MONITOR_PORT, MINER, VALIDATOR
from genesis import devnet
from node.engine.comet.config import P2P_PORT
from node.engine.keys import load_node_id
from node.operation import COMETBFT, get_config_path
from node.settings import format_value

EVERYWHERE = "0.0.0.0"


@dataclass(frozen=True)
class SpreadPlan:
    """What to make.

    Args:
        folder: the folders are made below it.
        num_nodes, num_validators, num_miners: how many of each.
        hosts: process name -> host name or address; one that is absent is called like itself.
    """

    folder: Path
    num_nodes: int = 4
    num_validators: int = 2
    num_miners: int = 3
    hosts: Mapping[str, str] = field(default_factory=dict)

    def get_host(self, name: str) -> str:
        """Return where a process is reached."""
        return self.hosts.get(name, name)

    def list_nodes(self) -> list[str]:
        """List the names of the nodes."""
        return [f"node-{index}" for index in range(self.num_nodes)]

    def list_participants(self) -> list[tuple[str, str]]:
        """List (name, program) of validators and miners."""
        validators = [(f"validator-{index}", VALIDATOR) for index in range(self.num_validators)]
        return validators + [(f"miner-{index}", MINER) for index in range(self.num_miners)]


def make_folders(plan: SpreadPlan, spec: str) -> list[str]:
    """Make every folder that is not there; returns the names of all processes.

    Args:
        spec: text of the owner's run.toml.
    """
    homes = [plan.folder / name for name in plan.list_nodes()]
    devnet.write_node_homes(homes, {}, time.time_ns())
    for index in range(plan.num_nodes):
        _write(get_config_path(homes[index]), _make_node_file(plan, index, homes))
    _add_key(plan.folder / "owner", "owner")
    _write(plan.folder / "owner" / "run.toml", spec)
    for index, (name, program) in enumerate(plan.list_participants()):
        _add_key(plan.folder / name, name)
        nodes = plan.list_nodes()
        nodes = nodes[index % plan.num_nodes :] + nodes[: index % plan.num_nodes]
        _write(plan.folder / name / f"{program}.toml", _make_participant_file(plan, name, nodes))
    return [*plan.list_nodes(), "owner", *(name for name, _ in plan.list_participants())]


def _make_node_file(plan: SpreadPlan, index: int, homes: list[Path]) -> str:
    names = plan.list_nodes()
    peers = [
        f"{load_node_id(home / 'config' / 'node_key.json')}@{plan.get_host(name)}:{P2P_PORT}"
        for name, home in zip(names, homes, strict=True)
        if name != names[index]
    ]
    sections: dict[str, dict[str, Any]] = {
        "node": {"engine": COMETBFT, "moniker": names[index]},
        "p2p": {"listen": f"{EVERYWHERE}:{P2P_PORT}", "peers": peers},
    }
    for door, port in PORTS.items():
        sections[door] = {"listen": f"{EVERYWHERE}:{port}"}
    return format_sections(sections)


def _make_participant_file(plan: SpreadPlan, name: str, nodes: list[str]) -> str:
    doors = [f"{plan.get_host(node)}:{PORTS['grpc']}" for node in nodes]
    return format_sections(
        {
            "": {
                "run": RUN_ID,
                "key": name,
                "node": ",".join(doors),
                "host": EVERYWHERE,
                "port": FIRST_PARTICIPANT_PORT,
                "advertise": plan.get_host(name),
            },
            "monitor": {"listen": f"{EVERYWHERE}:{FIRST_MONITOR_PORT}"},
        }
    )


def format_sections(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a file of settings; the section "" is its top."""
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{key} = {format_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _add_key(home: Path, name: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    keyring = Keyring(home, backend="test")
    if name not in {info.name for info in keyring.list()}:
        keyring.add(Key.from_mnemonic(name, devnet.MNEMONIC, devnet.get_account(name).index))


def _write(path: Path, text: str) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
