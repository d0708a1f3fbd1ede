"""Refusals of mint."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class EmissionExhausted(ChainError):
    """the emission of this block was taken already"""

    codespace: ClassVar[str] = "mint"
    code = 2
