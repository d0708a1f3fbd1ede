"""Refusals of the weights pallet."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class WeightsError(ChainError):
    """Base of the refusals of weights"""

    codespace: ClassVar[str] = "weights"


class NotJudging(WeightsError):
    """the round is not being judged"""

    code = 2


class CommitDeadlinePassed(WeightsError):
    """the time to commit weights is over"""

    code = 3


class RevealTooEarly(WeightsError):
    """weights are revealed after the time to commit them"""

    code = 4


class InvalidCommitment(WeightsError):
    """the commitment must be a SHA-256 hash of 32 bytes"""

    code = 5


class InvalidSalt(WeightsError):
    """the salt must have 32 bytes"""

    code = 6


class CommitmentMissing(WeightsError):
    """there is no commitment to reveal"""

    code = 7


class CommitmentMismatch(WeightsError):
    """the judgement and salt are not what was committed"""

    code = 8


class AlreadyRevealed(WeightsError):
    """the weights of this round are revealed already"""

    code = 9


class WrongJudge(WeightsError):
    """the judgement names another validator, run or round"""

    code = 10


class InvalidRow(WeightsError):
    """the weights row is refused"""

    code = 11


class InvalidVerdict(WeightsError):
    """a verdict is refused"""

    code = 12
