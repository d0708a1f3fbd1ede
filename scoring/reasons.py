"""Reason codes: why a miner's weight in a round is what it is.

Numbers equal `descent.weights.v1.ReasonCode`. The order is the precedence: the first that applies,
from MISSING on, is the verdict; OK is what remains.
"""

from enum import IntEnum
from types import MappingProxyType


class ReasonCode(IntEnum):
    """Verdict on one miner in one round. Only OK carries weight."""

    UNSPECIFIED = 0
    OK = 1
    MISSING = 2
    LATE = 3
    UNAVAILABLE = 4
    INVALID_PAYLOAD = 5
    DUPLICATE = 6
    REPLAY_MISMATCH = 7
    NO_IMPROVEMENT = 8


REASON_TEXTS = MappingProxyType(
    {
        ReasonCode.UNSPECIFIED: "no verdict was given",
        ReasonCode.OK: "the payload alone lowers the held-out loss and nothing contradicts it",
        ReasonCode.MISSING: "no payload was committed in this round",
        ReasonCode.LATE: "the payload was committed after the deadline",
        ReasonCode.UNAVAILABLE: "the committed payload could not be fetched, or has another hash",
        ReasonCode.INVALID_PAYLOAD: "the payload does not parse, or breaks a bound of the run",
        ReasonCode.DUPLICATE: "the payload copies another one of this or a recent round",
        ReasonCode.REPLAY_MISMATCH: "re-executing an interval gave other bits than were committed",
        ReasonCode.NO_IMPROVEMENT: "the payload alone does not lower the held-out loss",
    }
)

RECOMPUTE_HINTS = MappingProxyType(
    {
        ReasonCode.UNSPECIFIED: "look up the judgements of the round on chain",
        ReasonCode.OK: "decode the payload, subtract it from the round's checkpoint, evaluate the "
        "held-out draw of the judge beacon; compare with heldout_gain_nanonats",
        ReasonCode.MISSING: "list the commitments of the round on chain: the uid is not there",
        ReasonCode.LATE: "compare the commitment's height with the round's commit deadline",
        ReasonCode.UNAVAILABLE: "fetch the payload from the miner's endpoint and compare its "
        "sha256 with the commitment; see the attestations of the round",
        ReasonCode.INVALID_PAYLOAD: "fetch the payload by hash and decode it with the run's codec; "
        "the evidence has the parser's message",
        ReasonCode.DUPLICATE: "compare the body hashes, or the indices and signs, of the two "
        "payloads named in the evidence",
        ReasonCode.REPLAY_MISMATCH: "fetch the interval's start state by root, run its steps on "
        "the assigned batches, compare the root with the one in the miner's trace",
        ReasonCode.NO_IMPROVEMENT: "decode the payload, subtract it from the round's checkpoint, "
        "evaluate the held-out draw of the judge beacon: the loss does not fall",
    }
)
