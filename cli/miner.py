"""`descent miner`: earn by training."""

from typing import Annotated, Any

import typer

from cli.context import Context, command, new_group
from cli.output import UsageFailed
from cli.participant import (
    NEEDS,
    BackendOption,
    DatasetOption,
    DeviceOption,
    HostOption,
    MaxBurnOption,
    PortOffsetOption,
    PortOption,
    RunOption,
    run_participant,
)

app = new_group("Earn by training.")


@command(app, "run", needs=NEEDS)
async def run(
    context: Context,
    run: RunOption,
    key: Annotated[str, typer.Option(help="Name of the key that owns the seat and signs.")],
    host: HostOption = "127.0.0.1",
    port: PortOption = 0,
    port_offset: PortOffsetOption = None,
    backend: BackendOption = "auto",
    device: DeviceOption = "cpu",
    dataset: DatasetOption = None,
    max_burn: MaxBurnOption = "10DSC",
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
