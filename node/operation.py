"""What the operator of a node chooses: the list of settings, and what the node makes of them.

The file is `<home>/config/node.toml`; see `settings.py` for who wins. `port_offset` is added to
every port, also to those an operator writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from node.doors.supervisor import GRPC_PORT, REST_PORT, RPC_PORT, SUBSTRATE_PORT, get_listen
from node.engine.comet.config import METRICS_PORT, P2P_PORT, CometSettings, Peer, StateSync
from node.settings import (
    ADDRESS,
    BOOLEAN,
    INTEGER,
    LIST,
    Resolved,
    Setting,
    SettingsError,
    is_loopback,
    parse_address,
)

EMBEDDED, COMETBFT = "embedded", "cometbft"
CONSENSUS_MS = 100  # a block of CometBFT takes about this much beside its pause
LOCAL = "127.0.0.1"
MONITOR_PORT = 9600
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("console", "json")
ORIGIN = r"\*|https?://[A-Za-z0-9.\[\]:-]+"
AN_ORIGIN = "an origin such as https://wallet.example, or *,"
CORS_HELP = "Origins of web pages that browsers let call"
PEER = r"[0-9a-f]{40}@[^\s,\"@]+:[0-9]+"

LOG_SETTINGS = (
    Setting("log.level", "info", "Least level that is logged.", choices=LOG_LEVELS),
    Setting("log.format", "console", "Form of a line of the log.", choices=LOG_FORMATS),
)
NODE_SETTINGS = (
    Setting(
        "node.engine",
        EMBEDDED,
        "Who orders blocks.",
        flag="--engine",
        choices=(EMBEDDED, COMETBFT),
    ),
    Setting("node.moniker", "descent", "Name of this node, as others see it.", flag="--moniker"),
    Setting(
        "node.block_interval_ms",
        500,
        "Milliseconds from one block to the next.",
        INTEGER,
        flag="--block-interval-ms",
        minimum=20,
        maximum=600_000,
    ),
    Setting(
        "node.port_offset",
        0,
        "Added to every port.",
        INTEGER,
        flag="--port-offset",
        maximum=50_000,
    ),
    Setting(
        "node.udsc_per_million_gas",
        1_000,
        "Lowest gas price taken on arrival.",
        INTEGER,
        flag="--udsc-per-million-gas",
    ),
    Setting(
        "node.keep_recent_blocks",
        0,
        "Blocks whose state stays readable; 0 keeps all.",
        INTEGER,
        flag="--keep-recent",
    ),
    Setting("grpc.listen", f"{LOCAL}:{GRPC_PORT}", "Cosmos gRPC; empty: none.", ADDRESS),
    Setting(
        "grpc.requests_per_second",
        0,
        "Requests a second that gRPC takes of one client address; 0 for no limit.",
        INTEGER,
    ),
    Setting("rpc.listen", f"{LOCAL}:{RPC_PORT}", "CometBFT RPC.", ADDRESS),
    Setting("rpc.cors_origins", (), f"{CORS_HELP} the RPC.", LIST, pattern=ORIGIN, shape=AN_ORIGIN),
    Setting(
        "rpc.requests_per_second",
        0,
        "Requests a second that the embedded engine's RPC takes of one client; 0 for no limit.",
        INTEGER,
    ),
    Setting("rest.listen", f"{LOCAL}:{REST_PORT}", "Cosmos REST; empty: none.", ADDRESS),
    Setting("rest.cors_origins", (), f"{CORS_HELP} REST.", LIST, pattern=ORIGIN, shape=AN_ORIGIN),
    Setting(
        "rest.requests_per_second",
        100,
        "Requests a second that REST takes of one client address; 0 for no limit.",
        INTEGER,
    ),
    Setting(
        "substrate.listen",
        f"{LOCAL}:{SUBSTRATE_PORT}",
        "Substrate JSON-RPC; empty: none.",
        ADDRESS,
    ),
    Setting(
        "substrate.calls_per_minute",
        0,
        "Calls a minute of one WebSocket to the Substrate door; 0 for no limit.",
        INTEGER,
    ),
    Setting(
        "monitor.listen",
        f"{LOCAL}:{MONITOR_PORT}",
        "Metrics, /healthz and /readyz; empty: none.",
        ADDRESS,
    ),
    Setting(
        "p2p.listen",
        f"{LOCAL}:{P2P_PORT}",
        "Where other nodes connect, with CometBFT.",
        ADDRESS,
    ),
    Setting(
        "p2p.advertise",
        "",
        "HOST:PORT that other nodes are told, where it is not the one listened on.",
        ADDRESS,
    ),
    Setting(
        "p2p.peers",
        (),
        "ID@HOST:PORT of other nodes, kept connected, with CometBFT.",
        LIST,
        flag="--peer",
        pattern=PEER,
        shape="ID@HOST:PORT",
    ),
    Setting(
        "p2p.strict_addresses",
        False,
        "Whether addresses of private networks are refused, with CometBFT.",
        BOOLEAN,
    ),
    Setting(
        "comet.metrics_listen",
        "",
        f"Where CometBFT serves metrics of its own, usually port {METRICS_PORT}; empty: none.",
        ADDRESS,
    ),
    Setting(
        "comet.signer_listen",
        "",
        "Where a remote signer connects and signs votes in place of the key file; empty: none.",
        ADDRESS,
    ),
    Setting(
        "state_sync.snapshot_interval",
        0,
        "Blocks between snapshots for new nodes, with CometBFT; 0 makes none.",
        INTEGER,
        flag="--snapshot-interval",
    ),
    Setting(
        "state_sync.rpc",
        (),
        "HOST:PORT of nodes' RPC to verify a snapshot by, for a node without data; two or more.",
        LIST,
        pattern=r"[\w.-]+:\d+",
        shape="HOST:PORT",
    ),
    Setting(
        "state_sync.trust_height",
        0,
        "Height of a block you trust.",
        INTEGER,
        flag="--trust-height",
    ),
    Setting(
        "state_sync.trust_hash",
        "",
        "Hash of that block.",
        flag="--trust-hash",
        pattern="[0-9A-Fa-f]{64}",
        shape="a hash of 64 hex digits",
    ),
    *LOG_SETTINGS,
)


@dataclass(frozen=True)
class NodeSettings:
    """What the operator of a node chose.

    Args:
        home: folder of the node.
        listen: (host, port) by door name, with the offset added; a door that is off is absent.
        monitor: (host, port) of metrics and health, None for none.
        block_interval_ms: from one block to the next.
        udsc_per_million_gas: lowest gas price taken on arrival.
        keep_recent_blocks: blocks whose state stays readable, None for all.
        engine: who orders blocks, EMBEDDED or COMETBFT.
        comet: settings of CometBFT.
        door_options: arguments of single doors, by door name.
        log_level, log_format: of this process and its doors.
        log_dir: folder of the doors' logs, None for the node's own output.
    """

    home: Path
    listen: dict[str, tuple[str, int]]
    comet: CometSettings
    monitor: tuple[str, int] | None = None
    moniker: str = "descent"
    block_interval_ms: int = 500
    udsc_per_million_gas: int = 1_000
    keep_recent_blocks: int | None = None
    engine: str = EMBEDDED
    log_level: str = "info"
    log_format: str = "console"
    log_dir: Path | None = None
    door_options: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def list_open(self) -> list[str]:
        """List the doors that strangers can reach, each as `door host:port`."""
        found = dict(self.listen)
        if self.monitor is not None:
            found["monitor"] = self.monitor
        if self.engine == COMETBFT and self.comet.metrics_port:
            found["comet metrics"] = (self.comet.metrics_host, self.comet.metrics_port)
        rows = [f"{name} {host}:{port}" for name, (host, port) in found.items()]
        hosts = [host for host, _ in found.values()]
        return [row for row, host in zip(rows, hosts, strict=True) if not is_loopback(host)]


def get_config_path(home: Path) -> Path:
    """Return where a node's file is."""
    return home / "config" / "node.toml"


