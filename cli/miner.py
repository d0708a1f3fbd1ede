"""`descent miner`: earn by training."""

from typing import Annotated, Any

import typer

from cli.context import Context, command, new_group
from cli.output import UsageFailed
from cli.participant import NEEDS, run_participant
from cli.participant_settings import MINER, list_flags
from cli.setting_options import ConfigOption, with_settings

app = new_group("Earn by training.")


@command(app, "run", needs=NEEDS)
@with_settings(list_flags(MINER))
async def run(
    context: Context,
    config: ConfigOption = None,
    attacker: Annotated[
        str | None, typer.Option(help="Cheat: copier, free-rider, corrupt or wrong-steps.")
    ] = None,
    **flags: Any,
) -> Any:
    """Join a run and mine until it is over; --run and --key may stand in the file."""
    from miner.attackers import AttackerKind, make_attacker
    from miner.miner import Miner

    kinds = [kind.value for kind in AttackerKind]
    if attacker is not None and attacker not in kinds:
        raise UsageFailed(f"--attacker {attacker!r} is none of {', '.join(kinds)}")
    cheat = None if attacker is None else make_attacker(AttackerKind(attacker))
    await run_participant(
        context,
        MINER,
        config,
        flags,
        lambda seat, signer: Miner(seat.follower, signer, seat.uid, cheat).run(),
    )
