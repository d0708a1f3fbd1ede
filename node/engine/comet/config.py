"""The files CometBFT needs in a node's home, and the settings Descent chooses.

CometBFT shares the home with the rest of the node: `config/genesis.json`, both key files and
`data/`. `config/config.toml` is written anew at every start from `CometSettings`; what is not in it
has CometBFT's default. A key kept elsewhere signs through CometBFT's own privval socket
(`priv_validator_laddr`), see docs/operating.md.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from node.engine.keys import load_node_id, load_validator_key

P2P_PORT, METRICS_PORT = 26656, 26660
ABCI_SOCKET_NAME = "abci.sock"
TIMEOUT_COMMIT_MS = 400
"""With a few validators on one machine a block takes about 100 ms more than this."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: its id and where its P2P port is."""

    node_id: str
    address: str

    def __str__(self) -> str:
        return f"{self.node_id}@{self.address}"


@dataclass(frozen=True, slots=True)
class StateSync:
    """Where a node without data gets its state from instead of executing every block.

    rpc: `host:port` of the RPC of two nodes or more; light blocks come from there.
    trust_height, trust_hash: a block the operator trusts, its hash as hex.
    """

    rpc: tuple[str, ...]
    trust_height: int
    trust_hash: str


@dataclass(frozen=True, slots=True)
class CometSettings:
    """What the operator of a node chooses of CometBFT.

    host, p2p_host, metrics_host: addresses that RPC, P2P and metrics listen on.
    rpc_port, p2p_port, metrics_port: TCP ports; no metrics with port 0.
    cors_origins: of web pages that browsers let call the RPC.
    external_address: `host:port` that peers are told, where it is another than P2P listens on.
    peers: connected to for good.
    timeout_commit_ms: pause after a block before the next is proposed.
    is_local: all nodes are on this machine: short gossip pauses, many nodes of one address.
    is_strict: addresses of private networks are not kept.
    log_format: plain or json.
    signer: `host:port` where a signer of one's own connects and signs votes; empty: the key file.
    snapshot_interval: blocks from one snapshot of the state to the next; 0 makes none.
    state_sync: used while there is no data.
    """

    rpc_port: int
    p2p_port: int
    host: str = "127.0.0.1"
    p2p_host: str = "127.0.0.1"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    cors_origins: tuple[str, ...] = ()
    external_address: str = ""
    peers: tuple[Peer, ...] = ()
    timeout_commit_ms: int = TIMEOUT_COMMIT_MS
    is_local: bool = True
    is_strict: bool = False
    moniker: str = "descent"
    log_level: str = "error"
    log_format: str = "plain"
    signer: str = ""
    snapshot_interval: int = 0
    state_sync: StateSync | None = None


def build_config(settings: CometSettings) -> str:
    """Build the text of `config.toml`."""
    peers = ",".join(map(str, settings.peers))
    signer = f"tcp://{settings.signer}" if settings.signer else ""
    gossip_ms, flush_ms = (10, 5) if settings.is_local else (50, 10)
    metrics = f'prometheus_listen_addr = "{settings.metrics_host}:{settings.metrics_port}"\n'
    is_strict = "true" if settings.is_strict else "false"
    return f"""# Written at every start of the node; what is not here has CometBFT's default.
proxy_app = "unix://data/{ABCI_SOCKET_NAME}"
moniker = {json.dumps(settings.moniker)}
log_level = "{settings.log_level}"
log_format = "{settings.log_format}"
priv_validator_laddr = "{signer}"

[rpc]
laddr = "tcp://{settings.host}:{settings.rpc_port}"
cors_allowed_origins = {json.dumps(settings.cors_origins)}
max_body_bytes = 4000000

[p2p]
laddr = "tcp://{settings.p2p_host}:{settings.p2p_port}"
external_address = "{settings.external_address}"
persistent_peers = "{peers}"
addr_book_strict = {is_strict}
allow_duplicate_ip = {"true" if settings.is_local else "false"}
pex = {"false" if settings.is_local else "true"}
flush_throttle_timeout = "{flush_ms}ms"
send_rate = 51200000
recv_rate = 51200000
max_packet_msg_payload_size = 65536

[mempool]
type = "flood"
size = 20000
cache_size = 40000

{build_state_sync(settings.state_sync)}
[consensus]
timeout_propose = "2s"
timeout_commit = "{settings.timeout_commit_ms}ms"
create_empty_blocks = true
peer_gossip_sleep_duration = "{gossip_ms}ms"

[instrumentation]
prometheus = {"true" if settings.metrics_port else "false"}
{metrics}"""


def build_state_sync(sync: StateSync | None) -> str:
    """Build the section `statesync`, empty without."""
    if sync is None:
        return ""
    servers = ",".join(f"http://{address}" for address in sync.rpc)
    return f"""[statesync]
enable = true
rpc_servers = "{servers}"
trust_height = {sync.trust_height}
trust_hash = "{sync.trust_hash}"
trust_period = "168h0m0s"
discovery_time = "5s"
"""


def prepare_home(home: Path, settings: CometSettings) -> None:
    """Write `config.toml`, and the keys and the signing state where they are missing.

    Raises:
        KeyFileInvalid: a key file is not usable.
    """
    load_validator_key(home / "config" / "priv_validator_key.json")
    load_node_id(home / "config" / "node_key.json")
    (home / "data").mkdir(parents=True, exist_ok=True)
    signing = home / "data" / "priv_validator_state.json"
    if not signing.exists():
        _write(signing, json.dumps({"height": "0", "round": 0, "step": 0}), 0o600)
    _write(home / "config" / "config.toml", build_config(settings), 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
