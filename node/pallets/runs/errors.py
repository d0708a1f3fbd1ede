"""Refusals of the runs pallet."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class RunsError(ChainError):
    """Base of the refusals of runs"""

    codespace: ClassVar[str] = "runs"


class SpecRefused(RunsError):
    """the run specification is refused"""

    code = 2


class SpecNotCanonical(RunsError):
    """the run specification is not in canonical form"""

    code = 3


class TooManyRuns(RunsError):
    """no more runs can be open at once"""

    code = 4


class UnknownParent(RunsError):
    """the parent checkpoint is not on this chain"""

    code = 5


class BountyTooSmall(RunsError):
    """the bounty is too small"""

    code = 6


class RunNotFound(RunsError):
    """there is no such run"""

    code = 7


class RunNotOpen(RunsError):
    """the run does not take this any more"""

    code = 8


class NotRunOwner(RunsError):
    """only the owner of the run may do this"""

    code = 9


class InvalidRole(RunsError):
    """the role must be miner or validator"""

    code = 10


class HotkeyTaken(RunsError):
    """the hotkey already has a seat in this run; use another one"""

    code = 11


class BurnPriceAboveLimit(RunsError):
    """the registration price is above the limit of the call"""

    code = 12


class NoBondedStake(RunsError):
    """a validator needs an operator with bonded stake on its coldkey; delegate to it first"""

    code = 13


class ColdkeyHasSeat(RunsError):
    """the stake of this coldkey already backs a validator of the run"""

    code = 14


class RunFull(RunsError):
    """every seat for this role is taken and none may be replaced yet"""

    code = 15


class InvalidEndpoint(RunsError):
    """the endpoint must be host:port"""

    code = 16


class ParticipantNotFound(RunsError):
    """there is no such participant in the run"""

    code = 17


class NotSeatOwner(RunsError):
    """the seat belongs to another coldkey"""

    code = 18


class InvalidAmount(RunsError):
    """the amount must be positive"""

    code = 19
