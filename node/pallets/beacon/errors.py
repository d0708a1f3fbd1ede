"""Refusals. Those of reveals make a proposal invalid, and no user sees them."""

from __future__ import annotations

from typing import ClassVar

from node.runtime.errors import ChainError


class BeaconError(ChainError):
    """Base of the beacon's refusals"""

    codespace: ClassVar[str] = "beacon"


class RevealMalformed(BeaconError):
    """reveal does not parse"""

    code = 2


class AnchorUnknown(BeaconError):
    """operator has no anchor"""

    code = 3


class PreimageWrong(BeaconError):
    """preimage does not hash to the anchor"""

    code = 4


class RevealsUnsorted(BeaconError):
    """reveals are not in ascending order of operator"""

    code = 5


class BeaconAlreadyDrawn(BeaconError):
    """the value of this block was drawn already"""

    code = 6


class AnchorMalformed(BeaconError):
    """an anchor has 32 bytes"""

    code = 7


class NodeExists(BeaconError):
    """the operator's node is registered already"""

    code = 8
