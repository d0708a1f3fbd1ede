"""One look at the chain: what the live screen and `devnet status` show."""

import asyncio
import math
from dataclasses import dataclass, field

from chain_client.client import ChainClient
from chain_client.errors import NotFound
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2

NANONATS_PER_BIT = math.log(2) * 1e9


@dataclass(frozen=True)
class MemberView:
    """One participant's line."""

    name: str
    role: str
    uid: int
    reason: str
    score_millibits: float | None
    incentive: float
    stake_udsc: int
    paid_udsc: int
    balance_udsc: int


@dataclass
class DevnetView:
    """What there is to see now."""

    height: int
    run_status: str = "none"
    round_index: int = 0
    phase: str = ""
    blocks_left: int = 0
    num_rounds: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    members: list[MemberView] = field(default_factory=list)
    checkpoint: lineage_pb2.Checkpoint | None = None
    judged_round: int | None = None


class Viewer:
    """Reads the chain for the screen; remembers the loss curve.

    Args:
        client: connected.
        run_id: the run to show.
        names: account address -> name.
    """

    def __init__(self, client: ChainClient, run_id: int, names: dict[str, str]) -> None:
        self._client = client
        self._run_id = run_id
        self._names = names
        self._losses: dict[int, float] = {}

    async def look(self) -> DevnetView:
        """Read everything once."""
        view = DevnetView(height=await self._client.height())
        try:
            run = await self._client.get_run(self._run_id)
        except NotFound:
            return view
        spec = runs_pb2.RunSpec.FromString(run.spec)
        view.run_status = runs_pb2.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()
        view.num_rounds = spec.num_rounds
        await self._look_at_round(view)
        epoch = await self._look_at_epoch(view)
        await self._look_at_members(view, epoch)
        return view

    async def _look_at_round(self, view: DevnetView) -> None:
        try:
            current = await self._client.get_current_round(self._run_id)
        except NotFound:
            return
        view.round_index = current.index
        view.phase = rounds_pb2.Phase.Name(current.phase).removeprefix("PHASE_").lower()
        deadline = {
            rounds_pb2.PHASE_TRAINING: current.commit_deadline,
            rounds_pb2.PHASE_ATTESTING: current.attest_deadline,
            rounds_pb2.PHASE_JUDGING: current.judge_reveal_deadline,
        }.get(current.phase, view.height)
        view.blocks_left = max(0, deadline - view.height)
        view.checkpoint = (await self._client.get_checkpoint(self._run_id)).checkpoint

    async def _look_at_epoch(self, view: DevnetView) -> weights_pb2.Epoch | None:
        try:
            epoch = await self._client.get_epoch(self._run_id)
        except NotFound:
            return None
        view.judged_round = epoch.round
        for index in range(max(0, epoch.round - 32), epoch.round + 1):
            if index not in self._losses:
                past = epoch if index == epoch.round else await self._get_epoch(index)
                if past is not None and past.base_heldout_loss_nanonats > 0:
                    self._losses[index] = past.base_heldout_loss_nanonats / NANONATS_PER_BIT
        view.losses = sorted(self._losses.items())
        return epoch

    async def _get_epoch(self, index: int) -> weights_pb2.Epoch | None:
        try:
            return await self._client.get_epoch(self._run_id, index)
        except NotFound:
            return None

    async def _look_at_members(self, view: DevnetView, epoch: weights_pb2.Epoch | None) -> None:
        members = await self._client.get_participants(self._run_id)
        balances = await asyncio.gather(*(self._client.get_balance(m.coldkey) for m in members))
        entries = {} if epoch is None else {entry.uid: entry for entry in epoch.entries}
        gains = {} if epoch is None else await self._get_gains(epoch.round)
        for member, balance in zip(members, balances, strict=True):
            entry = entries.get(member.uid)
            role = runs_pb2.Role.Name(member.role).removeprefix("ROLE_").lower()
            share = member.incentive_u16 if role == "miner" else member.dividends_u16
            reason = "" if entry is None else weights_pb2.ReasonCode.Name(entry.reason)
            view.members.append(
                MemberView(
                    name=self._names.get(member.coldkey, member.coldkey[:14] + "..."),
                    role=role,
                    uid=member.uid,
                    reason="" if role != "miner" else _shorten(reason),
                    score_millibits=gains.get(member.uid),
                    incentive=share / 65535,
                    stake_udsc=0 if entry is None else entry.stake_udsc,
                    paid_udsc=member.total_paid_udsc,
                    balance_udsc=balance,
                )
            )

    async def _get_gains(self, round_index: int) -> dict[int, float]:
        """Return held-out gains of a judged round by uid, millibits a byte."""
        response = await self._client.get_judgements(self._run_id, round_index)
        if not response.judgements:
            return {}
        return {
            verdict.uid: verdict.heldout_gain_nanonats * 1000 / NANONATS_PER_BIT
            for verdict in response.judgements[0].judgement.verdicts
            if verdict.reason == weights_pb2.REASON_CODE_OK or verdict.heldout_gain_nanonats
        }


def _shorten(reason: str) -> str:
    text = reason.removeprefix("REASON_CODE_").lower().replace("_", " ")
    return "" if text == "unspecified" else text
