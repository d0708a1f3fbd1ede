"""`descent doctor`: is this machine, this folder, this chain all right, and what to do if not."""

import fcntl
import os
import re
import resource
import shutil
import socket
import stat
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from cli.context import CHAIN, Context, command, new_single
from cli.output import EXIT_FAILED, emit

app = new_single()
OK, WARN, FAIL = "ok", "warn", "fail"

TESTED_PYTHONS = ((3, 11), (3, 14))
MIN_FREE_BYTES, LOW_FREE_BYTES = 1 << 30, 10 << 30
FSYNC_WRITES, FSYNC_BYTES = 15, 4096
SLOW_FSYNC_MS, BAD_FSYNC_MS = 20.0, 100.0
LOW_FILES, MIN_FILES = 4096, 1024
MAX_AHEAD_S, MAX_BEHIND_S = 1.0, 20.0  # of this clock against the newest block
SECRET_FILES = ("config/priv_validator_key.json", "config/node_key.json", "config/onion_seed")


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, OK, WARN or FAIL, what was found, what to do about it."""

    check: str
    status: str
    found: str
    advice: str = ""


@command(app, "doctor", needs=CHAIN)
async def doctor(context: Context) -> None:
    """Check this machine, the home and the chain; exit code 1 where something fails."""
    findings = [*check_machine(context.home), *check_home(context.home)]
    findings += [item async for item in check_chain(context)]
    rows = [asdict(finding) for finding in findings]
    emit([{**row, "advice": row["advice"] or None} for row in rows], context.output)
    if any(finding.status == FAIL for finding in findings):
        raise typer.Exit(EXIT_FAILED)


# This machine


def check_machine(home: Path) -> Iterator[Finding]:
    """Check Python, kernels, limits and the disk below a home."""
    yield check_python(sys.version_info[:2])
    yield check_kernels()
    yield check_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    folder = next(path for path in (home, *home.absolute().parents) if path.exists())
    yield check_free_space(shutil.disk_usage(folder).free, folder)
    yield check_fsync(folder)


def check_python(version: tuple[int, ...]) -> Finding:
    """Check the interpreter's version."""
    text = ".".join(map(str, version))
    low, high = TESTED_PYTHONS
    if version < low:
        return Finding("python", FAIL, text, f"install Python {low[0]}.{low[1]}")
    if version > high:
        return Finding("python", WARN, text, "not tested with this version")
    return Finding("python", OK, text)


def check_kernels() -> Finding:
    """Check which kernels compute here, and that they give the golden bits."""
    from exact.errors import ExactError
    from exact.native.paths import choose_path

    try:
        return Finding("exact kernels", OK, f"native, path {choose_path().path_name}")
    except ExactError as error:
        advice = "`make native` builds them; torch computes the same bits, slowly"
        return Finding("exact kernels", WARN, f"no native kernels: {error}", advice)


def check_open_files(limit: int) -> Finding:
    """Check how many files a process may have open."""
    if limit < MIN_FILES:
        return Finding("open files", FAIL, str(limit), f"`ulimit -n {LOW_FILES}` or more")
    if limit < LOW_FILES:
        return Finding("open files", WARN, str(limit), f"`ulimit -n {LOW_FILES}` for busy doors")
    return Finding("open files", OK, str(limit))


def check_free_space(free_bytes: int, folder: Path) -> Finding:
    """Check the room on a disk."""
    found = f"{free_bytes / 2**30:.1f} GiB free in {folder}"
    if free_bytes < MIN_FREE_BYTES:
        return Finding("disk space", FAIL, found, "make room: a node stops when the disk is full")
    if free_bytes < LOW_FREE_BYTES:
        return Finding("disk space", WARN, found, "`descent node prune`, or a larger disk")
    return Finding("disk space", OK, found)


def check_fsync(folder: Path) -> Finding:
    """Measure how long a disk takes to keep 4 KiB: a block waits for it twice."""
    try:
        milliseconds = measure_fsync_ms(folder)
    except OSError as error:
        advice = "run as the user that owns the home, or name another --home"
        return Finding("disk writes", FAIL, f"{folder}: {error.strerror}", advice)
    found = f"{milliseconds:.1f} ms to write and sync 4 KiB"
    if milliseconds > BAD_FSYNC_MS:
        return Finding("disk writes", FAIL, found, "too slow to keep up with blocks: another disk")
    if milliseconds > SLOW_FSYNC_MS:
        return Finding("disk writes", WARN, found, "an SSD of one's own takes a few milliseconds")
    return Finding("disk writes", OK, found)


