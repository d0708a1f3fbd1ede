"""`descent miner`: earn by training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import KEYS, Context, command, new_group
from cli.output import UsageFailed
from cli.participant import run_participant

app = new_group("Earn by training.")
NEEDS = (*KEYS, "node", "chain_id")


@command(app, "run", needs=NEEDS)
async def run(
    context: Context,
    run: Annotated[int, typer.Option(help="The run to join.", min=1)],
    key: Annotated[str, typer.Option(help="Name of the key that owns the seat and signs.")],
    host: Annotated[str, typer.Option(help="Address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve at; 0 = 9300 + uid.", min=0)] = 0,
    port_offset: Annotated[
        int | None, typer.Option(help="Added to the default port; the devnet's without it.", min=0)
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, native, torch or numpy.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dataset: Annotated[Path | None, typer.Option(help="Folder with the run's text.")] = None,
    max_burn: Annotated[str, typer.Option(help="Most to pay for a seat.")] = "10DSC",
    attacker: Annotated[
        str | None, typer.Option(help="Cheat: copier, free-rider, corrupt or wrong-steps.")
    ] = None,
) -> Any:
    """Join a run and mine until it is over."""
    from miner.attackers import AttackerKind, make_attacker
    from miner.miner import Miner
    from proto.descent.runs.v1 import runs_pb2

    kinds = [kind.value for kind in AttackerKind]
    if attacker is not None and attacker not in kinds:
        raise UsageFailed(f"--attacker {attacker!r} is none of {', '.join(kinds)}")
    cheat = None if attacker is None else make_attacker(AttackerKind(attacker))
    await run_participant(
        context,
        key,
        lambda seat, signer: Miner(seat.follower, signer, seat.uid, cheat).run(),
        run_id=run,
        role=runs_pb2.ROLE_MINER,
        host=host,
        port=port,
        port_offset=port_offset,
        backend=backend,
        device=device,
        dataset_dir=dataset,
        max_burn=max_burn,
    )
