"""Rounds: commitments, availability, settlement, and when each is due.

Life cycle of round r, which starts at height S (heights are inclusive):

    Training   S .. D = S + commit_blocks         miners train and commit; the beacon of S keys data
    Attesting  D+1 .. A = D + attest_blocks       validators fetch payloads and attest them; the
                                                  beacon of D+1 names evaluation data and audits
    Settling   A+1 .. T                           validators attest theta_{r+1}; T comes with 2/3
    Judging    T+1 .. T + judge_commit + judge_reveal   while round r+1 runs; `weights` closes it
    Judged

The end of block A fixes the accepted set: committed in time with the optimiser state the miner had
to go on from, attested by 2/3 of the validator stake, the best `max_accepted` by incentive. If
there are commitments but validators with 2/3 of the stake have not said anything, A moves by
another `attest_blocks`: the round waits. Without accepted payloads theta_{r+1} = theta_r and the
round settles by itself. Settling has no deadline. Round r+1 starts in the block after T.

A commitment after D is recorded as late and never counts; after A it is refused. A miner goes on
from the optimiser state of its last *accepted* commitment.

Invariants: one round of a run is in work; a round has a result exactly if it is settled; accepted
uids committed in time.
"""

from __future__ import annotations

from typing import Any

from node.pallets.lineage.types import CheckpointsWrite
from node.pallets.rounds import errors as refusals
from node.pallets.rounds.entries import build_first_checkpoint, build_settled_checkpoint
from node.pallets.rounds.tally import (
    compute_accepted,
    compute_available,
    compute_settled_root,
    is_quorum,
)
from node.pallets.rounds.types import (
    DETAIL_ROUNDS,
    HASH_BYTES,
    PAYLOAD_OVERHEAD_BYTES,
    PHASE_NAMES,
    AcceptedSetFixed,
    AttestDeadlineExtended,
    AvailabilityAttested,
    BeaconRead,
    JudgeBeaconDrawn,
    PayloadCommitted,
    RoundPhaseChanged,
    RoundSettled,
    RoundStarted,
    StateAttested,
)
from node.pallets.runs.spec import compute_num_model_params
from node.pallets.runs.types import RunsAdvance
from node.runtime.codecs import U32, U64, ProtoCodec, pair, triple
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken, QueryNotFound, ensure, refuse
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.storage import Map, Schema
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from scoring.audit import AuditTarget, compute_audit_targets

FP32_BYTES = 4
OPEN_PHASES = (rounds_pb2.PHASE_TRAINING, rounds_pb2.PHASE_ATTESTING, rounds_pb2.PHASE_SETTLING)


class RoundsSchema(Schema):
    """Storage of rounds: rounds by (run id, round), details by (run id, round, uid)."""

    rounds: Map[tuple[int, int], Any] = Map(
        0x01, "rounds", pair(U64, U32), ProtoCodec(rounds_pb2.Round)
    )
    commitments: Map[tuple[int, int, int], Any] = Map(
        0x02, "commitments", triple(U64, U32, U32), ProtoCodec(rounds_pb2.Commitment)
    )
    availabilities: Map[tuple[int, int, int], Any] = Map(
        0x03, "availabilities", triple(U64, U32, U32), ProtoCodec(rounds_pb2.Availability)
    )
    attestations: Map[tuple[int, int, int], Any] = Map(
        0x04, "attestations", triple(U64, U32, U32), ProtoCodec(rounds_pb2.StateAttestation)
    )


