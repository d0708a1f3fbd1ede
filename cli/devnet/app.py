"""`descent devnet`: a whole network on this machine."""

import asyncio
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import HOME, Context, command, join_endpoints, new_group
from cli.devnet import layout, processes, watch
from cli.output import JSON, CommandFailed, NotRunning, UsageFailed, emit, say

app = new_group("A whole network on this machine.")

START_SECONDS = 60.0
DEVNET = ("home", "output")


@command(app, "up", needs=DEVNET, home=layout.DEFAULT_HOME)
def up(
    context: Context,
    miners: Annotated[int, typer.Option(help="Honest miners.", min=0, max=32)] = 3,
    validators: Annotated[int, typer.Option(help="Validators.", min=0, max=16)] = 2,
    attacker: Annotated[
        list[str] | None, typer.Option(help="Kind of a miner that cheats; may be repeated.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Who orders blocks: embedded or cometbft.")
    ] = layout.EMBEDDED,
    nodes: Annotated[
        int, typer.Option(help="Nodes of the chain.", min=1, max=layout.MAX_NODES)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the run's first weights.", min=0)] = 1,
    dataset: Annotated[Path | None, typer.Option(help="Folder of text to train on.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop at reward, round:N or height:N.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running.")] = False,
    port_offset: Annotated[int, typer.Option(help="Added to every port.", min=0)] = 0,
) -> None:
    """Start a devnet, or what of it is not running, and show it live."""
    plan = layout.DevnetPlan(
        home=context.home.resolve(),
        num_miners=miners,
        num_validators=validators,
        attackers=tuple(attacker or ()),
        seed=seed,
        port_offset=port_offset,
        dataset_dir=None if dataset is None else dataset.resolve(),
        engine=engine,
        num_nodes=nodes,
    )
    _ensure_plan(plan)
    condition = _parse_until(until)
    started = time.monotonic()
    document, plan = _start_all(plan)
    if detach and condition is None:
        say(f"running in the background; `descent devnet down` stops it ({context.home})")
        emit(document.endpoints, context.output)
        return
    try:
        asyncio.run(watch.watch(plan.home, document, condition, started, context.output))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopping")
    finally:
        if not detach:
            processes.stop(document.processes.values())


@command(app, "spread", needs=HOME)
def spread(
    context: Context,
    folder: Annotated[Path, typer.Argument(help="The folders are made below it.")],
    nodes: Annotated[int, typer.Option(help="Nodes of the chain.", min=1, max=16)] = 4,
    validators: Annotated[int, typer.Option(help="Validators.", min=1, max=16)] = 2,
    miners: Annotated[int, typer.Option(help="Honest miners.", min=1, max=32)] = 3,
    host: Annotated[
        list[str] | None,
        typer.Option(help="NAME=ADDRESS of a process, which is called like itself without."),
    ] = None,
) -> Any:
    """Make folders of a devnet whose processes run apart, e.g. in containers; start nothing."""
    from cli.devnet.genesis import build_spec
    from cli.devnet.spread import SpreadPlan, make_folders

    hosts = {}
    for text in host or ():
        name, separator, address = text.partition("=")
        if not (name and separator and address):
            raise UsageFailed(f"--host {text!r} is not NAME=ADDRESS")
        hosts[name] = address
    plan = SpreadPlan(folder, nodes, validators, miners, hosts)
    run_plan = layout.DevnetPlan(folder, num_miners=miners, num_validators=validators)
    return {"folder": str(folder), "processes": make_folders(plan, build_spec(run_plan))}


@command(app, "status", needs=DEVNET, home=layout.DEFAULT_HOME)
async def status(context: Context) -> Any:
    """Show the devnet once: chain, run, participants, processes."""
    document, plan = _load(context.home)
    if not any(map(processes.is_running, document.processes.values())):
        raise NotRunning(
            f"the devnet in {plan.home} is stopped",
            hint="`descent devnet up` goes on where it was",
        )
    view = await _look(plan.home, document)
    memory = processes.measure_memory(document.processes.values())
    if context.output == JSON:
        return _make_report(document, view, memory)
    from rich.console import Console

    from cli.devnet import screen

    Console().print(screen.render(view, watch.list_notes(document, view)))
    states = watch.describe_processes(document, view)
    for state in sorted(set(states.values())):
        print(f"{state}: {', '.join(sorted(n for n, found in states.items() if found == state))}")
    print(f"memory of all {memory / 2**20:.0f} MiB")
    return None


@command(app, "logs", needs=DEVNET, home=layout.DEFAULT_HOME)
def logs(
    context: Context,
    process: Annotated[str | None, typer.Argument(help="Which process; all without it.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Keep printing what is added.")] = False,
    lines: Annotated[int, typer.Option(help="Lines from the end.", min=1)] = 40,
) -> None:
    """Print what processes logged."""
    document, _plan = _load(context.home)
    names = [process] if process is not None else sorted(document.processes)
    if process is not None and process not in document.processes:
        raise CommandFailed(
            f"no process {process!r} in this devnet",
            hint=f"one of: {', '.join(sorted(document.processes))}",
        )
    paths = [Path(document.processes[name]["log"]) for name in names]
    for name, path in zip(names, paths, strict=True):
        for line in processes.read_tail(path, lines):
            print(line if process is not None else f"{name}: {line}")
    if follow:
        _follow(paths)


@command(app, "down", needs=DEVNET, home=layout.DEFAULT_HOME)
def down(context: Context) -> None:
    """Stop the devnet; its state is kept."""
    document, _plan = _load(context.home)
    count = processes.stop(document.processes.values())
    done = f"stopped {count} processes" if count else "nothing was running"
    say(f"{done}; `descent devnet up` goes on where it was")


@command(app, "reset", needs=DEVNET, home=layout.DEFAULT_HOME)
def reset(context: Context) -> None:
    """Stop the devnet and delete its folder."""
    home = context.home.resolve()
    document = layout.DevnetFile.load(home)
    if document is not None:
        processes.stop(document.processes.values())
    elif home.exists() and any(home.iterdir()) and not (home / "node").exists():
        raise CommandFailed(f"{home} is not a devnet folder: nothing was deleted")
    shutil.rmtree(home, ignore_errors=True)
    say(f"{home} is gone")


# -------------------------------------------------------------------------------------- starting
def _ensure_plan(plan: layout.DevnetPlan) -> None:
    from miner.attackers import AttackerKind

    kinds = [kind.value for kind in AttackerKind]
    for kind in plan.attackers:
        if kind not in kinds:
            raise UsageFailed(f"--attacker {kind!r} is none of {', '.join(kinds)}")
    if plan.engine not in layout.ENGINES:
        raise UsageFailed(f"--engine {plan.engine!r} is none of {', '.join(layout.ENGINES)}")
    if plan.num_nodes > 1 and plan.engine == layout.EMBEDDED:
        raise UsageFailed(f"--nodes {plan.num_nodes} needs --engine {layout.COMETBFT}")
    if plan.engine == layout.COMETBFT:
        _ensure_cometbft()
    if plan.dataset_dir is not None and not plan.dataset_dir.is_dir():
        raise UsageFailed(f"--dataset {plan.dataset_dir} is not a folder")
    if bool(plan.num_miners) != bool(plan.num_validators):
        raise UsageFailed(
            "--miners and --validators: both above 0 for a run, or both 0 for the chain alone"
        )


def _ensure_cometbft() -> None:
    from node.engine.comet.process import require_binary
    from node.engine.errors import EngineMissing

    try:
        require_binary()
    except EngineMissing as error:
        raise CommandFailed(str(error), hint="make cometbft") from error


def _parse_until(text: str | None) -> Any:
    if text is None:
        return None
    from cli.devnet.until import parse_until

    try:
        return parse_until(text)
    except ValueError as error:
        raise UsageFailed(str(error)) from error


def _start_all(plan: layout.DevnetPlan) -> tuple[layout.DevnetFile, layout.DevnetPlan]:
    """Start every process that is not running; a stopped devnet goes on where it was."""
    existing = layout.DevnetFile.load(plan.home)
    if existing is not None:
        plan = layout.restore_plan(plan.home, existing.plan)
    busy = layout.find_busy_port(plan)
    if busy is not None and existing is None:
        raise CommandFailed(
            f"port {busy} is in use", hint="stop what listens there, or pass --port-offset N"
        )
    from cli.devnet.genesis import prepare_home, wait_for_chain

    plan.home.mkdir(parents=True, exist_ok=True)
    accounts = prepare_home(plan)
    document = existing or layout.DevnetFile(
        chain_id=layout.CHAIN_ID,
        endpoints=plan.list_endpoints(),
        plan=layout.describe_plan(plan),
        accounts=accounts,
    )
    stopped = [p for p in layout.list_node_processes(plan) if not _is_running(document, p.name)]
    for process in stopped:
        _start(plan, document, process)
    is_started = bool(stopped)
    if stopped:
        try:
            wait_for_chain(plan, document.processes["node"], START_SECONDS)
        except CommandFailed:
            processes.stop(document.processes.values())
            raise
    if plan.has_run:
        is_started |= _start_participants(plan, document)
    if not is_started:
        raise CommandFailed(
            f"the devnet in {plan.home} is running", hint="descent devnet status, logs or down"
        )
    return document, plan


def _start_participants(plan: layout.DevnetPlan, document: layout.DevnetFile) -> bool:
    """Start who is not running; return whether anybody was."""
    from cli.devnet.genesis import is_run_created

    missing = [p for p in layout.list_participants(plan) if not _is_running(document, p.name)]
    has_owner = _is_running(document, "owner")
    if not has_owner and ("owner" not in document.processes or not is_run_created(plan)):
        missing.insert(0, layout.make_owner(plan))
    for process in missing:
        _start(plan, document, process)
    return bool(missing)


def _start(
    plan: layout.DevnetPlan, document: layout.DevnetFile, process: layout.ProcessPlan
) -> None:
    """Start a process and note it at once, so that `down` finds it whatever happens next."""
    document.processes[process.name] = processes.start(process, plan.logs)
    document.save(plan.home)


def _is_running(document: layout.DevnetFile, name: str) -> bool:
    entry = document.processes.get(name)
    return entry is not None and processes.is_running(entry)


def _load(home: Path) -> tuple[layout.DevnetFile, layout.DevnetPlan]:
    document = layout.DevnetFile.load(home.resolve())
    if document is None:
        raise CommandFailed(f"no devnet in {home}", hint="descent devnet up, or pass --home")
    return document, layout.restore_plan(home.resolve(), document.plan)


# -------------------------------------------------------------------------------------- watching
async def _look(home: Path, document: layout.DevnetFile) -> Any:
    from chain_client.client import ChainClient
    from cli.devnet.view import Viewer

    nodes = join_endpoints(document.endpoints, "grpc")
    async with ChainClient.connect(nodes, retry_for_s=1.0) as client:
        return await Viewer(client, layout.RUN_ID, home).look()


def _make_report(document: layout.DevnetFile, view: Any, memory_bytes: int) -> dict[str, Any]:
    return {
        "chain_id": document.chain_id,
        "endpoints": document.endpoints,
        "height": view.height,
        "run_status": view.run_status,
        "round": view.round_index,
        "phase": view.phase,
        "losses_bits_per_byte": [f"{loss:.4f}" for _, loss in view.losses],
        "members": [
            {
                "name": member.name,
                "role": member.role,
                "uid": member.uid,
                "last_verdict": member.reason,
                "incentive": f"{member.incentive:.4f}",
                "paid_udsc": member.paid_udsc,
                "balance_udsc": member.balance_udsc,
            }
            for member in view.members
        ],
        "processes": watch.describe_processes(document, view),
        "memory_bytes": memory_bytes,
    }


def _follow(paths: list[Path]) -> None:
    handles = []
    for path in paths:
        handle = path.open("r", errors="replace")
        handle.seek(0, 2)
        handles.append(handle)
    try:
        while True:
            for handle in handles:
                sys.stdout.write(handle.read())
            sys.stdout.flush()
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