def measure_fsync_ms(folder: Path) -> float:
    """Measure the median of a write with fsync.

    Raises: OSError: nothing can be written there.
    """
    times_s = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNC_WRITES):
            started_s = time.perf_counter()
            file.write(bytes(FSYNC_BYTES))
            file.flush()
            os.fsync(file.fileno())
            times_s.append(time.perf_counter() - started_s)
    return 1000 * statistics.median(times_s)


# The home


def check_home(home: Path) -> Iterator[Finding]:
    """Check a node's or a participant's folder: settings, keys, ports, engine."""
    yield from check_secrets(home)
    for program in ("node", "miner", "validator"):
        yield from check_settings(program, home)


def check_secrets(home: Path) -> Iterator[Finding]:
    """Check that nobody else can read the keys of a home."""
    files = [home / name for name in SECRET_FILES]
    files += sorted((home / "keys").glob("*")) if (home / "keys").is_dir() else []
    files = [path for path in files if path.exists()]
    for path in files:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield Finding("key files", FAIL, f"{path} has mode {mode:04o}", f"chmod 600 {path}")
    if files and not any(stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files):
        yield Finding("key files", OK, f"{len(files)} that only their owner reads")


def check_settings(program: str, home: Path) -> Iterator[Finding]:
    """Check what is set up for a program whose file is in a home, or that a node's home is one."""
    from cli.config import get_path, get_settings
    from node.settings import SettingsError, resolve

    path = get_path(program, home)
    is_node = program == "node" and (home / "config" / "genesis.json").exists()
    if not path.exists() and not is_node:
        return
    name = f"{program} settings"
    try:
        resolved = resolve(get_settings(program), path=path)
        for remark in resolved.remarks:
            yield Finding(name, WARN, remark, "unset it, or spell it as the setting")
        yield Finding(name, OK, str(path) if path.exists() else "defaults")
        if program == "node":
            yield from check_node(home, resolved)
    except SettingsError as error:
        for problem in error.problems:
            yield Finding(name, FAIL, problem, f"`descent config template {program}` shows them")


def check_node(home: Path, resolved: Any) -> Iterator[Finding]:
    """Check what a node needs before it starts, or that it runs."""
    from node.engine.comet.process import require_binary
    from node.engine.errors import EngineMissing
    from node.operation import COMETBFT, make_node_settings

    settings = make_node_settings(home, resolved)
    for place in settings.list_open():
        yield Finding(
            "listening", WARN, f"strangers can reach {place}", "put limits and TLS before it"
        )
    if settings.engine == COMETBFT:
        try:
            yield Finding("engine", OK, f"CometBFT at {require_binary()}")
        except EngineMissing as error:
            yield Finding("engine", FAIL, str(error), "make cometbft")
    if is_node_running(home):
        yield Finding("ports", OK, "the node of this home runs and has them")
        return
    places = dict(settings.listen)
    if settings.monitor is not None:
        places["monitor"] = settings.monitor
    if settings.engine == COMETBFT:
        places["p2p"] = (settings.comet.p2p_host, settings.comet.p2p_port)
    yield from check_ports(places.items())


def check_ports(places: Iterable[tuple[str, tuple[str, int]]]) -> Iterator[Finding]:
    """Check that (name, (host, port)) can be listened on."""
    from node.doors.supervisor import is_port_free

    ports = []
    for name, (host, port) in places:
        ports.append(port)
        try:
            is_free = is_port_free(host, port)
        except (OSError, socket.gaierror) as error:
            advice = f"set {name}.listen to an address of this machine"
            yield Finding("ports", FAIL, f"{name} {host}:{port}: {error}", advice)
            continue
        if not is_free:
            advice = "stop what listens there, or --port-offset N"
            yield Finding("ports", FAIL, f"{name}: {host}:{port} is in use", advice)
    yield Finding("ports", OK, f"looked at {', '.join(map(str, ports))}")


