"""`descent node status|keys|export|snapshot|rollback|prune`: a node's folder and what it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import CHAIN, HOME, Context, command, new_group
from cli.output import CommandFailed, say

if TYPE_CHECKING:
    from node.upkeep.archive import SnapshotInfo

app = new_group("A node's folder.")
snapshot_app = new_group("States of a node in chunks: for new nodes, and to go back to.")
GRPC_PORT, RPC_PORT = 9090, 26657
DEVNET_NODE = "node"  # folder of the first node of a devnet, under its home
RPC_TIMEOUT_S = 5.0

HeightOption = Annotated[int, typer.Option("--height", min=0, help="0: newest.")]


@contextmanager
def explain_refusals() -> Iterator[None]:
    """Turn what the node's parts refuse into the refusal of a command.

    Raises:
        CommandFailed: with the same words.
    """
    from genesis.document import GenesisError
    from node.engine.errors import EngineError
    from node.onion import OnionError
    from node.runtime.addresses import AddressError
    from node.store.errors import StoreError
    from node.store.snapshots import SnapshotInvalid
    from node.upkeep.home import UpkeepRefused

    try:
        yield
    except (
        GenesisError,
        EngineError,
        OnionError,
        AddressError,
        StoreError,
        SnapshotInvalid,
        UpkeepRefused,
    ) as error:
        raise CommandFailed(str(error)) from error


@command(app, "status", needs=CHAIN)
async def status(
    context: Context,
    rpc: Annotated[
        str,
        typer.Option("--rpc", help="HOST:PORT of the CometBFT RPC. Default: beside --node."),
    ] = "",
) -> Any:
    """Show a running node: height, peers, what it keeps; the disk its folder takes, if here."""
    import asyncio

    async with context.client() as client:
        info, found = await client.node_info(), await client.node_status()
    address = rpc or _find_rpc(context.node)
    engine = await asyncio.to_thread(_ask_rpc, address)
    return {
        "chain_id": info.default_node_info.network,
        "node_id": engine.get("node_id", ""),
        "moniker": info.default_node_info.moniker,
        "height": found.height,
        "block_time": found.timestamp.ToJsonString(),
        "app_hash": found.app_hash.hex() if isinstance(found.app_hash, bytes) else found.app_hash,
        "is_catching_up": engine.get("is_catching_up"),
        "num_peers": engine.get("num_peers"),
        "earliest_state_height": found.earliest_store_height,
        "earliest_block_height": engine.get("earliest_block_height"),
        "rpc": address,
        "disk": _measure(context.home) or _measure(context.home / DEVNET_NODE),
    }


def _find_rpc(node: str) -> str:
    """Return where the RPC of a node is whose ports all have one offset; of several the first."""
    host, _, port = node.partition(",")[0].rpartition(":")
    if "://" in node:  # a Substrate door
        return ""
    return f"{host}:{int(port) - GRPC_PORT + RPC_PORT}" if port.isdigit() and host else ""


def _ask_rpc(address: str) -> dict[str, Any]:
    """Ask a node's RPC; says so and returns nothing where it does not answer."""
    from node.engine.comet.client import CometRpc, RpcRefused
    from node.engine.errors import EngineUnreachable

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        say("peers are not known here: --rpc HOST:PORT names the node's RPC")
        return {}
    rpc = CometRpc(host, int(port), RPC_TIMEOUT_S)
    try:
        found, peers = rpc.call("status"), rpc.call("net_info")
    except (RpcRefused, EngineUnreachable) as error:
        say(f"no answer about peers: {error}; --rpc HOST:PORT names the node's RPC")
        return {}
    finally:
        rpc.close()
    return {
        "node_id": found["node_info"]["id"],
        "is_catching_up": found["sync_info"]["catching_up"],
        "earliest_block_height": int(found["sync_info"]["earliest_block_height"]),
        "num_peers": int(peers["n_peers"]),
    }


def _measure(home: Path) -> dict[str, Any] | None:
    """Measure a node's data; None where the home is none's."""
    from node.upkeep.home import measure_disk

    data = home / "data"
    if not (data / "state").is_dir():
        return None
    parts = {path.name: measure_disk(path) for path in sorted(data.iterdir()) if path.is_dir()}
    return {
        "state_bytes": parts.get("state", 0),
        "blocks_bytes": parts.get("blocks", 0),
        "engine_bytes": sum(size for name, size in parts.items() if name.endswith((".db", ".wal"))),
        "snapshots_bytes": parts.get("snapshots", 0),
        "total_bytes": measure_disk(data),
    }


