"""Fetch what was committed in a round and say which of it is here and usable.

A payload counts as available when its bytes have the committed hash and size and parse as this
uid's payload of this round, and it is no copy. Only such payloads are attested, so settlement
never meets one it cannot read.
"""

import asyncio
from dataclasses import dataclass

import structlog

from chain_client.blob.errors import BlobError
from exact import codec
from miner.follower import RunFollower
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.weights.v1 import weights_pb2 as w
from scoring import screen

# Payloads of so many rounds back are remembered for the duplicate screen.
SCREEN_ROUNDS = 4

log = structlog.get_logger()


@dataclass
class Received:
    """One commitment and what became of it.

    Attributes:
        commitment: from the chain.
        reason: OK, or why it cannot count: LATE, UNAVAILABLE, INVALID_PAYLOAD, DUPLICATE.
        detail: one line for people.
        payload: the bytes, if they are here.
        update: the parsed payload, if it parses.
    """

    commitment: rounds_pb2.Commitment
    reason: int = w.REASON_CODE_OK
    detail: str = ""
    payload: bytes | None = None
    update: codec.SparseUpdate | None = None


class Availability:
    """Collects the payloads of one run, round after round.

    Args:
        follower: of the run.
    """

    def __init__(self, follower: RunFollower) -> None:
        self._follower = follower
        self._seen: dict[int, dict[int, screen.ScreenedPayload]] = {}

    async def collect(
        self, round_info: rounds_pb2.Round, deadline_seconds: float
    ) -> dict[int, Received]:
        """Fetch, check and screen every commitment of a round.

        Returns:
            By uid, one entry a commitment.
        """
        setup = self._follower.setup
        await self._follower.refresh_participants()
        commitments = await self._follower.client.get_commitments(setup.run_id, round_info.index)
        found = await asyncio.gather(*(self._receive(c, deadline_seconds) for c in commitments))
        received = {item.commitment.uid: item for item in found}
        self._screen(round_info.index, received)
        for uid, item in sorted(received.items()):
            if item.reason != w.REASON_CODE_OK:
                log.info(
                    "payload_refused",
                    round=round_info.index,
                    uid=uid,
                    reason=w.ReasonCode.Name(item.reason),
                    why=item.detail,
                )
        return received

    async def _receive(
        self, commitment: rounds_pb2.Commitment, deadline_seconds: float
    ) -> Received:
        item = Received(commitment)
        if commitment.late:
            item.reason = w.REASON_CODE_LATE
            item.detail = f"committed at height {commitment.height}, after the deadline"
            return item
        if commitment.payload_size > self._follower.setup.max_payload_bytes:
            item.reason = w.REASON_CODE_INVALID_PAYLOAD
            item.detail = (
                f"{commitment.payload_size} bytes committed, a payload of this run has at most "
                f"{self._follower.setup.max_payload_bytes}"
            )
            return item
        try:
            item.payload = await self._follower.fetch_payload(commitment, deadline_seconds)
        except BlobError as error:
            item.reason, item.detail = w.REASON_CODE_UNAVAILABLE, str(error)
            return item
        self._parse(item)
        return item

    def _parse(self, item: Received) -> None:
        assert item.payload is not None
        commitment = item.commitment
        try:
            item.update = self._follower.decode_payload(
                item.payload, commitment.round, commitment.uid
            )
        except codec.PayloadWrongUid as error:
            item.reason, item.detail = w.REASON_CODE_DUPLICATE, f"another's payload: {error}"
        except codec.PayloadError as error:
            item.reason, item.detail = w.REASON_CODE_INVALID_PAYLOAD, str(error)

    def _screen(self, round_index: int, received: dict[int, Received]) -> None:
        """Mark copies of payloads of this round and of recent ones."""
        current = {
            uid: screen.make_screened(
                uid, round_index, codec.body_hash(item.payload), item.update.tensors
            )
            for uid, item in sorted(received.items())
            if item.update is not None and item.payload is not None
        }
        recent = [
            payload
            for index in range(max(0, round_index - SCREEN_ROUNDS), round_index)
            for payload in self._seen.get(index, {}).values()
        ]
        order = {uid: (received[uid].commitment.height, uid) for uid in current}
        for finding in screen.find_duplicates(list(current.values()), recent, order):
            item = received[finding.uid]
            item.reason = w.REASON_CODE_DUPLICATE
            item.detail = finding.detail
        self._seen[round_index] = current
        for index in [i for i in self._seen if i < round_index - SCREEN_ROUNDS]:
            del self._seen[index]


def make_bitmap(uids: list[int]) -> bytes:
    """Return the bitmap of `MsgAttestAvailability`: bit uid % 8 of byte uid / 8."""
    bitmap = bytearray(max(uids, default=-1) // 8 + 1)
    for uid in uids:
        bitmap[uid // 8] |= 1 << (uid % 8)
    return bytes(bitmap)
