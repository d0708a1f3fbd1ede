"""Folders, ports and processes of a devnet, and the file that says so: `<home>/devnet.json`."""

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.output import CommandFailed
from cli.participant_settings import FIRST_MONITOR_PORT

DEFAULT_HOME = Path(".devnet")
CHAIN_ID = "descent-devnet-1"
RUN_ID = 1
FIRST_PARTICIPANT_PORT = 9300
MAX_PARTICIPANTS = 64

PORTS = {"grpc": 9090, "rpc": 26657, "substrate": 9944, "rest": 1317, "monitor": 9600}
COMET_PORTS = {**PORTS, "p2p": 26656}
PORTS_PER_NODE = 10
EMBEDDED, COMETBFT = "embedded", "cometbft"
ENGINES = (EMBEDDED, COMETBFT)
MAX_NODES = 16


@dataclass(frozen=True)
class DevnetPlan:
    """What `devnet up` was asked for.

    Attributes:
        home: folder of the devnet.
        num_miners: honest miners.
        num_validators: validators.
        attackers: kinds, one further miner each.
        seed: of the run's first weights.
        port_offset: added to every port.
        dataset_dir: text to train on, None for the default corpus.
        engine: who orders blocks.
        num_nodes: nodes of the chain; more than one with CometBFT.
    """

    home: Path
    num_miners: int = 3
    num_validators: int = 2
    attackers: tuple[str, ...] = ()
    seed: int = 1
    port_offset: int = 0
    dataset_dir: Path | None = None
    engine: str = EMBEDDED
    num_nodes: int = 1

    def list_nodes(self) -> list[str]:
        """List the names of the nodes: node, node-1, node-2."""
        return ["node", *(f"node-{index}" for index in range(1, self.num_nodes))]

    def list_node_homes(self) -> list[Path]:
        """List the folders of the nodes."""
        return [self.home / name for name in self.list_nodes()]

    @property
    def logs(self) -> Path:
        """Folder of the log files, one a process."""
        return self.home / "logs"

    @property
    def has_run(self) -> bool:
        """Whether anything is trained."""
        return bool(self.num_miners and self.num_validators)

    def get_port(self, name: str, node_index: int = 0) -> int:
        """Return a port of a node."""
        return COMET_PORTS[name] + PORTS_PER_NODE * node_index + self.port_offset

    def list_endpoints(self) -> dict[str, str]:
        """List what clients connect to: grpc, rpc, substrate, rest, monitor; then grpc-1..."""
        found = {}
        for index in range(self.num_nodes):
            suffix = f"-{index}" if index else ""
            found[f"grpc{suffix}"] = f"127.0.0.1:{self.get_port('grpc', index)}"
            found[f"rpc{suffix}"] = f"http://127.0.0.1:{self.get_port('rpc', index)}"
            found[f"substrate{suffix}"] = f"ws://127.0.0.1:{self.get_port('substrate', index)}"
            found[f"rest{suffix}"] = f"http://127.0.0.1:{self.get_port('rest', index)}"
            found[f"monitor{suffix}"] = f"http://127.0.0.1:{self.get_port('monitor', index)}"
        return found

    @property
    def grpc(self) -> str:
        """Endpoint of the first node's Cosmos gRPC door."""
        return f"127.0.0.1:{self.get_port('grpc')}"

    def join_grpc(self, first: int = 0) -> str:
        """Join the Cosmos gRPC doors of all nodes, beginning with that of node `first`."""
        order = [(first + step) % self.num_nodes for step in range(self.num_nodes)]
        return ",".join(f"127.0.0.1:{self.get_port('grpc', index)}" for index in order)


@dataclass(frozen=True)
class ProcessPlan:
    """One process: its name and command line."""

    name: str
    command: tuple[str, ...]


def list_participants(plan: DevnetPlan) -> list[ProcessPlan]:
    """List the miners, attackers and validators with their commands."""
    common = ("--run", str(RUN_ID), "--port-offset", str(plan.port_offset))
    data = () if plan.dataset_dir is None else ("--dataset", str(plan.dataset_dir))
    processes = []
    for i in range(plan.num_validators):
        name = f"validator-{i}"
        command = descent(plan, "validator", "run", *common, "--key", name, *data, node=i)
        processes.append(ProcessPlan(name, command))
    for i in range(plan.num_miners + len(plan.attackers)):
        name = f"miner-{i}"
        kind = () if i < plan.num_miners else ("--attacker", plan.attackers[i - plan.num_miners])
        command = descent(plan, "miner", "run", *common, "--key", name, *data, *kind, node=i)
        processes.append(ProcessPlan(name, command))
    return processes


