"""`descent validator`: earn by judging."""

from typing import Annotated, Any

import typer

from cli.context import Context, command, new_group
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

app = new_group("Earn by judging.")


@command(app, "run", needs=NEEDS)
async def run(
    context: Context,
    run: RunOption,
    key: Annotated[str, typer.Option(help="Name of the operator's key.")],
    host: HostOption = "127.0.0.1",
    port: PortOption = 0,
    port_offset: PortOffsetOption = None,
    backend: BackendOption = "auto",
    device: DeviceOption = "cpu",
    dataset: DatasetOption = None,
    max_burn: MaxBurnOption = "10DSC",
) -> Any:
    """Join a run as a validator and judge until it is over."""
    from proto.descent.runs.v1 import runs_pb2
    from validator.validator import Validator

    await run_participant(
        context,
        key,
        lambda seat, signer: Validator(seat.follower, signer, seat.uid).run(),
        run_id=run,
        role=runs_pb2.ROLE_VALIDATOR,
        host=host,
        port=port,
        port_offset=port_offset,
        backend=backend,
        device=device,
        dataset_dir=dataset,
        max_burn=max_burn,
    )
