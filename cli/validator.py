"""`descent validator`: earn by judging."""

from typing import Any

from cli.context import Context, command, new_group
from cli.participant import NEEDS, run_participant
from cli.participant_settings import VALIDATOR, list_flags
from cli.setting_options import ConfigOption, with_settings

app = new_group("Earn by judging.")


@command(app, "run", needs=NEEDS)
@with_settings(list_flags(VALIDATOR))
async def run(context: Context, config: ConfigOption = None, **flags: Any) -> Any:
    """Join a run as a validator and judge until it is over; --run and --key may be in the file."""
    from validator.validator import Validator

    await run_participant(
        context,
        VALIDATOR,
        config,
        flags,
        lambda seat, signer: Validator(seat.follower, signer, seat.uid).run(),
    )
