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


class BeaconAlreadyDrawn(BeaconError):
    """the value of this block was drawn already"""

    code = 6


class AnchorMalformed(BeaconError):
    """an anchor has 32 bytes"""

    code = 7


class NodeExists(BeaconError):
    """the operator's node is registered already"""

    code = 8


class ExtensionsMissing(BeaconError):
    """the votes for the block before come without their extensions"""

    code = 9


class ExtensionsMiscounted(BeaconError):
    """there is not one extension for each vote for the block before"""

    code = 10


class ExtensionForged(BeaconError):
    """an extension is not what the node signed"""

    code = 11


class TooMuchLeftOut(BeaconError):
    """extensions of at most two thirds of the power are there"""

    code = 12


class RevealNotOwn(BeaconError):
    """a node reveals for another operator than its own"""

    code = 13