@command(app, "keys", needs=HOME)
def keys(context: Context) -> Any:
    """Show what others know a node by; the secrets stay in its folder."""
    from node.engine.keys import read_key
    from node.onion import OnionKeeper, load_seed
    from node.runtime.addresses import decode_account, encode_consensus, encode_operator

    config = context.home / "config"
    with explain_refusals():
        key = read_key(config / "priv_validator_key.json")
        document: dict[str, Any] = {
            "home": str(context.home),
            "node_id": read_key(config / "node_key.json").address.hex(),
            "consensus_key": key.public_key.hex(),
            "consensus_address": encode_consensus(key.address),
            "operator": None,
            "anchor": None,
        }
        if (config / "operator").exists():
            addr = decode_account((config / "operator").read_text().strip())
            anchor = OnionKeeper(load_seed(config / "onion_seed"), addr).first_anchor
            document.update(operator=encode_operator(addr), anchor=anchor.hex())
    return document


@command(app, "export", needs=HOME)
def export(
    context: Context,
    height: HeightOption = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: standard output.")
    ] = None,
    chain_id: Annotated[
        str, typer.Option("--chain-id", help="Name of the new chain. Default: the old one.")
    ] = "",
) -> Any:
    """Write the state as a genesis file that a new chain goes on from; the node may run."""
    from genesis.document import encode_document, save_document
    from genesis.export import export_home

    with explain_refusals():
        document = export_home(context.home, height, chain_id)
    if out is None:
        print(encode_document(document).decode(), end="")
        return None
    return {
        "file": str(out),
        "chain_id": document["chain_id"],
        "initial_height": int(document["initial_height"]),
        "genesis_hash": save_document(out, document),
    }


@command(app, "rollback", needs=HOME)
def rollback(
    context: Context,
    hard: Annotated[
        bool, typer.Option("--hard", help="Forget the block, too, instead of executing it again.")
    ] = False,
) -> Any:
    """Take a stopped node back by one block, which it executes again when it starts."""
    from node.upkeep.rollback import rollback_home

    with explain_refusals():
        done = rollback_home(context.home, remove_block=hard)
    return {"height": done.height, "app_hash": done.app_hash.hex()}


@command(app, "prune", needs=HOME)
def prune(
    context: Context,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Newest heights that stay.")],
) -> Any:
    """Forget old states and blocks of a stopped node, and give the room back."""
    from node.upkeep.home import has_comet
    from node.upkeep.prune import prune_home

    with explain_refusals():
        done = prune_home(context.home, keep)
    if has_comet(context.home):
        say("CometBFT's own blocks stay: it forgets them while it runs with --keep-recent")
    return {
        "oldest_height": done.oldest,
        "newest_height": done.newest,
        "removed_records": done.num_records,
        "removed_blocks": done.num_blocks,
        "before_bytes": done.bytes_before,
        "after_bytes": done.bytes_after,
    }


@command(snapshot_app, "list", needs=HOME)
def list_snapshots(context: Context) -> Any:
    """List the snapshots of a node, newest first."""
    from node.upkeep.archive import list_home_snapshots

    return [_describe(item) for item in list_home_snapshots(context.home)]


@command(snapshot_app, "create", needs=HOME)
def create_snapshot(
    context: Context,
    height: HeightOption = 0,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder. Default: <home>/data/snapshots.")
    ] = None,
) -> Any:
    """Make a snapshot of the state; the node may run."""
    from node.upkeep import archive

    with explain_refusals():
        return _describe(archive.create_snapshot(context.home, height, to))


@command(snapshot_app, "restore", needs=HOME)
def restore_snapshot(
    context: Context,
    snapshot: Annotated[
        str, typer.Argument(metavar="HEIGHT|FOLDER", help="Of the home, or a folder of its own.")
    ],
    app_hash: Annotated[
        str, typer.Option("--app-hash", help="That you trust, where the blocks do not tell it.")
    ] = "",
) -> Any:
    """Replace the state of a stopped node; it replays the blocks after that when it starts."""
    from node.upkeep import archive

    try:
        trusted = bytes.fromhex(app_hash) if app_hash else None
    except ValueError:
        raise CommandFailed(f"--app-hash {app_hash!r} is not hex") from None
    folder = Path(snapshot)
    if snapshot.isdigit():
        folder = archive.get_snapshot_folder(context.home) / snapshot
    with explain_refusals():
        return _describe(archive.restore_snapshot(context.home, folder.resolve(), trusted))


def _describe(info: "SnapshotInfo") -> dict[str, Any]:
    return {
        "height": info.manifest.height,
        "app_hash": info.manifest.app_hash.hex(),
        "num_chunks": len(info.manifest.chunk_hashes),
        "snapshot_hash": info.manifest.snapshot_hash.hex(),
        "size_bytes": info.num_bytes,
        "folder": str(info.folder),
    }
