"""Run CometBFT beside the application: the ABCI socket, the engine's process, the mirror.

    <home>/config/genesis.json, priv_validator_key.json, node_key.json   as for the embedded engine
    <home>/config/config.toml      written at every start
    <home>/data/abci.sock          CometBFT's four connections to this process
    <home>/data                    CometBFT's blocks and state, the application's, the mirror's

This process and CometBFT live and die together: when one ends, so does the other (Linux), and who
started the node starts it again. On the way up CometBFT asks the application for its height and
replays what it lacks.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.engine.comet import tied as tied_script
from node.engine.comet.abci_server import AbciServer
from node.engine.comet.build import VERSION, find_binary, get_version
from node.engine.comet.client import CometRpc
from node.engine.comet.config import ABCI_SOCKET_NAME, CometSettings, prepare_home
from node.engine.comet.mirror import BlockMirror
from node.engine.comet.state_sync import SnapshotKeeper
from node.engine.errors import EngineMissing, EngineStopped
from node.engine.genesis_doc import GenesisDoc
from node.settings import get_connect_host

logger = logging.getLogger(__name__)

STOP_WAIT_S = 10.0
POLL_S = 0.05


def require_binary() -> Path:
    """Find the pinned CometBFT.

    Raises:
        EngineMissing: there is none, or another version.
    """
    binary = find_binary()
    if binary is None:
        raise EngineMissing("there is no CometBFT here: run `make cometbft` first")
    found = get_version(binary)
    if found != VERSION:
        raise EngineMissing(f"{binary} is CometBFT {found or '?'}, not {VERSION}: `make cometbft`")
    return binary


def build_command(home: Path, name: str, *flags: str) -> list[str]:
    """Build the command line of one of CometBFT's commands on a home, to be run in that home.

    Raises:
        EngineMissing: as `require_binary`.
    """
    return [str(require_binary()), name, "--home", str(home.absolute()), *flags]


class WatchedApplication:
    """The application; mirror and snapshots are told what it finalized and committed."""

    def __init__(self, application: Any, mirror: BlockMirror, snapshots: SnapshotKeeper) -> None:
        self._application = application
        self._mirror = mirror
        self._snapshots = snapshots
        self._height = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._application, name)

    def finalize_block(self, request: Any) -> Any:
        """Execute a block and tell the mirror its results."""
        response = self._application.finalize_block(request)
        self._height = request.height
        self._mirror.note_results(request.height, response)
        return response

    def commit(self, request: Any) -> Any:
        """Persist the finalized block and tell the others."""
        response = self._application.commit(request)
        self._mirror.note_commit(self._height, response.retain_height)
        self._snapshots.note_commit(self._height)
        return response


async def run_comet(
    home: Path,
    application: Any,
    settings: CometSettings,
    *,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve the application to CometBFT until SIGINT or SIGTERM.

    Args:
        application: on an open store.
        on_ready: called once there is a committed block to read.

    Raises:
        EngineMissing, GenesisInvalid, KeyFileInvalid, HomeMismatch: files are not usable.
        EngineStopped: CometBFT ended by itself.
        Whatever `on_ready` raises.
        Whatever the application raises: the node has to stop then.
    """
    command = build_command(home, "start")
    prepare_home(home, settings)
    genesis = GenesisDoc.load(home / "config" / "genesis.json")
    rpc = CometRpc(get_connect_host(settings.host), settings.rpc_port)
    mirror = BlockMirror(home, genesis, rpc)
    mirror.note_commit(application.store.version, 0)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    folder = home / "data" / "snapshots"
    snapshots = SnapshotKeeper(application, folder, settings.snapshot_interval)
    watched = WatchedApplication(application, mirror, snapshots)
    server = AbciServer(watched, snapshots, home / "data" / ABCI_SOCKET_NAME)
    try:
        await server.start()
        await _run_engine(home, command, server, mirror, stopping, application, on_ready)
    finally:
        await server.stop()
        await snapshots.close()
        mirror.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _run_engine(
    home: Path,
    command: list[str],
    server: AbciServer,
    mirror: BlockMirror,
    stopping: asyncio.Event,
    application: Any,
    on_ready: Callable[[], None] | None,
) -> None:
    """Run CometBFT until something ends; raise what it was."""
    tied = (sys.executable, "-I", "-S", tied_script.__file__, str(os.getpid()))
    process = await asyncio.create_subprocess_exec(
        *tied, *command, cwd=home, start_new_session=True
    )
    mirroring = asyncio.create_task(asyncio.to_thread(mirror.run), name="block mirror")
    ended = asyncio.create_task(process.wait(), name="cometbft")
    stop = asyncio.create_task(stopping.wait(), name="stop")
    ready = asyncio.create_task(_tell_ready(application, on_ready), name="ready")
    try:
        waiting: set[asyncio.Future[Any]] = {ended, stop, mirroring, ready, server.failure}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (ready, stop):
            task.cancel()
        mirror.stop()
        await asyncio.wait([mirroring])
        await _end(process, ended)
    if server.failure.done():
        server.failure.result()
    mirroring.result()
    if not ready.cancelled():
        ready.result()
    if not stopping.is_set():
        raise EngineStopped(f"CometBFT ended with code {process.returncode}; see its lines above")


async def _tell_ready(application: Any, on_ready: Callable[[], None] | None) -> None:
    """Call `on_ready` once there is a block; ends by itself only if that fails."""
    while application.store.version < 1:
        await asyncio.sleep(POLL_S)
    if on_ready is not None:
        on_ready()
    await asyncio.get_running_loop().create_future()


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    """End CometBFT: ask first, kill after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if ended.done():
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        await asyncio.wait([ended], timeout=STOP_WAIT_S)
