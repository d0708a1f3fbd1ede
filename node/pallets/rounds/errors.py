"""Refusals of the rounds pallet."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class RoundsError(ChainError):
    """Base of the refusals of rounds"""

    codespace: ClassVar[str] = "rounds"


class NoOpenRound(RoundsError):
    """the run has no round in work"""

    code = 2


class WrongRound(RoundsError):
    """this is not the round in work"""

    code = 3


class WrongPhase(RoundsError):
    """the round is in another phase"""

    code = 4


class RoundClosed(RoundsError):
    """the accepted set of the round is fixed; commit to the next round"""

    code = 5


class InvalidHash(RoundsError):
    """a hash has the wrong length"""

    code = 6


class InvalidPayloadSize(RoundsError):
    """the payload size is out of bounds"""

    code = 7


class WrongOptimiserRoot(RoundsError):
    """optimiser_root_in is not the state this miner has to go on from"""

    code = 8


class EndpointMissing(RoundsError):
    """nobody could fetch the payload; set an endpoint first"""

    code = 9


class AlreadyCommitted(RoundsError):
    """a commitment cannot be replaced after the deadline"""

    code = 10


class InvalidBitmap(RoundsError):
    """the availability bitmap is longer than the seats of the run"""

    code = 11