def make_node_settings(home: Path, resolved: Resolved) -> NodeSettings:
    """Make a node's settings of what was chosen.

    Raises:
        SettingsError: two settings do not go together.
    """
    offset = resolved["node.port_offset"]
    listen = {}
    for name in get_listen():
        if resolved[f"{name}.listen"]:
            listen[name] = _shift(resolved[f"{name}.listen"], offset)
    monitor = resolved["monitor.listen"]
    return NodeSettings(
        home=home,
        listen=listen,
        monitor=_shift(monitor, offset) if monitor else None,
        comet=_make_comet_settings(resolved, offset),
        moniker=resolved["node.moniker"],
        block_interval_ms=resolved["node.block_interval_ms"],
        udsc_per_million_gas=resolved["node.udsc_per_million_gas"],
        keep_recent_blocks=resolved["node.keep_recent_blocks"] or None,
        engine=resolved["node.engine"],
        log_level=resolved["log.level"],
        log_format=resolved["log.format"],
        door_options=_make_door_options(resolved),
    )


def _make_door_options(resolved: Resolved) -> dict[str, tuple[str, ...]]:
    options: dict[str, tuple[str, ...]] = {
        name: ("--max-requests-per-second", str(resolved[f"{name}.requests_per_second"]))
        for name in ("grpc", "rest", "rpc")
    }
    for name in ("rest", "rpc"):
        origins = [f"--cors-allowed-origin={item}" for item in resolved[f"{name}.cors_origins"]]
        options[name] = (*origins, *options[name])
    return options


