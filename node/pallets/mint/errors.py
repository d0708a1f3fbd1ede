"""Refusals of mint."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class EmissionExhausted(ChainError):
    """no more may be minted: the supply cap is reached"""

    codespace: ClassVar[str] = "mint"
    code = 2
