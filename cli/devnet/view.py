"""One look at the chain: what the live screen and `devnet status` show."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from chain_client.client import ChainClient
from chain_client.keys import Keyring
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
    registered: str = ""  # who has registered, while the run waits for more
    losses: list[tuple[int, float]] = field(default_factory=list)
    members: list[MemberView] = field(default_factory=list)
    checkpoint: lineage_pb2.Checkpoint | None = None
    judged_round: int | None = None


class AccountNames:
    """What people call an address: the name of its key in the devnet's home.

    Args:
        home: of the devnet; keys may be added while it runs.
    """

    def __init__(self, home: Path) -> None:
        self._keyring = Keyring(home)
        self._names: dict[str, str] = {}

    def find(self, address: str) -> str:
        """Return the name, or the end of an address that has none here."""
        if address not in self._names:
            self._names.update({info.address: info.name for info in self._keyring.list()})
        return self._names.setdefault(address, "..." + address[-9:])


class Viewer:
    """Reads the chain for the screen; remembers the loss curve.

    Args:
        client: connected.
        run_id: the run to show.
        home: of the devnet, for the names of its accounts.
    """

    def __init__(self, client: ChainClient, run_id: int, home: Path) -> None:
        self._client = client
        self._run_id = run_id
        self._names = AccountNames(home)
        self._losses: dict[int, float] = {}

    async def look(self) -> DevnetView:
        """Read everything once, in two calls."""
        run_id = self._run_id
        first = await self._client.look(
            lambda reads: [
                reads.get_run(run_id),
                reads.get_current_round(run_id),
                reads.get_checkpoint(run_id),
                reads.get_epoch(run_id),
                reads.get_participants(run_id),
            ]
        )
        run, current, checkpoint, epoch, members = first.answers
        view = DevnetView(height=first.height)
        if run is None:
            return view
        spec = runs_pb2.RunSpec.FromString(run.spec)
        view.run_status = runs_pb2.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()
        view.num_rounds = spec.num_rounds
        view.registered = _count_registered(spec, members or [])
        if current is not None:
            _fill_round(view, current)
            view.checkpoint = checkpoint.checkpoint
        await self._look_closer(view, epoch, members or [])
        return view

    async def _look_closer(
        self,
        view: DevnetView,
        epoch: weights_pb2.Epoch | None,
        members: list[runs_pb2.Participant],
    ) -> None:
        """Read what the first answers make one ask for."""
        run_id = self._run_id
        newest = 0 if epoch is None else epoch.round
        wanted = [i for i in range(max(0, newest - 32), newest) if i not in self._losses]
        second = await self._client.look(
            lambda reads: [
                reads.get_judgements(run_id, newest),
                *(reads.get_epoch(run_id, index) for index in wanted),
                *(reads.get_balance(member.coldkey) for member in members),
            ]
        )
        judgements, *others = second.answers
        if epoch is not None:
            view.judged_round = epoch.round
            self._remember_losses([epoch, *others[: len(wanted)]])
            view.losses = sorted(self._losses.items())
        balances = others[len(wanted) :]
        self._fill_members(view, members, balances, epoch, _list_gains(judgements))

    def _remember_losses(self, epochs: Iterable[weights_pb2.Epoch | None]) -> None:
        for epoch in epochs:
            if epoch is not None and epoch.base_heldout_loss_nanonats > 0:
                self._losses[epoch.round] = epoch.base_heldout_loss_nanonats / NANONATS_PER_BIT

    def _fill_members(
        self,
        view: DevnetView,
        members: list[runs_pb2.Participant],
        balances: list[int],
        epoch: weights_pb2.Epoch | None,
        gains: dict[int, float],
    ) -> None:
        entries = {} if epoch is None else {entry.uid: entry for entry in epoch.entries}
        for member, balance in zip(members, balances, strict=True):
            entry = entries.get(member.uid)
            role = runs_pb2.Role.Name(member.role).removeprefix("ROLE_").lower()
            share = member.incentive_u16 if role == "miner" else member.dividends_u16
            reason = "" if entry is None else weights_pb2.ReasonCode.Name(entry.reason)
            view.members.append(
                MemberView(
                    name=self._names.find(member.coldkey),
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


def _fill_round(view: DevnetView, current: rounds_pb2.Round) -> None:
    view.round_index = current.index
    view.phase = rounds_pb2.Phase.Name(current.phase).removeprefix("PHASE_").lower()
    deadline = {
        rounds_pb2.PHASE_TRAINING: current.commit_deadline,
        rounds_pb2.PHASE_ATTESTING: current.attest_deadline,
        rounds_pb2.PHASE_JUDGING: current.judge_reveal_deadline,
    }.get(current.phase, view.height)
    view.blocks_left = max(0, deadline - view.height)


def _count_registered(spec: runs_pb2.RunSpec, members: list[runs_pb2.Participant]) -> str:
    num_miners = sum(member.role == runs_pb2.ROLE_MINER for member in members)
    wanted = spec.membership
    return (
        f"{num_miners} of {wanted.min_miners} miners, "
        f"{len(members) - num_miners} of {wanted.min_validators} validators"
    )


def _list_gains(response: weights_pb2.QueryJudgementsResponse | None) -> dict[int, float]:
    """Return held-out gains of a judged round by uid, millibits a byte."""
    if response is None or not response.judgements:
        return {}
    return {
        verdict.uid: verdict.heldout_gain_nanonats * 1000 / NANONATS_PER_BIT
        for verdict in response.judgements[0].judgement.verdicts
        if verdict.reason == weights_pb2.REASON_CODE_OK or verdict.heldout_gain_nanonats
    }


def _shorten(reason: str) -> str:
    text = reason.removeprefix("REASON_CODE_").lower().replace("_", " ")
    return "" if text == "unspecified" else text
