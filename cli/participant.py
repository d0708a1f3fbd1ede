"""What `miner run` and `validator run` share: settings, log, monitor, a seat, work."""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.context import KEYS, Context
from cli.output import CommandFailed, UsageFailed
from cli.participant_settings import COMMON, FIRST_MONITOR_PORT, MINER, list_flags, list_settings
from cli.setting_options import get_flags
from node.settings import Resolved, SettingsError, parse_address, resolve

if TYPE_CHECKING:
    from chain_client.client import ChainClient
    from chain_client.keys import Key
    from miner.participant import ParticipantSettings, Seat
    from node.monitor.server import MonitorServer

PATIENCE_SECONDS = 60.0
DEAD_AFTER_S = 120.0
PORT_HINT = (
    "a second participant here with the same uid, of another run, needs --port-offset 1000, which"
    " moves its metrics too, or --port PORT; a seat that was bought is kept"
)
NEEDS = (*KEYS, "node", "chain_id")


async def run_participant(
    context: Context,
    program: str,
    config: Path | None,
    flags: Mapping[str, Any],
    work: Callable[["Seat", "Key"], Awaitable[None]],
) -> None:
    """Take the seat of a key and work.

    Args:
        context: home, node and keys.
        program: MINER or VALIDATOR.
        config: file of settings, the home's own without it.
        flags: those of `list_flags`, by parameter name.
        work: given the seat and the key, works until the run is over.

    Raises:
        CommandFailed: something the operator must mend; the text says what.
    """
    from chain_client.blob.errors import BlobError, BlobPortBusy
    from exact.errors import ExactError
    from miner.errors import ParticipantError
    from miner.participant import open_seat
    from node.monitor.server import MonitorBusy

    resolved = resolve_settings(context, program, config, flags)
    context = _apply_common(context, resolved)
    _set_up_logs(program, resolved)
    key = context.key(resolved["key"])
    settings = _make_settings(context, program, resolved)
    _stop_on_signals()
    monitor = ParticipantMonitor(resolved["monitor.listen"], settings.port_offset)
    try:
        async with (
            monitor,
            context.client(retry_for_s=PATIENCE_SECONDS) as client,
            open_seat(client, key, settings) as seat,
            monitor.watch(client, settings.run_id, seat, key.address),
        ):
            await work(seat, key)
    except BlobPortBusy as error:
        raise CommandFailed(str(error), hint=PORT_HINT) from error
    except (ParticipantError, BlobError, ExactError, MonitorBusy) as error:
        raise CommandFailed(str(error)) from error
    except asyncio.CancelledError:
        return


def resolve_settings(
    context: Context, program: str, config: Path | None, flags: Mapping[str, Any]
) -> Resolved:
    """Find the settings of a participant.

    Raises:
        UsageFailed: one cannot be, or one that is needed is not chosen.
    """
    path = config or context.home / f"{program}.toml"
    values = get_flags(list_flags(program), flags)
    values |= {name: str(getattr(context, name)) for name in COMMON if name in context.given}
    settings = list_settings(program)
    try:
        resolved = resolve(settings, flags=values, path=path, must_exist=config is not None)
    except SettingsError as error:
        raise UsageFailed("; ".join(error.problems)) from error
    for setting in settings:
        if setting.name in ("run", "key") and resolved[setting.name] is None:
            raise UsageFailed(
                f"{setting.name} is not chosen: {setting.help}",
                hint=f"{setting.get_flag()}, {setting.get_variable()}, or a line in {path}",
            )
    return resolved


def _apply_common(context: Context, resolved: Resolved) -> Context:
    chosen = {name: resolved[name] for name in COMMON if resolved[name]}
    if "passphrase_file" in chosen:
        chosen["passphrase_file"] = Path(chosen["passphrase_file"])
    return replace(context, **chosen)


