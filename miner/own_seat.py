"""What the chain says of one's own seat, read again and again for `/metrics` and `/readyz`."""

import asyncio
import contextlib
import time

import structlog
from prometheus_client import Gauge

from chain_client.client import ChainClient
from chain_client.errors import ChainClientError, NotFound
from miner.metrics import REGISTRY
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2

POLL_S = 5.0
STALE_AFTER_S = 60.0
U16 = 65_535

log = structlog.get_logger()

BALANCE = Gauge("descent_participant_balance_udsc", "Coins of the key.", registry=REGISTRY)
PAID = Gauge("descent_participant_paid_udsc", "Earned in the run so far.", registry=REGISTRY)
INCENTIVE = Gauge("descent_participant_incentive", "Share of the last epoch.", registry=REGISTRY)
DIVIDENDS = Gauge("descent_participant_dividends", "Share of the last epoch.", registry=REGISTRY)
ROUNDS_UNPAID = Gauge(
    "descent_participant_rounds_unpaid",
    "Rounds judged since the last that paid this seat, counted since the process started.",
    registry=REGISTRY,
)
REASON = Gauge(
    "descent_participant_reason",
    "1 for the verdict of the last epoch on this seat.",
    ["reason"],
    registry=REGISTRY,
)
SUSPECT = Gauge(
    "descent_participant_is_suspect",
    "1 while every round of this seat is audited after work that did not replay.",
    registry=REGISTRY,
)
CHAIN_HEIGHT = Gauge("descent_participant_chain_height", "Newest block seen.", registry=REGISTRY)


class OwnSeat:
    """Follows one seat.

    Args:
        client: connected to a node.
        run_id, uid: of the seat.
        address: of the key that signs.
    """

    def __init__(self, client: ChainClient, run_id: int, uid: int, address: str) -> None:
        self._client = client
        self._run_id, self._uid, self._address = run_id, uid, address
        self._seen_s = 0.0
        self._judged_round = -1
        self._rounds_unpaid = 0

    async def run(self) -> None:
        """Read the seat every few seconds until cancelled."""
        while True:
            try:
                await self._read()
                self._seen_s = time.monotonic()
            except ChainClientError as error:
                log.debug("seat_not_read", why=str(error))
            await asyncio.sleep(POLL_S)

    def explain_unready(self) -> str:
        """Say why this participant cannot work now, empty while it can."""
        if not self._seen_s:
            return "the chain was not reached yet"
        idle_s = time.monotonic() - self._seen_s
        return f"the chain was not reached for {idle_s:.0f} s" if idle_s > STALE_AFTER_S else ""

    async def _read(self) -> None:
        CHAIN_HEIGHT.set(await self._client.height())
        BALANCE.set(await self._client.get_balance(self._address))
        member = await self._client.get_participant(self._run_id, uid=self._uid)
        self.note_member(member)
        with contextlib.suppress(NotFound):  # none yet
            self.note_epoch(await self._client.get_epoch(self._run_id))

    def note_member(self, member: runs_pb2.Participant) -> None:
        """Take what the chain holds of the seat."""
        PAID.set(member.total_paid_udsc)
        INCENTIVE.set(member.incentive_u16 / U16)
        DIVIDENDS.set(member.dividends_u16 / U16)
        SUSPECT.set(member.suspect_until_round > max(self._judged_round, 0))

    def note_epoch(self, epoch: weights_pb2.Epoch) -> None:
        """Take the newest epoch; those between two reads count as paid like the newer."""
        if epoch.round <= self._judged_round:
            return
        num_new = epoch.round - self._judged_round if self._judged_round >= 0 else 1
        self._judged_round = epoch.round
        own = [entry for entry in epoch.entries if entry.uid == self._uid]
        is_paid = any(entry.emission_udsc for entry in own)
        self._rounds_unpaid = 0 if is_paid else self._rounds_unpaid + num_new
        ROUNDS_UNPAID.set(self._rounds_unpaid)
        REASON.clear()
        for entry in own:
            name = weights_pb2.ReasonCode.Name(entry.reason).removeprefix("REASON_CODE_")
            REASON.labels(name.lower()).set(1)
