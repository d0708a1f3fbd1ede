"""Weights: what validators found, the Yuma epoch, who is paid, what vests.

The judging of round r begins when it is settled at height T and runs beside round r+1:

    T+1 .. C = T + judge_commit_blocks         validators commit sha256(judgement | salt)
    C+1 .. R = C + judge_reveal_blocks         they reveal; nobody can copy any more
    end of R                                   the epoch

The epoch runs integer Yuma over the revealed rows, with the bonded stake of now and the bonds of
the epochs before. The runs' part of emission is set aside block by block while they train or
verify, in equal parts over such runs; the epoch has what was set aside since the last one, and an
equal part of the bounty over the rounds that are left. Both are split between owner, miners and
validators.
Nothing is minted before it is earned: the part of whoever earned nothing is never minted, and its
bounty stays in escrow. Without any revealed judgement nobody is paid.

A miner's reward vests: it is paid at the epoch of the round in which ceil(1 / audit rate) audits
could have been drawn, at once if everybody is audited. More than half of the revealed stake of a
miner's auditors saying REPLAY_MISMATCH takes this round's reward and all that has yet to vest,
burns it, and makes the miner start from a fresh optimiser; for `probation_rounds` all its rounds
are audited and what they earn is held. What has yet to vest when the run ends is paid.

Invariants: the module account holds exactly what has yet to vest; only open runs have emission set
aside.
Source: `reference/chain.md` sections 1.3 and 1.8, `reference/verification.md` section 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from node.pallets.bank.types import BalancesBurn, BalancesTransfer
from node.pallets.distribution.types import OperatorPay
from node.pallets.lineage.types import JudgementsWrite
from node.pallets.mint.types import EmissionIssue
from node.pallets.rounds.types import RoundsJudge
from node.pallets.runs.types import OPEN_STATUSES, RunsReward
from node.pallets.weights import errors as refusals
from node.pallets.weights.entries import build_checkpoint_judgement, fill_entry
from node.pallets.weights.epoch import (
    NO_EARNINGS,
    Opinion,
    add_amounts,
    compute_base_loss,
    compute_earnings,
    compute_majority_reasons,
    compute_mismatched,
    compute_yuma,
)
from node.pallets.weights.judgement import compute_commitment, ensure_row, ensure_verdicts
from node.pallets.weights.types import (
    DETAIL_ROUNDS,
    HASH_BYTES,
    SALT_BYTES,
    WEIGHTS_MODULE,
    AuditFailed,
    EpochRan,
    OwnerPaid,
    RewardPaid,
    RewardVesting,
    WeightsCommitted,
    WeightsParams,
    WeightsRevealed,
)
from node.runtime.addresses import compute_module_address, decode_account
from node.runtime.codecs import U32, U64, ProtoCodec, pair, triple
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken, QueryNotFound, ensure, refuse
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.params import ParamsCodec
from node.runtime.storage import Item, KeySet, Map, Schema
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from scoring.emission import compute_run_split, compute_vesting_rounds
from scoring.yuma_types import SparseRow, YumaOutput

MISMATCH = weights_pb2.REASON_CODE_REPLAY_MISMATCH
EARNING_STATUSES = (runs_pb2.RUN_STATUS_TRAINING, runs_pb2.RUN_STATUS_VERIFYING)


class WeightsSchema(Schema):
    """Storage of weights. Vestings are keyed by (run id, release round, participant id)."""

    params = Item(0x00, "params", ParamsCodec(WeightsParams))
    commits: Map[tuple[int, int, int], Any] = Map(
        0x01, "commits", triple(U64, U32, U32), ProtoCodec(weights_pb2.WeightCommit)
    )
    judgements: Map[tuple[int, int, int], Any] = Map(
        0x02, "judgements", triple(U64, U32, U32), ProtoCodec(weights_pb2.StoredJudgement)
    )
    epochs: Map[tuple[int, int], Any] = Map(
        0x03, "epochs", pair(U64, U32), ProtoCodec(weights_pb2.Epoch)
    )
    vestings: Map[tuple[int, int, int], Any] = Map(
        0x04, "vestings", triple(U64, U32, U64), ProtoCodec(weights_pb2.Vesting)
    )
    bonds: Map[tuple[int, int], Any] = Map(
        0x05, "bonds", pair(U64, U32), ProtoCodec(weights_pb2.BondRow)
    )
    pending: Map[int, Any] = Map(0x06, "pending", U64, ProtoCodec(weights_pb2.PendingEmission))
    halted = KeySet(0x07, "halted", U64)


class WeightsBank(BalancesTransfer, BalancesBurn, Protocol):
    """What weights need of the bank."""


class WeightsPallet(Pallet[WeightsSchema]):
    """The weights pallet.

    Args:
        runs: runs, participants, stake, bounty; takes the results of an epoch.
        rounds: when a round is judged, and what was committed in it.
        lineage: takes what an epoch found.
        mint: emission.
        bank: pays and burns.
        pay: pays validators, who share with those who delegated to them.
    """

    name = "weights"
    index = 19
    schema = WeightsSchema
    query_services = (weights_pb2.DESCRIPTOR.services_by_name["Query"],)
    params_messages = (weights_pb2.MsgUpdateParams, weights_pb2.MsgUpdateParamsResponse)
    errors = (
        refusals.NotJudging,
        refusals.CommitDeadlinePassed,
        refusals.RevealTooEarly,
        refusals.InvalidCommitment,
        refusals.InvalidSalt,
        refusals.CommitmentMissing,
        refusals.CommitmentMismatch,
        refusals.AlreadyRevealed,
        refusals.WrongJudge,
        refusals.InvalidRow,
        refusals.InvalidVerdict,
    )
    events = (
        WeightsCommitted,
        WeightsRevealed,
        EpochRan,
        RewardPaid,
        RewardVesting,
        OwnerPaid,
        AuditFailed,
    )

    def __init__(
        self,
        runs: RunsReward,
        rounds: RoundsJudge,
        lineage: JudgementsWrite,
        mint: EmissionIssue,
        bank: WeightsBank,
        pay: OperatorPay,
    ) -> None:
        super().__init__()
        self._runs = runs
        self._rounds = rounds
        self._lineage = lineage
        self._mint = mint
        self._bank = bank
        self._pay = pay
        self.module_addr = compute_module_address(WEIGHTS_MODULE)

    # Calls

    @call(0, weights_pb2.MsgCommitWeights, weights_pb2.MsgCommitWeightsResponse, signer="hotkey")
    def commit_weights(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Bind a validator to its judgement of a round; again before the deadline to replace.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, InvalidRole, NotJudging,
            CommitDeadlinePassed, InvalidCommitment.
        Emits: WeightsCommitted.
        """
        seat = self._runs.expect_seat(ctx, msg.run_id, msg.hotkey, runs_pb2.ROLE_VALIDATOR)
        judged = self._expect_judging(ctx, msg.run_id, msg.round)
        deadline = judged.judge_commit_deadline
        ensure(
            ctx.height <= deadline,
            refusals.CommitDeadlinePassed,
            f"the deadline of round {judged.index} was {deadline}",
        )
        size = len(msg.commitment)
        ensure(size == HASH_BYTES, refusals.InvalidCommitment, f"{size} bytes")
        commit = weights_pb2.WeightCommit(
            run_id=msg.run_id,
            round=msg.round,
            uid=seat.uid,
            commitment=msg.commitment,
            height=ctx.height,
        )
        key = (msg.run_id, msg.round, seat.uid)
        self.storage.commits.set(ctx, key, commit)
        ctx.emit(WeightsCommitted(*key))

    @call(1, weights_pb2.MsgRevealWeights, weights_pb2.MsgRevealWeightsResponse, signer="hotkey")
    def reveal_weights(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Publish the judgement a validator committed.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, InvalidRole, NotJudging, WrongJudge,
            RevealTooEarly, InvalidSalt, CommitmentMissing, CommitmentMismatch, AlreadyRevealed,
            InvalidVerdict, InvalidRow.
        Emits: WeightsRevealed.
        """
        judgement = msg.judgement
        run_id, index = judgement.run_id, judgement.round
        seat = self._runs.expect_seat(ctx, run_id, msg.hotkey, runs_pb2.ROLE_VALIDATOR)
        judged = self._expect_judging(ctx, run_id, index)
        named = judgement.validator_uid
        ensure(
            named == seat.uid, refusals.WrongJudge, f"uid {named}, the hotkey has uid {seat.uid}"
        )
        first = judged.judge_commit_deadline + 1
        ensure(ctx.height >= first, refusals.RevealTooEarly, f"from height {first}")
        key = (run_id, index, seat.uid)
        self._ensure_committed(ctx, key, judgement, msg.salt)
        roles = {entry.uid: entry.role for entry in self._runs.list_participants(ctx, run_id)}
        ensure_verdicts(judgement, roles, self.storage.params.expect(ctx).max_detail_bytes)
        ensure_row(judgement, roles)
        stakes = self._runs.list_validator_stakes(ctx, run_id)
        stored = weights_pb2.StoredJudgement(
            judgement=judgement,
            hotkey=msg.hotkey,
            stake_udsc=stakes.get(seat.uid, 0),
            height=ctx.height,
        )
        self.storage.judgements.set(ctx, key, stored)
        ctx.emit(WeightsRevealed(*key, len(judgement.verdicts)))

    def _ensure_committed(
        self, ctx: Context, key: tuple[int, int, int], judgement: Any, salt: bytes
    ) -> None:
        ensure(len(salt) == SALT_BYTES, refusals.InvalidSalt, f"{len(salt)} bytes")
        commit = self.storage.commits.get(ctx, key)
        if commit is None:
            refuse(refusals.CommitmentMissing, f"uid {key[2]}, round {key[1]}")
        found = compute_commitment(judgement, salt)
        ensure(
            found == commit.commitment,
            refusals.CommitmentMismatch,
            f"committed {commit.commitment.hex()}, revealed {found.hex()}",
        )
        is_first = not self.storage.judgements.has(ctx, key)
        ensure(is_first, refusals.AlreadyRevealed, f"uid {key[2]}, round {key[1]}")

    def _expect_judging(self, ctx: Context, run_id: int, round_index: int) -> Any:
        judged = self._rounds.get_round(ctx, run_id, round_index)
        if judged is None or judged.phase != rounds_pb2.PHASE_JUDGING:
            refuse(refusals.NotJudging, f"round {round_index} of run {run_id}")
        return judged

    # Told by runs

    def on_participant_replaced(self, ctx: Context, participant: Any) -> None:
        """Forget the bonds and the open judgement of a replaced validator.

        Bonds on a replaced miner are void by its registration height; its rewards go on vesting.
        """
        if participant.role != runs_pb2.ROLE_VALIDATOR:
            return
        run_id, uid = participant.run_id, participant.uid
        self.storage.bonds.delete(ctx, (run_id, uid))
        run = self._runs.get_run(ctx, run_id)
        if run is not None and run.current_round > 0:
            self.storage.commits.delete(ctx, (run_id, run.current_round - 1, uid))
            self.storage.judgements.delete(ctx, (run_id, run.current_round - 1, uid))

    def on_run_halted(self, ctx: Context, run: Any) -> None:
        """Note that the end of the block has to close the run."""
        self.storage.halted.add(ctx, run.id)

    # Hooks

    def end_block(self, ctx: Context) -> None:
        self.process_halted_runs(ctx)
        runs = self._runs.list_runs_with_status(ctx, *EARNING_STATUSES)
        self.process_emission(ctx, runs)
        for run in runs:
            judged = self._get_due_round(ctx, run)
            if judged is not None:
                self.process_epoch(ctx, run, judged)

    def process_halted_runs(self, ctx: Context) -> None:
        """Pay what has yet to vest in halted runs and drop what was set aside for them.

        Emits: RewardPaid.
        """
        for run_id in list(self.storage.halted.iterate(ctx)):
            run = self._runs.get_run(ctx, run_id)
            if run is not None:
                self._close_run(ctx, run_id, run.current_round)
            self.storage.halted.remove(ctx, run_id)

    def process_emission(self, ctx: Context, runs: list[Any]) -> None:
        """Set this block's emission for runs aside, in equal parts over those that earn."""
        if not runs:
            return
        part = self._mint.get_runs_emission(ctx) // len(runs)
        for run in runs:
            entry = weights_pb2.PendingEmission(
                run_id=run.id, amount_udsc=self._get_pending(ctx, run.id) + part
            )
            self.storage.pending.set(ctx, run.id, entry)

    def process_epoch(self, ctx: Context, run: Any, judged: Any) -> None:
        """Decide a round: verdicts, Yuma, rewards, vesting, records.

        Emits: AuditFailed, RewardPaid, RewardVesting, OwnerPaid, EpochRan, CheckpointJudged,
            RoundPhaseChanged, RunStatusChanged, BountyReturned.
        """
        spec = self._runs.get_spec(run)
        seats = self._runs.list_participants(ctx, run.id)
        stakes = self._runs.list_validator_stakes(ctx, run.id)
        opinions = self._list_opinions(ctx, judged, stakes)
        reasons = self._compute_reasons(ctx, judged, seats, opinions)
        in_time = [uid for uid, (_, is_in_time) in reasons.items() if is_in_time]
        targets = self._rounds.list_audit_targets(ctx, judged)
        found = compute_mismatched(opinions, {t.uid: t.auditors for t in targets})
        mismatched = {uid: found[uid] for uid in in_time if uid in found}
        output = None
        if opinions:
            output = compute_yuma(
                spec.incentive,
                ctx.height,
                self._get_last_epoch_height(ctx, judged),
                [seat.registered_height for seat in seats],
                stakes,
                opinions,
                in_time,
                self._get_bonds(ctx, run.id),
            )
            self._write_bonds(ctx, run.id, output)
        self._process_mismatches(ctx, judged, mismatched)
        epoch, earnings = self._process_rewards(ctx, run, spec, judged, output, mismatched)
        epoch.base_heldout_loss_nanonats = compute_base_loss(opinions)
        epoch.num_judgements = len(opinions)
        self._process_entries(ctx, epoch, seats, stakes, reasons, output, mismatched, earnings)
        self._release_vested(ctx, run.id, judged.index, judged.index)
        self._record_epoch(ctx, epoch, seats, opinions)
        if judged.index + 1 == spec.num_rounds:
            self._close_run(ctx, run.id, judged.index)
            self._runs.complete_run(ctx, run.id)

    # Parts of the epoch

    def _get_due_round(self, ctx: Context, run: Any) -> Any | None:
        """Get the round whose reveals end with this block, or None."""
        if run.current_round == 0:
            return None
        judged = self._rounds.get_round(ctx, run.id, run.current_round - 1)
        if judged is None or judged.phase != rounds_pb2.PHASE_JUDGING:
            return None
        return judged if ctx.height >= judged.judge_reveal_deadline else None

    def _list_opinions(
        self, ctx: Context, judged: Any, stakes_udsc: Mapping[int, int]
    ) -> list[Opinion]:
        opinions = []
        scope = (judged.run_id, judged.index)
        for key, stored in self.storage.judgements.iterate(ctx, scope):
            uid = key[2]
            if uid not in stakes_udsc:
                continue
            height = self.storage.commits.expect(ctx, key).height
            opinions.append(Opinion(uid, stakes_udsc[uid], height, stored.judgement))
        return opinions

    def _compute_reasons(
        self, ctx: Context, judged: Any, seats: list[Any], opinions: list[Opinion]
    ) -> dict[int, tuple[int, bool]]:
        """Compute verdict and whether the payload counts, by miner uid.

        What the chain knows itself comes first: a seat without a commitment of its own is missing,
        one that came late is late, whatever was said about who sat there before.
        """
        majority = compute_majority_reasons(opinions)
        reasons: dict[int, tuple[int, bool]] = {}
        for seat in seats:
            if seat.role != runs_pb2.ROLE_MINER:
                continue
            commitment = self._rounds.get_commitment(ctx, judged.run_id, judged.index, seat.uid)
            if commitment is None or commitment.height < seat.registered_height:
                reasons[seat.uid] = (weights_pb2.REASON_CODE_MISSING, False)
            elif commitment.late:
                reasons[seat.uid] = (weights_pb2.REASON_CODE_LATE, False)
            else:
                unspecified = weights_pb2.REASON_CODE_UNSPECIFIED
                reasons[seat.uid] = (majority.get(seat.uid, unspecified), True)
        return reasons

    def _get_last_epoch_height(self, ctx: Context, judged: Any) -> int | None:
        if judged.index == 0:
            return None
        last = self.storage.epochs.get(ctx, (judged.run_id, judged.index - 1))
        return None if last is None else int(last.height)

    def _process_mismatches(
        self, ctx: Context, judged: Any, mismatched: Mapping[int, bytes]
    ) -> None:
        """Burn what has yet to vest of miners whose work does not replay, and suspect them.

        Their optimiser is reset, and their next rounds are all audited.

        Emits: AuditFailed, CoinSpent, CoinsBurned.
        """
        for uid, evidence_hash in mismatched.items():
            seat = self._runs.get_participant(ctx, judged.run_id, uid)
            burned = 0
            for key, vesting in list(self.storage.vestings.iterate(ctx, judged.run_id)):
                if seat is not None and vesting.participant_id == seat.participant_id:
                    burned += vesting.amount_udsc
                    self.storage.vestings.delete(ctx, key)
            self._bank.burn(ctx, self.module_addr, burned)
            self._runs.set_carried_optimiser(ctx, judged.run_id, uid, b"")
            self._runs.set_suspect(ctx, judged.run_id, uid)
            ctx.emit(AuditFailed(judged.run_id, judged.index, uid, burned, evidence_hash))

    def _process_rewards(
        self,
        ctx: Context,
        run: Any,
        spec: Any,
        judged: Any,
        output: YumaOutput | None,
        mismatched: Mapping[int, bytes],
    ) -> tuple[Any, dict[int, int]]:
        """Bring up what is earned and pay it or set it to vest.

        Returns: the `Epoch` with its sums, and what every uid earned.
        Emits: EmissionIssued, RewardPaid, RewardVesting, OwnerPaid, CoinSpent, CoinReceived,
            Transferred, CoinsMinted.
        """
        params = self.storage.params.expect(ctx)
        shares = (params.owner_share_ppm, params.miner_share_ppm, params.validator_share_ppm)
        pending = min(self._get_pending(ctx, run.id), self._mint.get_unissued(ctx))
        bounty = run.bounty_udsc // (spec.num_rounds - judged.index)
        minted = funded = NO_EARNINGS
        if output is not None:
            minted = compute_earnings(compute_run_split(pending, *shares), output, mismatched)
            funded = compute_earnings(compute_run_split(bounty, *shares), output, mismatched)
        self._mint.issue(ctx, self.module_addr, minted.total_udsc)
        self._runs.take_bounty(ctx, run.id, self.module_addr, funded.total_udsc)
        self.storage.pending.delete(ctx, run.id)
        owner_udsc = minted.owner_udsc + funded.owner_udsc
        if owner_udsc:
            self._bank.transfer(ctx, self.module_addr, decode_account(run.owner), owner_udsc)
            ctx.emit(OwnerPaid(run.id, judged.index, run.owner, owner_udsc))
        miners = add_amounts(minted.miners_udsc, funded.miners_udsc)
        validators = add_amounts(minted.validators_udsc, funded.validators_udsc)
        wait = compute_vesting_rounds(spec.judge.audit_rate_ppm) - 1
        for uid, amount in validators.items():
            self._add_reward(ctx, judged, uid, amount, 0)
        for uid, amount in miners.items():
            self._add_reward(ctx, judged, uid, amount, wait)
        epoch = weights_pb2.Epoch(
            run_id=run.id,
            round=judged.index,
            height=ctx.height,
            emission_udsc=pending + bounty,
            bounty_udsc=bounty,
            owner_udsc=owner_udsc,
            miners_udsc=sum(miners.values()),
            validators_udsc=sum(validators.values()),
        )
        return epoch, add_amounts(miners, validators)

    def _add_reward(
        self, ctx: Context, judged: Any, uid: int, amount_udsc: int, wait_rounds: int
    ) -> None:
        """Put a reward on the vesting list; one without wait is paid in this epoch.

        A suspect's is held until its last suspected round is judged, together with what it earned
        before that waits for the same round.

        Emits: RewardVesting.
        """
        seat = self._runs.get_participant(ctx, judged.run_id, uid)
        if seat is None:
            raise InvariantBroken(f"weights: uid {uid} of run {judged.run_id} earns without a seat")
        release_round = max(judged.index + wait_rounds, seat.suspect_until_round - 1)
        key = (judged.run_id, release_round, seat.participant_id)
        waiting = self.storage.vestings.get(ctx, key)
        vesting = weights_pb2.Vesting(
            run_id=judged.run_id,
            uid=uid,
            participant_id=seat.participant_id,
            round_earned=judged.index,
            release_round=release_round,
            amount_udsc=amount_udsc + (0 if waiting is None else waiting.amount_udsc),
            coldkey=seat.coldkey,
        )
        self.storage.vestings.set(ctx, key, vesting)
        if release_round > judged.index:
            ctx.emit(
                RewardVesting(
                    judged.run_id, judged.index, uid, seat.coldkey, amount_udsc, release_round
                )
            )

    def _release_vested(
        self, ctx: Context, run_id: int, round_index: int, until_round: int | None
    ) -> None:
        """Pay rewards that have waited long enough; all of them if `until_round` is None.

        Emits: RewardPaid, CoinSpent, CoinReceived, Transferred.
        """
        due = []
        for key, vesting in self.storage.vestings.iterate(ctx, run_id):
            if until_round is not None and vesting.release_round > until_round:
                break
            due.append((key, vesting))
        for key, vesting in due:
            self.storage.vestings.delete(ctx, key)
            amount, coldkey = vesting.amount_udsc, vesting.coldkey
            seat = self._runs.get_participant(ctx, run_id, vesting.uid)
            is_seated = seat is not None and seat.participant_id == vesting.participant_id
            if seat is not None and is_seated and seat.role == runs_pb2.ROLE_VALIDATOR:
                self._pay.pay_operator(ctx, self.module_addr, decode_account(coldkey), amount)
            else:
                self._bank.transfer(ctx, self.module_addr, decode_account(coldkey), amount)
            if is_seated:
                self._runs.record_payment(ctx, run_id, vesting.uid, amount)
            ctx.emit(RewardPaid(run_id, round_index, vesting.uid, coldkey, amount))

    def _process_entries(
        self,
        ctx: Context,
        epoch: Any,
        seats: list[Any],
        stakes_udsc: Mapping[int, int],
        reasons: Mapping[int, tuple[int, bool]],
        output: YumaOutput | None,
        mismatched: Mapping[int, bytes],
        earnings: Mapping[int, int],
    ) -> None:
        """Write what the epoch gave to every seat, here and in runs."""
        for seat in seats:
            uid = seat.uid
            entry = epoch.entries.add(
                uid=uid,
                stake_udsc=stakes_udsc.get(uid, 0),
                emission_udsc=earnings.get(uid, 0),
                reason=MISMATCH if uid in mismatched else reasons.get(uid, (0, False))[0],
            )
            if output is not None:
                fill_entry(entry, output, uid in mismatched)
            self._runs.record_epoch(
                ctx,
                epoch.run_id,
                uid,
                earned_udsc=entry.emission_udsc,
                incentive_u16=entry.incentive_u16,
                dividends_u16=entry.dividends_u16,
            )

    def _record_epoch(
        self, ctx: Context, epoch: Any, seats: list[Any], opinions: list[Opinion]
    ) -> None:
        """Write the epoch, its lineage entry, and close the round.

        Emits: EpochRan, CheckpointJudged, RoundPhaseChanged.
        """
        run_id, index = epoch.run_id, epoch.round
        self.storage.epochs.set(ctx, (run_id, index), epoch)
        self._prune_details(ctx, run_id, index - DETAIL_ROUNDS)
        self._lineage.record_judgement(ctx, build_checkpoint_judgement(epoch, seats, opinions))
        self._rounds.mark_judged(ctx, run_id, index)
        ctx.emit(
            EpochRan(
                run_id,
                index,
                epoch.emission_udsc,
                epoch.owner_udsc,
                epoch.miners_udsc,
                epoch.validators_udsc,
                epoch.num_judgements,
            )
        )

    def _close_run(self, ctx: Context, run_id: int, round_index: int) -> None:
        self._release_vested(ctx, run_id, round_index, None)
        self.storage.pending.delete(ctx, run_id)
        self.storage.bonds.clear(ctx, run_id)

    def _prune_details(self, ctx: Context, run_id: int, round_index: int) -> None:
        if round_index < 0:
            return
        self.storage.commits.clear(ctx, (run_id, round_index))
        self.storage.judgements.clear(ctx, (run_id, round_index))
        self.storage.epochs.delete(ctx, (run_id, round_index))

    def _get_pending(self, ctx: Context, run_id: int) -> int:
        entry = self.storage.pending.get(ctx, run_id)
        return 0 if entry is None else int(entry.amount_udsc)

    def _get_bonds(self, ctx: Context, run_id: int) -> dict[int, SparseRow]:
        rows = self.storage.bonds.iterate(ctx, run_id)
        return {key[1]: SparseRow.from_ints(row.uids, row.bonds_u16) for key, row in rows}

    def _write_bonds(self, ctx: Context, run_id: int, output: YumaOutput) -> None:
        self.storage.bonds.clear(ctx, run_id)
        for uid, row in enumerate(output.bonds):
            pairs = row.to_pairs()
            if not pairs:
                continue
            entry = weights_pb2.BondRow(
                run_id=run_id,
                uid=uid,
                uids=[target for target, _ in pairs],
                bonds_u16=[bond for _, bond in pairs],
            )
            self.storage.bonds.set(ctx, (run_id, uid), entry)

    # Queries

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        params = self.storage.params.expect(ctx).to_message()
        return weights_pb2.QueryParamsResponse(params=params)

    @query("Judgements")
    def query_judgements(self, ctx: Context, request: Any) -> Any:
        """Answer what validators committed and revealed about a round, by uid."""
        scope = (request.run_id, request.round)
        return weights_pb2.QueryJudgementsResponse(
            commits=[commit for _, commit in self.storage.commits.iterate(ctx, scope)],
            judgements=[entry for _, entry in self.storage.judgements.iterate(ctx, scope)],
        )

    @query("Epoch")
    def query_epoch(self, ctx: Context, request: Any) -> Any:
        """Answer the epoch of a round."""
        epoch = self.storage.epochs.get(ctx, (request.run_id, request.round))
        if epoch is None:
            raise QueryNotFound(f"run {request.run_id} has had no epoch of round {request.round}")
        return weights_pb2.QueryEpochResponse(epoch=epoch)

    @query("LatestEpoch")
    def query_latest_epoch(self, ctx: Context, request: Any) -> Any:
        """Answer the newest epoch of a run."""
        for _, epoch in self.storage.epochs.iterate(ctx, request.run_id, reverse=True):
            return weights_pb2.QueryEpochResponse(epoch=epoch)
        raise QueryNotFound(f"run {request.run_id} has had no epoch")

    @query("Vestings")
    def query_vestings(self, ctx: Context, request: Any) -> Any:
        """Answer what has yet to vest for a uid, in the order it is paid."""
        entries = [entry for _, entry in self.storage.vestings.iterate(ctx, request.run_id)]
        vestings = [entry for entry in entries if entry.uid == request.uid]
        return weights_pb2.QueryVestingsResponse(vestings=vestings)

    @query("Bonds")
    def query_bonds(self, ctx: Context, request: Any) -> Any:
        """Answer the bonds of a run by validator uid."""
        rows = [row for _, row in self.storage.bonds.iterate(ctx, request.run_id)]
        return weights_pb2.QueryBondsResponse(rows=rows)

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, WeightsParams())

    @invariant
    def check_vesting(self, ctx: Context) -> None:
        """The module account holds exactly what has yet to vest."""
        owed = sum(entry.amount_udsc for _, entry in self.storage.vestings.iterate(ctx))
        held = self._bank.get_balance(ctx, self.module_addr)
        if owed != held:
            raise InvariantBroken(f"weights: {owed}udsc has yet to vest, {held}udsc is held")

    @invariant
    def check_pending(self, ctx: Context) -> None:
        """Only open runs, and those halted in this block, have emission set aside."""
        for run_id, _ in self.storage.pending.iterate(ctx):
            run = self._runs.get_run(ctx, run_id)
            is_open = run is not None and run.status in OPEN_STATUSES
            if not is_open and not self.storage.halted.has(ctx, run_id):
                raise InvariantBroken(f"weights: run {run_id} is over and has emission set aside")