def _make_settings(context: Context, program: str, resolved: Resolved) -> "ParticipantSettings":
    from chain_client.amounts import parse_amount
    from miner.participant import ParticipantSettings
    from proto.descent.runs.v1 import runs_pb2

    host, offset = resolved["host"], resolved["port_offset"]
    if host.strip("[]") in ("0.0.0.0", "::") and not resolved["advertise"]:
        raise UsageFailed(
            f"{host} is no address that others can reach",
            hint="--advertise HOST tells them one, for the chain to hold",
        )
    home = context.home.resolve()
    return ParticipantSettings(
        run_id=resolved["run"],
        role=runs_pb2.ROLE_MINER if program == MINER else runs_pb2.ROLE_VALIDATOR,
        home=home / "participants" / resolved["key"],
        data_dir=home / "data",
        host=host,
        port=resolved["port"],
        advertise=resolved["advertise"],
        port_offset=_get_devnet_offset(context) if offset is None else offset,
        backend=resolved["backend"],
        device=resolved["device"],
        dataset_dir=Path(resolved["dataset"]) if resolved["dataset"] else None,
        max_burn_udsc=parse_amount(resolved["max_burn"]),
    )


def _get_devnet_offset(context: Context) -> int:
    return int(context.devnet.get("plan", {}).get("port_offset", 0))


class ParticipantMonitor:
    """`/metrics`, `/healthz` and `/readyz` of a participant; a context manager.

    It listens at once where its port is chosen, else once the uid is known.

    Args:
        listen: HOST:PORT, empty for none; port 0 is FIRST_MONITOR_PORT + offset + uid.
        port_offset: added to the default port.
    """

    def __init__(self, listen: str, port_offset: int) -> None:
        self._address = parse_address(listen) if listen else None
        self._port_offset = port_offset
        self._server: MonitorServer | None = None
        self._beat_s = time.monotonic()
        self._explain: Callable[[], str] = lambda: "getting ready: see the log"

    async def __aenter__(self) -> "ParticipantMonitor":
        if self._address is not None and self._address[1]:
            self._listen(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()

    @asynccontextmanager
    async def watch(
        self, client: "ChainClient", run_id: int, seat: "Seat", address: str
    ) -> AsyncIterator[None]:
        """Tell of a seat while the context is open."""
        from miner.own_seat import OwnSeat

        async with AsyncExitStack() as stack:
            if self._address is not None:
                if self._server is None:
                    port = FIRST_MONITOR_PORT + self._port_offset + seat.uid
                    self._listen(self._address[0], port)
                own = OwnSeat(client, run_id, seat.uid, address)
                self._explain = own.explain_unready
                for work in (own.run(), self._beat()):
                    task = asyncio.create_task(work)
                    stack.callback(task.cancel)
            yield

    def _listen(self, host: str, port: int) -> None:
        from miner.metrics import REGISTRY
        from node.monitor.server import MonitorServer

        self._server = MonitorServer(
            host, port, REGISTRY, self._explain_dead, self._explain_unready
        )
        self._server.start()

    async def _beat(self) -> None:
        while True:
            self._beat_s = time.monotonic()
            await asyncio.sleep(1)

    def _explain_dead(self) -> str:
        idle_s = time.monotonic() - self._beat_s
        return f"the process is stuck for {idle_s:.0f} s" if idle_s > DEAD_AFTER_S else ""

    def _explain_unready(self) -> str:
        return self._explain_dead() or self._explain()


def _set_up_logs(program: str, resolved: Resolved) -> None:
    """One line an event on stderr, in the schema of `node.logs`."""
    import structlog

    from miner.metrics import count_event
    from node.logs import CONSOLE, format_line, set_up_logs

    log_format, level = resolved["log.format"], resolved["log.level"]
    set_up_logs(log_format, "warning" if level == "info" else level, program)  # of the libraries

    def render(logger: Any, name: str, event: Mapping[str, Any]) -> str:
        fields = {key: value for key, value in event.items() if key != "event"}
        return format_line(log_format, name, program, str(event["event"]), fields, time.time())

    processors: list[Any] = [structlog.contextvars.merge_contextvars, count_event]
    if log_format == CONSOLE and sys.stderr.isatty():
        processors += [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.dev.ConsoleRenderer(colors=True),
        ]
    else:
        processors += [structlog.processors.format_exc_info, render]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _stop_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
