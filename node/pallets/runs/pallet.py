"""Runs: what is trained, for which bounty, and who takes part.

Life cycle of a run:

    Pending --(min_miners and min_validators with stake are registered)--> Training
    Training --(the last round is settled)--> Verifying
    Verifying --(the last epoch ran)--> Completed, the rest of the bounty goes back
    Pending, Training, Verifying --(HaltRun by the owner)--> Halted, the bounty goes back

Seats have uids 0, 1, 2... without gaps; a seat's role never changes. The price of a seat decays
every block and rises with every sale; it is burned. When the seats of a role are all taken, the
miner (or validator) that earned least is replaced, unless it is still immune. While fewer than
`min_validators` validators (or `min_miners` miners) sit, the other role leaves room for them.

Other pallets read runs and change them through the capabilities of `types.py`, and hear of a seat
that changes hands and of a halt through `add_listener`.

Invariants: the module account holds exactly the bounties; seats and hotkeys are unique and counted.
Source: `reference/chain.md` section 1.7.
"""

from __future__ import annotations

from typing import Any, Protocol

from node.pallets.bank.types import BalancesBurn, BalancesTransfer
from node.pallets.runs import errors as refusals
from node.pallets.runs.endpoint import ensure_endpoint
from node.pallets.runs.spec import (
    compute_spec_hash,
    decode_stored_spec,
    parse_spec,
)
from node.pallets.runs.types import (
    OPEN_STATUSES,
    ROLE_NAMES,
    RUNS_MODULE,
    STATUS_NAMES,
    BountyReturned,
    CheckpointLookup,
    EndpointSet,
    HotkeyRotated,
    OperatorStake,
    ParticipantRegistered,
    ParticipantReplaced,
    RunCreated,
    RunFunded,
    RunListener,
    RunsParams,
    RunStatusChanged,
)
from node.runtime.addresses import (
    AddressError,
    compute_module_address,
    decode_account,
    encode_account,
)
from node.runtime.codecs import ADDRESS, U8, U32, U64, ProtoCodec, pair
from node.runtime.context import Context
from node.runtime.errors import (
    InvalidAddress,
    InvariantBroken,
    QueryInvalid,
    QueryNotFound,
    ensure,
    refuse,
)
from node.runtime.paging import paginate
from node.runtime.pallet import Pallet, call, invariant, query
from node.runtime.params import ParamsCodec
from node.runtime.storage import Index, IndexedMap, Item, Schema, Sequence
from proto.descent.runs.v1 import runs_pb2
from scoring.registration import Seat, choose_replaced_uid, compute_burn_price, compute_raised_price

FIRST_RUN_ID = 1
FIRST_PARTICIPANT_ID = 1


def get_validator_run(key: tuple[int, int], participant: Any) -> int | None:
    """Get the index key of a validator's seat: its run."""
    return key[0] if participant.role == runs_pb2.ROLE_VALIDATOR else None


class RunsSchema(Schema):
    """Storage of runs. Participants are keyed by (run id, uid)."""

    params = Item(0x00, "params", ParamsCodec(RunsParams))
    runs: IndexedMap[int, Any] = IndexedMap(
        0x01,
        "runs",
        U64,
        ProtoCodec(runs_pb2.Run),
        (Index(0x11, "status", U8, lambda key, run: run.status),),
    )
    participants: IndexedMap[tuple[int, int], Any] = IndexedMap(
        0x02,
        "participants",
        pair(U64, U32),
        ProtoCodec(runs_pb2.Participant),
        (
            Index(
                0x12,
                "hotkey",
                pair(U64, ADDRESS),
                lambda key, seat: (key[0], decode_account(seat.hotkey)),
            ),
            Index(0x13, "validators", U64, get_validator_run),
        ),
    )
    next_run_id = Sequence(0x03, "next_run_id", FIRST_RUN_ID)
    next_participant_id = Sequence(0x04, "next_participant_id", FIRST_PARTICIPANT_ID)


class RunsBank(BalancesTransfer, BalancesBurn, Protocol):
    """What runs need of the bank."""