def is_node_running(home: Path) -> bool:
    """Tell whether a process writes the state of a home."""
    try:
        lock = os.open(home / "data" / "state" / "writer.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


# The chain


async def check_chain(context: Context) -> Any:
    """Check the chain behind --node, and that it is the one of the home."""
    from chain_client.errors import ChainClientError
    from node.runtime.application import APP_VERSION

    try:
        async with context.client() as client:
            status, info = await client.node_status(), await client.node_info()
            network = info.default_node_info.network
            yield Finding("chain", OK, f"{context.node} is {network} at height {status.height}")
            yield check_chain_id(network, context)
            yield check_clock(time.time() - await client.block_time())
            yield check_version(info.application_version.version, APP_VERSION)
            if finding := await check_genesis(context.home, client):
                yield finding
    except ChainClientError as error:
        advice = "start a node, or name one with --node; is its gRPC door open?"
        yield Finding("chain", FAIL, error.message, advice)


def check_chain_id(network: str, context: Context) -> Finding:
    """Check that a chain is the one that is meant: by --chain-id, else by the home's genesis."""
    wanted, source = context.chain_id, "--chain-id or the devnet's file"
    if (genesis := load_genesis(context.home)) is not None:
        wanted, source = genesis.chain_id, "the home's genesis"
    if wanted is None:
        advice = "--chain-id says which you mean"
        return Finding("chain id", WARN, f"{network}, and nothing says which is meant", advice)
    if wanted != network:
        advice = "name a node of that chain with --node"
        return Finding("chain id", FAIL, f"{network}, but {source} says {wanted}", advice)
    return Finding("chain id", OK, network)


def check_clock(behind_s: float) -> Finding:
    """Check this clock against the newest block's time; a positive `behind_s` is usual."""
    found = f"the newest block is {behind_s:.1f} s old by this clock"
    if behind_s < -MAX_AHEAD_S:
        advice = "this clock is behind, or the validators' are ahead: run an NTP client"
        return Finding("clock", FAIL, found, advice)
    if behind_s > MAX_BEHIND_S:
        advice = "the chain or that node is stalled, or this clock is ahead: run an NTP client"
        return Finding("clock", WARN, found, advice)
    return Finding("clock", OK, found)


def check_version(theirs: str, ours: str) -> Finding:
    """Check that a node runs the version that is installed here."""
    if theirs == ours:
        return Finding("version", OK, ours)
    newer = max((theirs, ours), key=lambda text: [int(x) for x in re.findall(r"\d+", text)])
    advice = "update this machine" if newer == theirs else "the node is older than this machine"
    return Finding("version", WARN, f"node {theirs}, here {ours}", advice)


async def check_genesis(home: Path, client: Any) -> Finding | None:
    """Check that the chain began with the home's genesis; None where there is none to compare."""
    from chain_client.errors import ChainClientError

    genesis = load_genesis(home)
    if genesis is None:
        return None
    try:
        first = await client.get_block(genesis.initial_height)
    except ChainClientError:
        return Finding("genesis", WARN, "the node has pruned the first block", "ask another node")
    ours, theirs = compute_genesis_hash(genesis), bytes(first.sdk_block.header.app_hash)
    if ours == theirs:
        return Finding("genesis", OK, f"state {ours.hex()[:16]}, file {genesis.digest.hex()[:16]}")
    advice = "get the genesis file of that chain again, and remove the home's data folder"
    found = f"this genesis gives state {ours.hex()[:16]}, the chain began with {theirs.hex()[:16]}"
    return Finding("genesis", FAIL, found, advice)


def load_genesis(home: Path) -> Any | None:
    """Load the genesis of a home; None where there is none that can be read."""
    from node.engine.errors import EngineError
    from node.engine.genesis_doc import GenesisDoc

    path = home / "config" / "genesis.json"
    try:
        return GenesisDoc.load(path) if path.exists() else None
    except EngineError:
        return None


def compute_genesis_hash(genesis: Any) -> bytes:
    """Compute the app hash that a genesis gives, in a folder that is thrown away."""
    from tendermint.abci import types_pb2 as abci

    from node.chain import build_chain
    from node.store.state import StateStore

    request = abci.RequestInitChain(
        chain_id=genesis.chain_id,
        consensus_params=genesis.params,
        app_state_bytes=genesis.app_state,
        initial_height=genesis.initial_height,
    )
    request.time.seconds, request.time.nanos = divmod(genesis.time_ns, 10**9)
    with (
        tempfile.TemporaryDirectory() as folder,
        StateStore.open(Path(folder) / "state") as store,
    ):
        return bytes(build_chain().open_application(store).init_chain(request).app_hash)