class RoundsPallet(Pallet[RoundsSchema]):
    """The rounds pallet.

    Args:
        runs: runs, participants and their stake; moved on when a round settles.
        beacon: keys data assignment, evaluation and audits.
        lineage: takes the checkpoints.
    """

    name = "rounds"
    index = 18
    schema = RoundsSchema
    query_services = (rounds_pb2.DESCRIPTOR.services_by_name["Query"],)
    errors = (
        refusals.NoOpenRound,
        refusals.WrongRound,
        refusals.WrongPhase,
        refusals.RoundClosed,
        refusals.InvalidHash,
        refusals.InvalidPayloadSize,
        refusals.WrongOptimiserRoot,
        refusals.EndpointMissing,
        refusals.AlreadyCommitted,
        refusals.InvalidBitmap,
    )
    events = (
        RoundStarted,
        RoundPhaseChanged,
        JudgeBeaconDrawn,
        PayloadCommitted,
        AvailabilityAttested,
        AttestDeadlineExtended,
        AcceptedSetFixed,
        StateAttested,
        RoundSettled,
    )

    def __init__(self, runs: RunsAdvance, beacon: BeaconRead, lineage: CheckpointsWrite) -> None:
        super().__init__()
        self._runs = runs
        self._beacon = beacon
        self._lineage = lineage

    # Calls

    @call(0, rounds_pb2.MsgCommitPayload, rounds_pb2.MsgCommitPayloadResponse, signer="hotkey")
    def commit_payload(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Bind a miner to its payload and training trace; again before the deadline to replace.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, InvalidRole, NoOpenRound, WrongRound,
            RoundClosed, InvalidHash, InvalidPayloadSize, EndpointMissing, AlreadyCommitted,
            WrongOptimiserRoot.
        Emits: PayloadCommitted.
        """
        seat = self._runs.expect_seat(ctx, msg.run_id, msg.hotkey, runs_pb2.ROLE_MINER)
        current = self._expect_current(ctx, msg.run_id, msg.round)
        ensure(
            current.phase != rounds_pb2.PHASE_SETTLING,
            refusals.RoundClosed,
            f"round {current.index} is settling, the next is {current.index + 1}",
        )
        self._ensure_commitment(ctx, msg)
        ensure(seat.endpoint != "", refusals.EndpointMissing, f"uid {seat.uid}")
        late = ctx.height > current.commit_deadline
        key = (msg.run_id, msg.round, seat.uid)
        is_first = not self.storage.commitments.has(ctx, key)
        deadline = current.commit_deadline
        ensure(is_first or not late, refusals.AlreadyCommitted, f"the deadline was {deadline}")
        ensure(
            msg.optimiser_root_in == seat.optimiser_root,
            refusals.WrongOptimiserRoot,
            f"expected {format_root(seat.optimiser_root)}, "
            f"got {format_root(msg.optimiser_root_in)}",
        )
        commitment = rounds_pb2.Commitment(
            run_id=msg.run_id,
            round=msg.round,
            uid=seat.uid,
            hotkey=msg.hotkey,
            payload_hash=msg.payload_hash,
            payload_size=msg.payload_size,
            trace_root=msg.trace_root,
            optimiser_root_in=msg.optimiser_root_in,
            optimiser_root_out=msg.optimiser_root_out,
            height=ctx.height,
            late=late,
        )
        self.storage.commitments.set(ctx, key, commitment)
        if is_first:
            current.num_commitments += 1
            self._write_round(ctx, current)
        payload_hash = bytes(msg.payload_hash)
        ctx.emit(PayloadCommitted(*key, payload_hash, msg.payload_size, late))
        return rounds_pb2.MsgCommitPayloadResponse(late=late)

    @call(
        1,
        rounds_pb2.MsgAttestAvailability,
        rounds_pb2.MsgAttestAvailabilityResponse,
        signer="hotkey",
    )
    def attest_availability(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Say which payloads a validator holds; again to replace.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, InvalidRole, NoOpenRound, WrongRound,
            WrongPhase, InvalidBitmap.
        Emits: AvailabilityAttested.
        """
        seat = self._runs.expect_seat(ctx, msg.run_id, msg.hotkey, runs_pb2.ROLE_VALIDATOR)
        current = self._expect_current(ctx, msg.run_id, msg.round)
        ensure_phase(current, rounds_pb2.PHASE_ATTESTING)
        limit = (self._get_spec(ctx, msg.run_id).membership.max_participants + 7) // 8
        size = len(msg.bitmap)
        ensure(size <= limit, refusals.InvalidBitmap, f"{size} bytes, at most {limit}")
        key = (msg.run_id, msg.round, seat.uid)
        availability = rounds_pb2.Availability(
            run_id=msg.run_id, round=msg.round, uid=seat.uid, bitmap=msg.bitmap, height=ctx.height
        )
        self.storage.availabilities.set(ctx, key, availability)
        ctx.emit(AvailabilityAttested(*key, bytes(msg.bitmap)))

    @call(2, rounds_pb2.MsgAttestState, rounds_pb2.MsgAttestStateResponse, signer="hotkey")
    def attest_state(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Say which checkpoint a round makes; again to replace. The end of the block settles.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, InvalidRole, NoOpenRound, WrongRound,
            WrongPhase, InvalidHash.
        Emits: StateAttested.
        """
        seat = self._runs.expect_seat(ctx, msg.run_id, msg.hotkey, runs_pb2.ROLE_VALIDATOR)
        current = self._expect_current(ctx, msg.run_id, msg.round)
        ensure_phase(current, rounds_pb2.PHASE_SETTLING)
        ensure_hash("result_root", msg.result_root)
        stakes = self._runs.list_validator_stakes(ctx, msg.run_id)
        key = (msg.run_id, msg.round, seat.uid)
        attestation = rounds_pb2.StateAttestation(
            run_id=msg.run_id,
            round=msg.round,
            uid=seat.uid,
            hotkey=msg.hotkey,
            result_root=msg.result_root,
            stake_udsc=stakes.get(seat.uid, 0),
            height=ctx.height,
        )
        self.storage.attestations.set(ctx, key, attestation)
        ctx.emit(StateAttested(*key, bytes(msg.result_root)))
        settled = self._tally_roots(ctx, current, stakes) is not None
        return rounds_pb2.MsgAttestStateResponse(settled=settled)

    def _expect_current(self, ctx: Context, run_id: int, round_index: int) -> Any:
        run = self._runs.get_run(ctx, run_id)
        index = run.current_round if run is not None else 0
        current = self.get_round(ctx, run_id, index)
        if current is None:
            refuse(refusals.NoOpenRound, f"run {run_id}")
        ensure(
            current.index == round_index,
            refusals.WrongRound,
            f"round {round_index} of run {run_id}, round {index} is in work",
        )
        return current

    def _ensure_commitment(self, ctx: Context, msg: Any) -> None:
        for field in ("payload_hash", "trace_root", "optimiser_root_out"):
            ensure_hash(field, getattr(msg, field))
        if msg.optimiser_root_in:
            ensure_hash("optimiser_root_in", msg.optimiser_root_in)
        num_params = compute_num_model_params(self._get_spec(ctx, msg.run_id).model)
        limit = FP32_BYTES * num_params + PAYLOAD_OVERHEAD_BYTES
        size = msg.payload_size
        ensure(
            0 < size <= limit,
            refusals.InvalidPayloadSize,
            f"{size} bytes, the bounds are 1..{limit}",
        )

    def _get_spec(self, ctx: Context, run_id: int) -> Any:
        return self._runs.get_spec(self._runs.get_run(ctx, run_id))

    def _write_round(self, ctx: Context, current: Any) -> None:
        self.storage.rounds.set(ctx, (current.run_id, current.index), current)

    # Capabilities

    def get_round(self, ctx: Context, run_id: int, round_index: int) -> Any | None:
        """Get a round, or None."""
        return self.storage.rounds.get(ctx, (run_id, round_index))

    def get_commitment(self, ctx: Context, run_id: int, round_index: int, uid: int) -> Any | None:
        """Get a commitment, or None."""
        return self.storage.commitments.get(ctx, (run_id, round_index, uid))

    def mark_judged(self, ctx: Context, run_id: int, round_index: int) -> None:
        """Close a round after its epoch.

        Emits: RoundPhaseChanged.
        """
        judged = self.storage.rounds.expect(ctx, (run_id, round_index))
        self._set_phase(ctx, judged, rounds_pb2.PHASE_JUDGED)
        self._write_round(ctx, judged)

    def on_participant_replaced(self, ctx: Context, participant: Any) -> None:
        """Forget what a replaced participant did in the round in work, as far as it is open."""
        run = self._runs.get_run(ctx, participant.run_id)
        index = run.current_round if run is not None else 0
        current = self.get_round(ctx, participant.run_id, index)
        if current is None or current.phase not in OPEN_PHASES:
            return
        key = (participant.run_id, index, participant.uid)
        self.storage.availabilities.delete(ctx, key)
        self.storage.attestations.delete(ctx, key)
        is_fixed = current.phase == rounds_pb2.PHASE_SETTLING
        if not is_fixed and self.storage.commitments.has(ctx, key):
            self.storage.commitments.delete(ctx, key)
            current.num_commitments -= 1
            self._write_round(ctx, current)

    def on_run_halted(self, ctx: Context, run: Any) -> None:
        """Nothing to do: rounds of a halted run stay as they are."""

    # Hooks

    def end_block(self, ctx: Context) -> None:
        for run in self._runs.list_runs_with_status(ctx, runs_pb2.RUN_STATUS_TRAINING):
            current = self.get_round(ctx, run.id, run.current_round)
            if current is None:
                self.process_round_start(ctx, run)
                continue
            spec = self._runs.get_spec(run)
            self.process_commit_deadline(ctx, current)
            self.process_judge_beacon(ctx, current)
            self.process_attest_deadline(ctx, current, spec)
            self.process_settlement(ctx, current, run, spec)

    def process_round_start(self, ctx: Context, run: Any) -> None:
        """Start the round of a run that has none in work; round 0 brings checkpoint 0.

        Emits: RoundStarted, CheckpointRecorded.
        """
        spec, index = self._runs.get_spec(run), run.current_round
        if index == 0:
            base_root = bytes(spec.initial_root)
            self._lineage.record_checkpoint(ctx, build_first_checkpoint(ctx, run, spec))
        else:
            base_root = bytes(self.storage.rounds.expect(ctx, (run.id, index - 1)).result_root)
        deadline = ctx.height + spec.timeline.commit_blocks
        current = rounds_pb2.Round(
            run_id=run.id,
            index=index,
            phase=rounds_pb2.PHASE_TRAINING,
            start_height=ctx.height,
            commit_deadline=deadline,
            attest_deadline=deadline + spec.timeline.attest_blocks,
            beacon=self._beacon.get_value(ctx, ctx.height),
            base_root=base_root,
        )
        self._write_round(ctx, current)
        self._prune_details(ctx, run.id, index - DETAIL_ROUNDS)
        ctx.emit(
            RoundStarted(
                run.id,
                index,
                bytes(current.beacon),
                base_root,
                current.commit_deadline,
                current.attest_deadline,
            )
        )

    def process_commit_deadline(self, ctx: Context, current: Any) -> None:
        """Close the time for commitments that count.

        Emits: RoundPhaseChanged.
        """
        is_due = ctx.height >= current.commit_deadline
        if current.phase == rounds_pb2.PHASE_TRAINING and is_due:
            self._set_phase(ctx, current, rounds_pb2.PHASE_ATTESTING)
            self._write_round(ctx, current)

    def process_judge_beacon(self, ctx: Context, current: Any) -> None:
        """Draw the beacon of evaluation and audits in the block after the commit deadline.

        Emits: JudgeBeaconDrawn.
        """
        is_due = ctx.height > current.commit_deadline
        if current.phase != rounds_pb2.PHASE_ATTESTING or current.judge_beacon or not is_due:
            return
        current.judge_beacon = self._beacon.get_value(ctx, ctx.height)
        self._write_round(ctx, current)
        ctx.emit(JudgeBeaconDrawn(current.run_id, current.index, bytes(current.judge_beacon)))

    def process_attest_deadline(self, ctx: Context, current: Any, spec: Any) -> None:
        """Fix the accepted set, or wait longer for validators.

        Emits: AcceptedSetFixed, RoundPhaseChanged, AttestDeadlineExtended.
        """
        is_due = ctx.height >= current.attest_deadline
        if current.phase != rounds_pb2.PHASE_ATTESTING or not is_due:
            return
        run_id, index = current.run_id, current.index
        stakes = self._runs.list_validator_stakes(ctx, run_id)
        bitmaps = self._list_bitmaps(ctx, current)
        candidates = self._list_candidates(ctx, current)
        attesting = sum(stake for uid, stake in stakes.items() if uid in bitmaps)
        total = sum(stakes.values())
        if candidates and not is_quorum(attesting, total):
            current.attest_deadline = ctx.height + spec.timeline.attest_blocks
            self._write_round(ctx, current)
            deadline = current.attest_deadline
            ctx.emit(AttestDeadlineExtended(run_id, index, deadline, attesting, total))
            return
        available = compute_available(candidates, bitmaps, stakes)
        incentives = {uid: seat.incentive_u16 for uid, (_, seat) in candidates.items()}
        accepted = compute_accepted(available, incentives, spec.membership.max_accepted)
        current.accepted.extend(accepted)
        self._set_phase(ctx, current, rounds_pb2.PHASE_SETTLING)
        self._write_round(ctx, current)
        for uid in accepted:
            root = bytes(candidates[uid][0].optimiser_root_out)
            self._runs.set_carried_optimiser(ctx, run_id, uid, root)
        ctx.emit(AcceptedSetFixed(run_id, index, tuple(accepted)))

    def process_settlement(self, ctx: Context, current: Any, run: Any, spec: Any) -> None:
        """Settle a round that needs no quorum or has it.

        Emits: RoundPhaseChanged, RoundSettled, CheckpointRecorded, RunStatusChanged.
        """
        if current.phase != rounds_pb2.PHASE_SETTLING:
            return
        stakes = self._runs.list_validator_stakes(ctx, current.run_id)
        if current.accepted:
            found = self._tally_roots(ctx, current, stakes)
            if found is None:
                return
            root, stake = found
        else:
            root, stake = bytes(current.base_root), 0
        current.result_root = root
        current.settled_height = ctx.height
        current.judge_commit_deadline = ctx.height + spec.timeline.judge_commit_blocks
        current.judge_reveal_deadline = (
            current.judge_commit_deadline + spec.timeline.judge_reveal_blocks
        )
        self._set_phase(ctx, current, rounds_pb2.PHASE_JUDGING)
        self._write_round(ctx, current)
        scope = (current.run_id, current.index)
        checkpoint = build_settled_checkpoint(
            ctx,
            run,
            spec,
            current,
            {key[2]: entry for key, entry in self.storage.commitments.iterate(ctx, scope)},
            self._list_attestations(ctx, current),
            stakes,
        )
        self._lineage.record_checkpoint(ctx, checkpoint)
        total = sum(stakes.values())
        ctx.emit(RoundSettled(current.run_id, current.index, root, stake, total))
        self._runs.advance_round(ctx, current.run_id)

    # Parts of steps

    def _set_phase(self, ctx: Context, current: Any, phase: int) -> None:
        current.phase = phase
        ctx.emit(RoundPhaseChanged(current.run_id, current.index, PHASE_NAMES[phase]))

    def _list_candidates(self, ctx: Context, current: Any) -> dict[int, tuple[Any, Any]]:
        """List commitments that count with their seats, by uid.

        One whose optimiser state was reset since (an audit found a mismatch) does not count.
        """
        candidates = {}
        scope = (current.run_id, current.index)
        for (_, _, uid), commitment in self.storage.commitments.iterate(ctx, scope):
            seat = self._runs.get_participant(ctx, current.run_id, uid)
            if commitment.late or seat is None:
                continue
            if commitment.optimiser_root_in == seat.optimiser_root:
                candidates[uid] = (commitment, seat)
        return candidates

    def _list_bitmaps(self, ctx: Context, current: Any) -> dict[int, bytes]:
        entries = self.storage.availabilities.iterate(ctx, (current.run_id, current.index))
        return {key[2]: bytes(availability.bitmap) for key, availability in entries}

    def _list_attestations(self, ctx: Context, current: Any) -> dict[int, Any]:
        entries = self.storage.attestations.iterate(ctx, (current.run_id, current.index))
        return {key[2]: attestation for key, attestation in entries}

    def _tally_roots(
        self, ctx: Context, current: Any, stakes: dict[int, int]
    ) -> tuple[bytes, int] | None:
        attestations = self._list_attestations(ctx, current)
        roots = {uid: bytes(entry.result_root) for uid, entry in attestations.items()}
        return compute_settled_root(roots, stakes)

    def _prune_details(self, ctx: Context, run_id: int, round_index: int) -> None:
        if round_index < 0:
            return
        scope = (run_id, round_index)
        self.storage.commitments.clear(ctx, scope)
        self.storage.availabilities.clear(ctx, scope)
        self.storage.attestations.clear(ctx, scope)

    # Queries

    @query("Round")
    def query_round(self, ctx: Context, request: Any) -> Any:
        """Answer one round."""
        return rounds_pb2.QueryRoundResponse(
            round=self._query_round(ctx, request.run_id, request.round)
        )

    @query("CurrentRound")
    def query_current_round(self, ctx: Context, request: Any) -> Any:
        """Answer the newest round of a run: the one in work, or the last one."""
        newest = self.storage.rounds.iterate(ctx, request.run_id, reverse=True)
        for _, current in newest:
            return rounds_pb2.QueryRoundResponse(round=current)
        raise QueryNotFound(f"run {request.run_id} has not started")

    @query("Commitments")
    def query_commitments(self, ctx: Context, request: Any) -> Any:
        """Answer the commitments of a round by uid."""
        self._query_round(ctx, request.run_id, request.round)
        entries = self.storage.commitments.iterate(ctx, (request.run_id, request.round))
        commitments = [commitment for _, commitment in entries]
        return rounds_pb2.QueryCommitmentsResponse(commitments=commitments)

    @query("Attestations")
    def query_attestations(self, ctx: Context, request: Any) -> Any:
        """Answer what validators attested in a round, by uid."""
        self._query_round(ctx, request.run_id, request.round)
        scope = (request.run_id, request.round)
        availabilities = [entry for _, entry in self.storage.availabilities.iterate(ctx, scope)]
        attestations = [entry for _, entry in self.storage.attestations.iterate(ctx, scope)]
        return rounds_pb2.QueryAttestationsResponse(
            availabilities=availabilities, attestations=attestations
        )

    @query("AuditTargets")
    def query_audit_targets(self, ctx: Context, request: Any) -> Any:
        """Answer who is audited where and by whom; known once the judge beacon is drawn."""
        current = self._query_round(ctx, request.run_id, request.round)
        if not current.judge_beacon:
            raise QueryNotFound(
                f"round {current.index} of run {current.run_id} has no judge beacon yet; it is "
                f"drawn at height {current.commit_deadline + 1}"
            )
        targets = [
            rounds_pb2.AuditTarget(
                uid=target.uid,
                interval=target.interval,
                step=target.step_inside,
                auditors=target.auditors,
            )
            for target in self.list_audit_targets(ctx, current)
        ]
        return rounds_pb2.QueryAuditTargetsResponse(targets=targets)

    def list_audit_targets(self, ctx: Context, current: Any) -> list[AuditTarget]:
        """Compute the audits of a round: miners that committed in time, validators of that time."""
        spec = self._get_spec(ctx, current.run_id)
        probation = spec.judge.probation_rounds
        miners: list[tuple[int, bool]] = []
        validators: list[int] = []
        for seat in self._runs.list_participants(ctx, current.run_id):
            if seat.registered_height > current.commit_deadline:
                continue
            if seat.role == runs_pb2.ROLE_VALIDATOR:
                validators.append(seat.uid)
                continue
            commitment = self.get_commitment(ctx, current.run_id, current.index, seat.uid)
            if commitment is not None and not commitment.late:
                is_new = seat.registered_round + probation > current.index
                is_suspect = seat.suspect_from_round <= current.index < seat.suspect_until_round
                miners.append((seat.uid, is_new or is_suspect))
        return compute_audit_targets(
            bytes(current.judge_beacon),
            current.run_id,
            current.index,
            miners,
            validators,
            spec.work.inner_steps // spec.work.interval_steps,
            spec.work.interval_steps,
            spec.judge.audit_rate_ppm,
            spec.judge.num_auditors,
        )

    def _query_round(self, ctx: Context, run_id: int, round_index: int) -> Any:
        found = self.get_round(ctx, run_id, round_index)
        if found is None:
            raise QueryNotFound(f"run {run_id} has no round {round_index}")
        return found

    # Invariants

    @invariant
    def check_rounds(self, ctx: Context) -> None:
        """Only the newest round of a run is in work; a result is there exactly if settled."""
        newest: dict[int, int] = {}
        for (run_id, index), entry in self.storage.rounds.iterate(ctx):
            if index != newest.get(run_id, -1) + 1:
                raise InvariantBroken(f"rounds: run {run_id} has a gap before round {index}")
            newest[run_id] = index
            is_open = entry.phase in OPEN_PHASES
            if is_open == bool(entry.result_root) or is_open == (entry.settled_height > 0):
                raise InvariantBroken(f"rounds: round {index} of run {run_id} is half settled")
            previous = self.get_round(ctx, run_id, index - 1) if index > 0 else None
            if previous is not None and previous.result_root != entry.base_root:
                raise InvariantBroken(f"rounds: round {index} of run {run_id} has a wrong base")

    @invariant
    def check_accepted(self, ctx: Context) -> None:
        """Accepted uids are ascending and committed in time, while details are kept."""
        for (run_id, index), entry in self.storage.rounds.iterate(ctx):
            found = dict(self.storage.commitments.iterate(ctx, (run_id, index)))
            if not found and index + DETAIL_ROUNDS <= self._get_newest_index(ctx, run_id):
                continue
            in_time = {key[2] for key, commitment in found.items() if not commitment.late}
            accepted = list(entry.accepted)
            if accepted != sorted(set(accepted)) or not in_time.issuperset(accepted):
                raise InvariantBroken(f"rounds: run {run_id} round {index} accepted {accepted}")
            if len(found) != entry.num_commitments:
                raise InvariantBroken(f"rounds: run {run_id} round {index} miscounts commitments")

    def _get_newest_index(self, ctx: Context, run_id: int) -> int:
        for (_, index), _ in self.storage.rounds.iterate(ctx, run_id, reverse=True):
            return index
        return -1


def format_root(root: bytes) -> str:
    """Format an optimiser root for people; no bytes mean a fresh state."""
    return root.hex() if root else "empty (fresh optimiser)"


def ensure_hash(field: str, value: bytes) -> None:
    """Refuse a hash that has not 32 bytes.

    Raises: InvalidHash.
    """
    size = len(value)
    ensure(size == HASH_BYTES, refusals.InvalidHash, f"{field} has {size} bytes, not {HASH_BYTES}")


def ensure_phase(current: Any, phase: int) -> None:
    """Refuse what belongs to another phase.

    Raises: WrongPhase.
    """
    ensure(
        current.phase == phase,
        refusals.WrongPhase,
        f"round {current.index} is {PHASE_NAMES[current.phase]}, not {PHASE_NAMES[phase]}",
    )