class RunsPallet(Pallet[RunsSchema]):
    """The runs pallet.

    Args:
        bank: moves bounties, burns the price of seats.
        staking: bonded stake, the weight of a validator.
        lineage: checkpoints a run may start from.
    """

    name = "runs"
    index = 17
    schema = RunsSchema
    query_services = (runs_pb2.DESCRIPTOR.services_by_name["Query"],)
    params_messages = (runs_pb2.MsgUpdateParams, runs_pb2.MsgUpdateParamsResponse)
    errors = (
        refusals.SpecRefused,
        refusals.SpecNotCanonical,
        refusals.TooManyRuns,
        refusals.UnknownParent,
        refusals.BountyTooSmall,
        refusals.RunNotFound,
        refusals.RunNotOpen,
        refusals.NotRunOwner,
        refusals.InvalidRole,
        refusals.HotkeyTaken,
        refusals.BurnPriceAboveLimit,
        refusals.NoBondedStake,
        refusals.ColdkeyHasSeat,
        refusals.RunFull,
        refusals.InvalidEndpoint,
        refusals.ParticipantNotFound,
        refusals.NotSeatOwner,
        refusals.InvalidAmount,
    )
    events = (
        RunCreated,
        RunFunded,
        RunStatusChanged,
        BountyReturned,
        ParticipantRegistered,
        ParticipantReplaced,
        EndpointSet,
        HotkeyRotated,
    )

    def __init__(self, bank: RunsBank, staking: OperatorStake, lineage: CheckpointLookup) -> None:
        super().__init__()
        self._bank = bank
        self._staking = staking
        self._lineage = lineage
        self._listeners: list[RunListener] = []
        self.module_addr = compute_module_address(RUNS_MODULE)

    def add_listener(self, listener: RunListener) -> None:
        """Tell a pallet of replaced participants and halted runs; for wiring only."""
        self._listeners.append(listener)

    # Calls

    @call(0, runs_pb2.MsgCreateRun, runs_pb2.MsgCreateRunResponse, signer="owner")
    def create_run(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Create a run from a specification and put its bounty in escrow.

        Raises: SpecRefused, SpecNotCanonical, UnknownParent, BountyTooSmall, TooManyRuns,
            InsufficientFunds.
        Emits: RunCreated, CoinSpent, CoinReceived, Transferred.
        """
        params = self.storage.params.expect(ctx)
        spec = parse_spec(msg.spec, params)
        self._ensure_parent(ctx, spec)
        minimum = params.min_bounty_udsc
        ensure(
            msg.bounty_udsc >= minimum,
            refusals.BountyTooSmall,
            f"{msg.bounty_udsc}udsc, the minimum is {minimum}udsc",
        )
        num_open = len(self.list_runs_with_status(ctx, *OPEN_STATUSES))
        ensure(num_open < params.max_runs, refusals.TooManyRuns, f"{num_open} runs are open")
        self._bank.transfer(ctx, origin, self.module_addr, msg.bounty_udsc)
        run = runs_pb2.Run(
            id=self.storage.next_run_id.next(ctx),
            owner=encode_account(origin),
            spec=msg.spec,
            spec_hash=compute_spec_hash(msg.spec),
            status=runs_pb2.RUN_STATUS_PENDING,
            created_height=ctx.height,
            bounty_udsc=msg.bounty_udsc,
            burn_price_udsc=spec.membership.initial_burn_udsc,
            burn_price_height=ctx.height,
        )
        self.storage.runs.set(ctx, run.id, run)
        ctx.emit(RunCreated(run.id, run.owner, spec.name, run.spec_hash, run.bounty_udsc))
        return runs_pb2.MsgCreateRunResponse(run_id=run.id)

    @call(1, runs_pb2.MsgHaltRun, runs_pb2.MsgHaltRunResponse, signer="owner")
    def halt_run(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Stop a run for good; what is left of the bounty goes back to the owner.

        Raises: RunNotFound, NotRunOwner, RunNotOpen.
        Emits: RunStatusChanged, BountyReturned, CoinSpent, CoinReceived, Transferred.
        """
        run = self._expect_open_run(ctx, msg.run_id)
        owner = run.owner
        ensure(encode_account(origin) == owner, refusals.NotRunOwner, f"run {run.id} is {owner}'s")
        self._set_status(ctx, run, runs_pb2.RUN_STATUS_HALTED)
        self._return_bounty(ctx, run)
        self.storage.runs.set(ctx, run.id, run)
        for listener in self._listeners:
            listener.on_run_halted(ctx, run)

    @call(2, runs_pb2.MsgFundRun, runs_pb2.MsgFundRunResponse, signer="funder")
    def fund_run(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Add to the bounty of a run.

        Raises: InvalidAmount, RunNotFound, RunNotOpen, InsufficientFunds.
        Emits: RunFunded, CoinSpent, CoinReceived, Transferred.
        """
        amount = msg.amount_udsc
        ensure(amount > 0, refusals.InvalidAmount, f"{amount}udsc")
        run = self._expect_open_run(ctx, msg.run_id)
        self._bank.transfer(ctx, origin, self.module_addr, amount)
        run.bounty_udsc += amount
        self.storage.runs.set(ctx, run.id, run)
        ctx.emit(RunFunded(run.id, encode_account(origin), amount, run.bounty_udsc))

    @call(3, runs_pb2.MsgRegister, runs_pb2.MsgRegisterResponse, signer="coldkey")
    def register(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Buy a seat in a run; the price is burned.

        Raises: RunNotFound, RunNotOpen, InvalidRole, InvalidAddress, HotkeyTaken, InvalidEndpoint,
            ColdkeyHasSeat, NoBondedStake, BurnPriceAboveLimit, RunFull, InsufficientFunds.
        Emits: ParticipantRegistered, ParticipantReplaced, CoinSpent, CoinsBurned.
        """
        run = self._expect_open_run(ctx, msg.run_id)
        ensure(
            run.status != runs_pb2.RUN_STATUS_VERIFYING,
            refusals.RunNotOpen,
            f"run {run.id} has trained its last round",
        )
        ensure(msg.role in ROLE_NAMES, refusals.InvalidRole, f"role {msg.role}")
        self._ensure_free_hotkey(ctx, run.id, msg.hotkey)
        if msg.endpoint:
            ensure_endpoint(msg.endpoint, self.storage.params.expect(ctx))
        if msg.role == runs_pb2.ROLE_VALIDATOR:
            self._ensure_new_validator(ctx, run.id, origin)
        price = self._burn_seat_price(ctx, run, origin, msg.max_burn_udsc)
        uid = self._take_seat(ctx, run, msg.role)
        seat = runs_pb2.Participant(
            run_id=run.id,
            uid=uid,
            role=msg.role,
            coldkey=encode_account(origin),
            hotkey=msg.hotkey,
            endpoint=msg.endpoint,
            registered_height=ctx.height,
            registered_round=run.current_round,
            participant_id=self.storage.next_participant_id.next(ctx),
        )
        self.storage.participants.set(ctx, (run.id, uid), seat)
        self.storage.runs.set(ctx, run.id, run)
        role = ROLE_NAMES[seat.role]
        ctx.emit(
            ParticipantRegistered(
                run.id, uid, seat.participant_id, role, seat.coldkey, seat.hotkey, price
            )
        )
        return runs_pb2.MsgRegisterResponse(uid=uid, burned_udsc=price)

    @call(4, runs_pb2.MsgSetEndpoint, runs_pb2.MsgSetEndpointResponse, signer="hotkey")
    def set_endpoint(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Say where a participant serves its blobs.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, InvalidEndpoint.
        Emits: EndpointSet.
        """
        run = self._expect_open_run(ctx, msg.run_id)
        seat = self._expect_hotkey(ctx, run.id, msg.hotkey)
        ensure_endpoint(msg.endpoint, self.storage.params.expect(ctx))
        seat.endpoint = msg.endpoint
        self._write_seat(ctx, seat)
        ctx.emit(EndpointSet(run.id, seat.uid, seat.endpoint))

    @call(5, runs_pb2.MsgRotateHotkey, runs_pb2.MsgRotateHotkeyResponse, signer="coldkey")
    def rotate_hotkey(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Give a seat another signing key; everything the seat has stays.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, NotSeatOwner, InvalidAddress,
            HotkeyTaken.
        Emits: HotkeyRotated.
        """
        run = self._expect_open_run(ctx, msg.run_id)
        seat = self.get_participant(ctx, run.id, msg.uid)
        if seat is None:
            refuse(refusals.ParticipantNotFound, f"uid {msg.uid} in run {run.id}")
        owned = seat.coldkey == encode_account(origin)
        ensure(owned, refusals.NotSeatOwner, f"uid {seat.uid} is {seat.coldkey}'s")
        self._ensure_free_hotkey(ctx, run.id, msg.new_hotkey)
        seat.hotkey = msg.new_hotkey
        self._write_seat(ctx, seat)
        ctx.emit(HotkeyRotated(run.id, seat.uid, seat.hotkey))

    # Steps of calls

    def _expect_open_run(self, ctx: Context, run_id: int) -> Any:
        run = self.storage.runs.get(ctx, run_id)
        if run is None:
            refuse(refusals.RunNotFound, f"run {run_id}")
        is_open = run.status in OPEN_STATUSES
        ensure(is_open, refusals.RunNotOpen, f"run {run_id} is {STATUS_NAMES[run.status]}")
        return run

    def _ensure_parent(self, ctx: Context, spec: Any) -> None:
        if not spec.HasField("parent"):
            return
        parent = spec.parent
        root = self._lineage.get_checkpoint_root(ctx, parent.run_id, parent.round)
        where = f"run {parent.run_id}, round {parent.round}"
        if root is None:
            refuse(refusals.UnknownParent, where)
        found = root.hex()
        ensure(root == parent.root, refusals.UnknownParent, f"{where} has root {found}")

    def _ensure_free_hotkey(self, ctx: Context, run_id: int, hotkey: str) -> None:
        try:
            addr = decode_account(hotkey)
        except AddressError as error:
            raise InvalidAddress(f"hotkey: {error}") from error
        seat = self._find_hotkey(ctx, run_id, addr)
        ensure(seat is None, refusals.HotkeyTaken, hotkey)

    def _ensure_new_validator(self, ctx: Context, run_id: int, coldkey_addr: bytes) -> None:
        coldkey = encode_account(coldkey_addr)
        for validator in self._list_validators(ctx, run_id):
            ensure(validator.coldkey != coldkey, refusals.ColdkeyHasSeat, f"uid {validator.uid}")
        stake = self._staking.get_bonded_stake(ctx, coldkey_addr)
        ensure(stake > 0, refusals.NoBondedStake, coldkey)

    def _burn_seat_price(self, ctx: Context, run: Any, payer: bytes, max_burn_udsc: int) -> int:
        """Burn the price of a seat and raise it for the next one. The caller stores the run."""
        price = self.compute_seat_price(run, ctx.height)
        ensure(
            price <= max_burn_udsc,
            refusals.BurnPriceAboveLimit,
            f"the price is {price}udsc, max_burn_udsc is {max_burn_udsc}",
        )
        self._bank.burn(ctx, payer, price)
        membership = self.get_spec(run).membership
        run.burn_price_udsc = compute_raised_price(
            price, membership.burn_increase_ppm, membership.min_burn_udsc, membership.max_burn_udsc
        )
        run.burn_price_height = ctx.height
        return price

    def _take_seat(self, ctx: Context, run: Any, role: int) -> int:
        """Find a uid: the next free one, or that of whoever is replaced."""
        membership = self.get_spec(run).membership
        num_validators = len(self._list_validators(ctx, run.id))
        num_miners = run.num_participants - num_validators
        if role == runs_pb2.ROLE_MINER:
            limit = membership.max_participants - max(num_validators, membership.min_validators)
            num_taken = num_miners
        else:
            limit = membership.max_participants - max(num_miners, membership.min_miners)
            num_taken = num_validators
        if num_taken < limit:
            run.num_participants += 1
            return int(run.num_participants) - 1
        return self._replace_participant(ctx, run, role)

    def _replace_participant(self, ctx: Context, run: Any, role: int) -> int:
        immunity = self.get_spec(run).membership.immunity_rounds
        seats = [
            Seat(
                uid=seat.uid,
                emission_units=seat.last_paid_udsc,
                registered_block=seat.registered_height,
                is_immune=seat.registered_round + immunity > run.current_round,
            )
            for seat in self.list_participants(ctx, run.id)
            if seat.role == role
        ]
        uid = choose_replaced_uid(seats)
        if uid is None:
            refuse(
                refusals.RunFull,
                f"{len(seats)} {ROLE_NAMES[role]} seats, immune for {immunity} rounds",
            )
        old = self.storage.participants.expect(ctx, (run.id, uid))
        for listener in self._listeners:
            listener.on_participant_replaced(ctx, old)
        ctx.emit(ParticipantReplaced(run.id, uid, old.participant_id, old.coldkey))
        return int(uid)

    # Capabilities

    def get_run(self, ctx: Context, run_id: int) -> Any | None:
        """Get a run, or None."""
        return self.storage.runs.get(ctx, run_id)

    def get_spec(self, run: Any) -> Any:
        """Get the specification of a run; shared, never to be written to."""
        return decode_stored_spec(bytes(run.spec))

    def list_runs_with_status(self, ctx: Context, *statuses: int) -> list[Any]:
        """List runs with one of the statuses by id."""
        run_ids = [
            run_id
            for status in statuses
            for _, run_id in self.storage.runs.iterate_index(ctx, "status", status)
        ]
        return [self.storage.runs.expect(ctx, run_id) for run_id in sorted(run_ids)]

    def get_participant(self, ctx: Context, run_id: int, uid: int) -> Any | None:
        """Get who sits on a uid, or None."""
        return self.storage.participants.get(ctx, (run_id, uid))

    def expect_seat(self, ctx: Context, run_id: int, hotkey: str, role: int) -> Any:
        """Get the seat of a hotkey that must have a role.

        Raises: RunNotFound, RunNotOpen, ParticipantNotFound, InvalidRole.
        """
        run = self._expect_open_run(ctx, run_id)
        seat = self._expect_hotkey(ctx, run.id, hotkey)
        ensure(
            seat.role == role,
            refusals.InvalidRole,
            f"uid {seat.uid} is a {ROLE_NAMES[seat.role]}, a {ROLE_NAMES[role]} does this",
        )
        return seat

    def list_participants(self, ctx: Context, run_id: int) -> list[Any]:
        """List the participants of a run by uid."""
        return [seat for _, seat in self.storage.participants.iterate(ctx, run_id)]

    def list_validator_stakes(self, ctx: Context, run_id: int) -> dict[int, int]:
        """List the bonded stake (udsc) of the validators that have any, by uid."""
        stakes: dict[int, int] = {}
        for seat in self._list_validators(ctx, run_id):
            stake = self._staking.get_bonded_stake(ctx, decode_account(seat.coldkey))
            if stake > 0:
                stakes[seat.uid] = stake
        return stakes

    def set_carried_optimiser(self, ctx: Context, run_id: int, uid: int, root: bytes) -> None:
        """Set the root of the optimiser state a miner goes on from; empty for a fresh one."""
        seat = self.storage.participants.expect(ctx, (run_id, uid))
        seat.optimiser_root = root
        self._write_seat(ctx, seat)

    def set_suspect(self, ctx: Context, run_id: int, uid: int) -> None:
        """Put a miner whose work did not replay on probation, from the next round on.

        The round in work keeps its audits: they may be drawn already.
        """
        seat = self.storage.participants.expect(ctx, (run_id, uid))
        run = self.storage.runs.expect(ctx, run_id)
        if seat.suspect_until_round <= run.current_round:
            seat.suspect_from_round = run.current_round + 1
        probation = self.get_spec(run).judge.probation_rounds
        seat.suspect_until_round = run.current_round + 1 + probation
        self._write_seat(ctx, seat)

    def advance_round(self, ctx: Context, run_id: int) -> None:
        """Go on to the next round; after the last one the run only verifies.

        Emits: RunStatusChanged.
        """
        run = self.storage.runs.expect(ctx, run_id)
        run.current_round += 1
        if run.current_round == self.get_spec(run).num_rounds:
            self._set_status(ctx, run, runs_pb2.RUN_STATUS_VERIFYING)
        self.storage.runs.set(ctx, run.id, run)

    def take_bounty(self, ctx: Context, run_id: int, recipient: bytes, amount_udsc: int) -> None:
        """Move a part of the bounty out of escrow.

        Emits: CoinSpent, CoinReceived, Transferred.
        """
        run = self.storage.runs.expect(ctx, run_id)
        if amount_udsc > run.bounty_udsc:
            raise InvariantBroken(f"run {run_id} owes {amount_udsc} of {run.bounty_udsc}udsc")
        self._bank.transfer(ctx, self.module_addr, recipient, amount_udsc)
        run.bounty_udsc -= amount_udsc
        self.storage.runs.set(ctx, run.id, run)

    def record_epoch(
        self,
        ctx: Context,
        run_id: int,
        uid: int,
        *,
        earned_udsc: int,
        incentive_u16: int,
        dividends_u16: int,
    ) -> None:
        """Note what the last epoch gave a participant, with what has yet to vest."""
        seat = self.storage.participants.expect(ctx, (run_id, uid))
        seat.last_paid_udsc = earned_udsc
        seat.incentive_u16 = incentive_u16
        seat.dividends_u16 = dividends_u16
        seat.rounds_paid += 1 if earned_udsc > 0 else 0
        self._write_seat(ctx, seat)

    def record_payment(self, ctx: Context, run_id: int, uid: int, amount_udsc: int) -> None:
        """Note coins that reached the coldkey of a participant."""
        seat = self.storage.participants.expect(ctx, (run_id, uid))
        seat.total_paid_udsc += amount_udsc
        self._write_seat(ctx, seat)

    def complete_run(self, ctx: Context, run_id: int) -> None:
        """End a run after its last epoch; what is left of the bounty goes back.

        Emits: RunStatusChanged, BountyReturned, CoinSpent, CoinReceived, Transferred.
        """
        run = self.storage.runs.expect(ctx, run_id)
        self._set_status(ctx, run, runs_pb2.RUN_STATUS_COMPLETED)
        self._return_bounty(ctx, run)
        self.storage.runs.set(ctx, run.id, run)

    def compute_seat_price(self, run: Any, height: int) -> int:
        """Compute the price of a seat (udsc) at a height."""
        membership = self.get_spec(run).membership
        return compute_burn_price(
            run.burn_price_udsc,
            height - run.burn_price_height,
            membership.burn_half_life_blocks,
            membership.min_burn_udsc,
            membership.max_burn_udsc,
        )

    # Shared by calls and capabilities

    def _set_status(self, ctx: Context, run: Any, status: int) -> None:
        run.status = status
        ctx.emit(RunStatusChanged(run.id, STATUS_NAMES[status]))

    def _return_bounty(self, ctx: Context, run: Any) -> None:
        amount, run.bounty_udsc = run.bounty_udsc, 0
        if amount == 0:
            return
        self._bank.transfer(ctx, self.module_addr, decode_account(run.owner), amount)
        ctx.emit(BountyReturned(run.id, run.owner, amount))

    def _write_seat(self, ctx: Context, seat: Any) -> None:
        self.storage.participants.set(ctx, (seat.run_id, seat.uid), seat)

    def _list_validators(self, ctx: Context, run_id: int) -> list[Any]:
        keys = self.storage.participants.iterate_index(ctx, "validators", run_id)
        return [self.storage.participants.expect(ctx, key) for _, key in keys]

    def _find_hotkey(self, ctx: Context, run_id: int, addr: bytes) -> Any | None:
        keys = self.storage.participants.iterate_index(ctx, "hotkey", (run_id, addr))
        for _, key in keys:
            return self.storage.participants.expect(ctx, key)
        return None

    def _expect_hotkey(self, ctx: Context, run_id: int, hotkey: str) -> Any:
        seat = self._find_hotkey(ctx, run_id, decode_account(hotkey))
        if seat is None:
            refuse(refusals.ParticipantNotFound, f"hotkey {hotkey} in run {run_id}")
        return seat

    # Hooks

    def end_block(self, ctx: Context) -> None:
        self.process_run_starts(ctx)

    def process_run_starts(self, ctx: Context) -> None:
        """Start every pending run that has enough miners and enough validators with stake.

        Emits: RunStatusChanged.
        """
        for run in self.list_runs_with_status(ctx, runs_pb2.RUN_STATUS_PENDING):
            membership = self.get_spec(run).membership
            num_validators = len(self._list_validators(ctx, run.id))
            if run.num_participants - num_validators < membership.min_miners:
                continue
            if len(self.list_validator_stakes(ctx, run.id)) < membership.min_validators:
                continue
            run.started_height = ctx.height
            self._set_status(ctx, run, runs_pb2.RUN_STATUS_TRAINING)
            self.storage.runs.set(ctx, run.id, run)

    # Queries

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        params = self.storage.params.expect(ctx).to_message()
        return runs_pb2.QueryParamsResponse(params=params)

    @query("Run")
    def query_run(self, ctx: Context, request: Any) -> Any:
        """Answer one run."""
        return runs_pb2.QueryRunResponse(run=self._query_run(ctx, request.run_id))

    @query("Runs")
    def query_runs(self, ctx: Context, request: Any) -> Any:
        """Answer runs by id."""
        entries, page = paginate(ctx, self.storage.runs, request.pagination)
        return runs_pb2.QueryRunsResponse(runs=[run for _, run in entries], pagination=page)

    @query("Participant")
    def query_participant(self, ctx: Context, request: Any) -> Any:
        """Answer one participant by uid or hotkey."""
        run = self._query_run(ctx, request.run_id)
        if request.WhichOneof("key") == "hotkey":
            try:
                seat = self._find_hotkey(ctx, run.id, decode_account(request.hotkey))
            except AddressError as error:
                raise QueryInvalid(str(error)) from error
            key = f"hotkey {request.hotkey}"
        else:
            seat = self.get_participant(ctx, run.id, request.uid)
            key = f"uid {request.uid}"
        if seat is None:
            raise QueryNotFound(f"run {run.id} has no participant with {key}")
        return runs_pb2.QueryParticipantResponse(participant=seat)

    @query("Participants")
    def query_participants(self, ctx: Context, request: Any) -> Any:
        """Answer the participants of a run by uid."""
        run = self._query_run(ctx, request.run_id)
        entries, page = paginate(ctx, self.storage.participants, request.pagination, run.id)
        seats = [seat for _, seat in entries]
        return runs_pb2.QueryParticipantsResponse(participants=seats, pagination=page)

    @query("BurnPrice")
    def query_burn_price(self, ctx: Context, request: Any) -> Any:
        """Answer what a seat costs in the next block."""
        run = self._query_run(ctx, request.run_id)
        height = ctx.height + 1
        price = self.compute_seat_price(run, height)
        return runs_pb2.QueryBurnPriceResponse(price_udsc=price, height=height)

    def _query_run(self, ctx: Context, run_id: int) -> Any:
        run = self.storage.runs.get(ctx, run_id)
        if run is None:
            raise QueryNotFound(f"there is no run {run_id}")
        return run

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, RunsParams())

    @invariant
    def check_escrow(self, ctx: Context) -> None:
        """The module account holds exactly the bounties of all runs."""
        owed = sum(run.bounty_udsc for _, run in self.storage.runs.iterate(ctx))
        held = self._bank.get_balance(ctx, self.module_addr)
        if owed != held:
            raise InvariantBroken(f"runs: bounties are {owed}udsc, the escrow holds {held}udsc")

    @invariant
    def check_seats(self, ctx: Context) -> None:
        """Uids have no gaps, hotkeys are unique in a run, and runs count their seats."""
        for run_id, run in self.storage.runs.iterate(ctx):
            seats = self.list_participants(ctx, run_id)
            uids = [seat.uid for seat in seats]
            hotkeys = {seat.hotkey for seat in seats}
            if uids != list(range(run.num_participants)) or len(hotkeys) != len(uids):
                raise InvariantBroken(f"runs: seats of run {run_id} are {uids}")
