"""What `miner run` and `validator run` share: options, a seat, work until the run is over."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import KEYS, Context
from cli.output import CommandFailed

if TYPE_CHECKING:
    from chain_client.keys import Key
    from miner.participant import Seat

PATIENCE_SECONDS = 60.0
NEEDS = (*KEYS, "node", "chain_id")

RunOption = Annotated[int, typer.Option("--run", help="The run to join.", min=1)]
HostOption = Annotated[str, typer.Option("--host", help="Address to serve at.")]
PortOption = Annotated[int, typer.Option("--port", help="Port to serve at; 0 = 9300 + uid.", min=0)]
PortOffsetOption = Annotated[
    int | None,
    typer.Option(
        "--port-offset", help="Added to the default port; the devnet's without it.", min=0
    ),
]
BackendOption = Annotated[str, typer.Option("--backend", help="auto, native, torch or numpy.")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
DatasetOption = Annotated[
    Path | None, typer.Option("--dataset", help="Folder with the run's text.")
]
MaxBurnOption = Annotated[str, typer.Option("--max-burn", help="Most to pay for a seat.")]


async def run_participant(
    context: Context,
    key_name: str,
    work: Callable[["Seat", "Key"], Awaitable[None]],
    *,
    max_burn: str,
    port_offset: int | None,
    **settings: Any,
) -> None:
    """Take the seat of a key and work.

    Args:
        context: home, node and keys.
        key_name: of the signing key.
        work: given the seat and the key, works until the run is over.
        max_burn: highest registration price, as an amount.
        port_offset: added to the default port; None takes that of the home's devnet.
        settings: the other fields of `ParticipantSettings`.

    Raises:
        CommandFailed: something the operator must mend; the text says what.
    """
    from chain_client.amounts import parse_amount
    from exact.errors import ExactError
    from miner.errors import ParticipantError
    from miner.participant import ParticipantSettings, open_seat

    _set_up_logs()
    key = context.key(key_name)
    home = context.home.resolve() / "participants" / key_name
    resolved = ParticipantSettings(
        home=home,
        data_dir=context.home.resolve() / "data",
        max_burn_udsc=parse_amount(max_burn),
        port_offset=_get_devnet_offset(context) if port_offset is None else port_offset,
        **settings,
    )
    _stop_on_signals()
    try:
        async with (
            context.client(retry_for_s=PATIENCE_SECONDS) as client,
            open_seat(client, key, resolved) as seat,
        ):
            await work(seat, key)
    except (ParticipantError, ExactError) as error:
        raise CommandFailed(str(error)) from error
    except asyncio.CancelledError:
        return


def _get_devnet_offset(context: Context) -> int:
    return int(context.devnet.get("plan", {}).get("port_offset", 0))


def _set_up_logs() -> None:
    """One line an event on stderr: coloured for a terminal, plain otherwise."""
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _stop_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
