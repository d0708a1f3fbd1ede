"""Random owners and newcomers: bounties, seats and their price, against a model of both."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.machine import SETTINGS, ChainMachine
from tests.pallets.training_chain import OWNER_UDSC, TrainingChain, build_spec

MAX_SEATS = 4
MIN_MINERS = MIN_VALIDATORS = 1
START_UDSC = 20_000
PEOPLE = ("alice", "bob", "carol", "dave", "erin")
STAKED = ("alice", "bob", "carol")
NAMES = st.sampled_from(PEOPLE)
MAX_RUNS = 2
RUNS = st.sampled_from([1, 1, 1, MAX_RUNS])
AMOUNTS = st.one_of(st.integers(0, 2_000), st.just(OWNER_UDSC + 1))
ROLES = {"miner": runs_pb2.ROLE_MINER, "validator": runs_pb2.ROLE_VALIDATOR}


@dataclass
class ModelRun:
    """What the model knows of a run."""

    bounty: int
    is_open: bool = True
    seats: dict[int, str] = field(default_factory=dict)  # uid -> role
    hotkeys: dict[int, str] = field(default_factory=dict)  # uid -> name
    participant_ids: set[int] = field(default_factory=set)


class RunsMachine(ChainMachine):
    """One owner, five people of whom three have stake, runs of four seats."""

    chain: TrainingChain

    def __init__(self) -> None:
        super().__init__()
        self.chain = TrainingChain()
        self.balances = {**dict.fromkeys(PEOPLE, START_UDSC), "owner": OWNER_UDSC}
        self.runs: dict[int, ModelRun] = {}
        for name in PEOPLE:
            self.chain.make_account(name, START_UDSC)
        for name in STAKED:
            self.chain.set_stake(name, 100)

    @initialize()
    def create_first(self) -> None:
        self.create(1_000)

    @precondition(lambda self: len(self.runs) < MAX_RUNS)
    @rule(bounty=AMOUNTS)
    def create(self, bounty: int) -> None:
        spec = build_spec(
            num_rounds=2,
            max_participants=MAX_SEATS,
            max_accepted=MAX_SEATS,
            min_miners=MIN_MINERS,
            min_validators=MIN_VALIDATORS,
            immunity_rounds=0,
            burn_half_life_blocks=5,
        )
        spec.timeline.commit_blocks = 10_000  # the first round outlasts the test: nothing is paid
        message = runs_pb2.MsgCreateRun(
            owner=make_text_addr("owner"),
            spec=spec.SerializeToString(deterministic=True),
            bounty_udsc=bounty,
        )
        result = self.attempt(message)
        assert (result is not None) == (bounty <= self.balances["owner"])
        if result is not None:
            self.balances["owner"] -= bounty
            self.runs[result.response.run_id] = ModelRun(bounty)

    @rule(name=st.sampled_from((*PEOPLE, "owner")), run_id=RUNS, amount=AMOUNTS)
    def fund(self, name: str, run_id: int, amount: int) -> None:
        message = runs_pb2.MsgFundRun(
            funder=make_text_addr(name), run_id=run_id, amount_udsc=amount
        )
        run = self.runs.get(run_id)
        is_right = run is not None and run.is_open and 0 < amount <= self.balances[name]
        assert (self.attempt(message) is not None) == is_right
        if run is not None and is_right:
            run.bounty += amount
            self.balances[name] -= amount

    @rule(name=st.sampled_from(("owner", *PEOPLE)), run_id=RUNS)
    def halt(self, name: str, run_id: int) -> None:
        message = runs_pb2.MsgHaltRun(owner=make_text_addr(name), run_id=run_id)
        run = self.runs.get(run_id)
        is_right = run is not None and run.is_open and name == "owner"
        assert (self.attempt(message) is not None) == is_right
        if run is not None and is_right:
            self.balances["owner"] += run.bounty
            run.bounty, run.is_open = 0, False

    @rule(
        name=NAMES,
        hotkey=st.none() | NAMES,
        run_id=RUNS,
        role=st.sampled_from(sorted(ROLES)),
        limit=st.sampled_from([10**6, 10**6, 1_000, 0]),
    )
    def register(self, name: str, hotkey: str | None, run_id: int, role: str, limit: int) -> None:
        hotkey = hotkey or name
        message = self.chain.build_register(
            run_id,
            name,
            role=ROLES[role],
            hotkey=make_text_addr(hotkey),
            max_burn_udsc=limit,
        )
        run = self.runs.get(run_id)
        price = 0
        if run is not None:
            pallet = self.chain.get_pallet("runs")
            price = pallet.compute_seat_price(self.chain.get_run(run_id), self.chain.height)
        result = self.attempt(message)
        if run is None or not run.is_open or price > min(limit, self.balances[name]):
            assert result is None
        if result is None or run is None:
            return
        uid = result.response.uid
        assert result.response.burned_udsc == price
        assert hotkey not in run.hotkeys.values()
        assert role == "miner" or name in STAKED
        assert run.seats.get(uid, role) == role  # who is replaced had the same role
        assert uid in run.seats or uid == len(run.seats)
        seat = self.chain.get_seat(run_id, uid)
        assert seat.participant_id not in run.participant_ids
        run.participant_ids.add(seat.participant_id)
        run.seats[uid], run.hotkeys[uid] = role, hotkey
        self.balances[name] -= price

    @rule(name=NAMES, hotkey=NAMES, run_id=RUNS, uid=st.integers(0, 2))
    def rotate(self, name: str, hotkey: str, run_id: int, uid: int) -> None:
        message = runs_pb2.MsgRotateHotkey(
            coldkey=make_text_addr(name),
            run_id=run_id,
            uid=uid,
            new_hotkey=make_text_addr(hotkey),
        )
        run = self.runs.get(run_id)
        is_right = run is not None and run.is_open and uid in run.seats
        if run is not None and is_right:
            is_owner = self.chain.get_seat(run_id, uid).coldkey == make_text_addr(name)
            is_right = is_owner and hotkey not in run.hotkeys.values()
        assert (self.attempt(message) is not None) == is_right
        if run is not None and is_right:
            run.hotkeys[uid] = hotkey

    @rule(name=NAMES, run_id=RUNS, endpoint=st.sampled_from(["127.0.0.1:9301", "no endpoint"]))
    def set_endpoint(self, name: str, run_id: int, endpoint: str) -> None:
        message = runs_pb2.MsgSetEndpoint(
            hotkey=make_text_addr(name), run_id=run_id, endpoint=endpoint
        )
        run = self.runs.get(run_id)
        is_seated = run is not None and run.is_open and name in run.hotkeys.values()
        is_right = is_seated and ":" in endpoint
        assert (self.attempt(message) is not None) == is_right

    @rule(count=st.integers(1, 8))
    def wait(self, count: int) -> None:
        self.chain.next_block(count)

    @invariant()
    def chain_is_the_model(self) -> None:
        for name, balance in self.balances.items():
            assert self.chain.get_balance(name) == balance >= 0
        for run_id, model in self.runs.items():
            run = self.chain.get_run(run_id)
            assert run.bounty_udsc == model.bounty
            assert (run.status == runs_pb2.RUN_STATUS_HALTED) == (not model.is_open)
            assert run.num_participants == len(model.seats) <= MAX_SEATS
            for uid, role in model.seats.items():
                seat = self.chain.get_seat(run_id, uid)
                hotkey = make_text_addr(model.hotkeys[uid])
                assert (seat.role, seat.hotkey) == (ROLES[role], hotkey)
            self.check_roles_have_room(model)

    def check_roles_have_room(self, model: ModelRun) -> None:
        num_validators = sum(role == "validator" for role in model.seats.values())
        assert len(model.seats) - num_validators <= MAX_SEATS - MIN_VALIDATORS
        assert num_validators <= MAX_SEATS - MIN_MINERS

    def teardown(self) -> None:
        self.chain.assert_genesis_round_trips(*TrainingChain().build_pallets())


TestRuns = RunsMachine.TestCase
TestRuns.settings = SETTINGS