def list_node_processes(plan: DevnetPlan) -> list[ProcessPlan]:
    """List the nodes with their doors; each knows all others."""
    from node.engine.keys import load_node_id

    homes = plan.list_node_homes()
    peers = []
    if plan.num_nodes > 1:
        for index, home in enumerate(homes):
            node_id = load_node_id(home / "config" / "node_key.json")
            peers.append(f"{node_id}@127.0.0.1:{plan.get_port('p2p', index)}")
    found = []
    for index, (name, home) in enumerate(zip(plan.list_nodes(), homes, strict=True)):
        offset = plan.port_offset + PORTS_PER_NODE * index
        options = ["--home", str(home), "--port-offset", str(offset)]
        if plan.engine == COMETBFT:
            options += ["--engine", COMETBFT]
        for peer in peers[:index] + peers[index + 1 :]:
            options += ["--peer", peer]
        found.append(ProcessPlan(name, (sys.executable, "-m", "node.process", *options)))
    return found


def make_owner(plan: DevnetPlan) -> ProcessPlan:
    """Return the process that publishes the run."""
    spec = str(plan.home / "run.toml")
    command = descent(plan, "run", "create", spec, "--key", "owner", "--bounty", "100DSC", "--yes")
    return ProcessPlan("owner", command)


def descent(plan: DevnetPlan, *arguments: str, node: int = 0) -> tuple[str, ...]:
    """Return a `descent` command line for this devnet; `node` is asked first, then the others."""
    options = ("--home", str(plan.home), "--node", plan.join_grpc(node))
    return (sys.executable, "-m", "cli.main", *arguments, *options)


def find_busy_port(plan: DevnetPlan) -> int | None:
    """Return the first port of the plan that something else listens on."""
    names = COMET_PORTS if plan.engine == COMETBFT else PORTS
    ports = [plan.get_port(name, index) for index in range(plan.num_nodes) for name in names]
    if plan.has_run:
        count = plan.num_miners + plan.num_validators + len(plan.attackers)
        for first in (FIRST_PARTICIPANT_PORT, FIRST_MONITOR_PORT):
            ports += range(first + plan.port_offset, first + plan.port_offset + count)
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return port
    return None


# ---------------------------------------------------------------------------------- devnet.json
@dataclass
class DevnetFile:
    """`devnet.json`: what scripts read.

    Attributes:
        chain_id: of the chain.
        endpoints: door name -> address.
        plan: what was asked for.
        processes: name -> {pid, started, log}.
        accounts: name, role, address and mnemonic path of every devnet account.
    """

    chain_id: str
    endpoints: dict[str, str]
    plan: dict[str, Any]
    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    accounts: list[dict[str, Any]] = field(default_factory=list)

    def save(self, home: Path) -> None:
        """Write the file atomically."""
        target = home / "devnet.json"
        temporary = target.with_suffix(".tmp")
        with temporary.open("w") as handle:
            json.dump(asdict(self), handle, indent=2, sort_keys=True)
            handle.write("\n")
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(target)

    @classmethod
    def load(cls, home: Path) -> "DevnetFile | None":
        """Read the file; None if there is no devnet here.

        Raises:
            CommandFailed: the file is not one of ours.
        """
        try:
            document = json.loads((home / "devnet.json").read_text())
            return cls(**document)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise CommandFailed(
                f"{home / 'devnet.json'} is damaged: {error}",
                hint=f"stop what it started, remove {home} and start again",
            ) from error


def describe_plan(plan: DevnetPlan) -> dict[str, Any]:
    """Return the plan as JSON data."""
    return {
        "num_miners": plan.num_miners,
        "num_validators": plan.num_validators,
        "attackers": list(plan.attackers),
        "seed": plan.seed,
        "port_offset": plan.port_offset,
        "dataset_dir": None if plan.dataset_dir is None else str(plan.dataset_dir),
        "engine": plan.engine,
        "num_nodes": plan.num_nodes,
    }


def restore_plan(home: Path, document: dict[str, Any]) -> DevnetPlan:
    """Return the plan that `describe_plan` wrote."""
    dataset = document["dataset_dir"]
    return DevnetPlan(
        home=home,
        num_miners=document["num_miners"],
        num_validators=document["num_validators"],
        attackers=tuple(document["attackers"]),
        seed=document["seed"],
        port_offset=document["port_offset"],
        dataset_dir=None if dataset is None else Path(dataset),
        engine=document.get("engine", EMBEDDED),
        num_nodes=document.get("num_nodes", 1),
    )
