"""Refusals of gov; codes and texts of the Cosmos SDK."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError, InvalidAuthority


class GovError(ChainError):
    """Base of gov's refusals"""

    codespace: ClassVar[str] = "gov"


class ProposalUnknown(GovError):
    """unknown proposal"""

    code = 2


class ProposalInactive(GovError):
    """inactive proposal"""

    code = 3


class VoteInvalid(GovError):
    """invalid vote option"""

    code = 7


class MessageUnroutable(GovError):
    """proposal message not recognized by router"""

    code = 10


class MessageInvalid(GovError):
    """invalid proposal message"""

    code = 12


class MetadataTooLong(GovError):
    """metadata too long"""

    code = 15


class DepositTooSmall(GovError):
    """minimum deposit is too small"""

    code = 16


class ProposerInvalid(GovError):
    """invalid proposer"""

    code = 18


class VotingPeriodEnded(GovError):
    """voting period already ended"""

    code = 20


class TextTooLong(GovError):
    """summary too long"""

    code = 22


class DepositDenomInvalid(GovError):
    """invalid deposit denom"""

    code = 23


GOV_ERRORS: tuple[type[ChainError], ...] = (
    ProposalUnknown,
    ProposalInactive,
    VoteInvalid,
    MessageUnroutable,
    MessageInvalid,
    InvalidAuthority,
    MetadataTooLong,
    DepositTooSmall,
    ProposerInvalid,
    VotingPeriodEnded,
    TextTooLong,
    DepositDenomInvalid,
)
