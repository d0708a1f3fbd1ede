"""Refusals of upgrade."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class PlanInvalid(ChainError):
    """invalid upgrade plan"""

    codespace: ClassVar[str] = "upgrade"
    code = 2


class PlanMissing(ChainError):
    """no upgrade is planned"""

    codespace: ClassVar[str] = "upgrade"
    code = 3