def _make_comet_settings(resolved: Resolved, offset: int) -> CometSettings:
    rpc, p2p = resolved["rpc.listen"], resolved["p2p.listen"]
    is_comet = resolved["node.engine"] == COMETBFT
    if is_comet and not (rpc and p2p):
        raise SettingsError(["rpc.listen and p2p.listen are needed with engine cometbft"])
    rpc_host, rpc_port = _shift(rpc or f"{LOCAL}:0", offset)
    p2p_host, p2p_port = _shift(p2p or f"{LOCAL}:0", offset)
    metrics = resolved["comet.metrics_listen"]
    metrics_host, metrics_port = _shift(metrics, offset) if metrics else (LOCAL, 0)
    return CometSettings(
        rpc_port=rpc_port,
        p2p_port=p2p_port,
        host=rpc_host,
        p2p_host=p2p_host,
        cors_origins=resolved["rpc.cors_origins"],
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        external_address=resolved["p2p.advertise"],
        peers=tuple(Peer(*text.split("@", 1)) for text in resolved["p2p.peers"]),
        is_local=is_loopback(p2p_host),
        is_strict=resolved["p2p.strict_addresses"],
        moniker=resolved["node.moniker"],
        signer=resolved["comet.signer_listen"],
        log_format="json" if resolved["log.format"] == "json" else "plain",
        snapshot_interval=resolved["state_sync.snapshot_interval"],
        state_sync=_make_state_sync(resolved),
        timeout_commit_ms=max(1, resolved["node.block_interval_ms"] - CONSENSUS_MS),
    )


def _make_state_sync(resolved: Resolved) -> StateSync | None:
    rpc, height = resolved["state_sync.rpc"], resolved["state_sync.trust_height"]
    trust_hash = resolved["state_sync.trust_hash"]
    if not rpc:
        return None
    if len(rpc) < 2 or height < 1 or not trust_hash:
        raise SettingsError(
            ["state sync: two --state-sync-rpc, --trust-height and --trust-hash are needed"]
        )
    return StateSync(rpc, height, trust_hash)


def _shift(address: str, offset: int) -> tuple[str, int]:
    host, port = parse_address(address)
    return host, port + offset
