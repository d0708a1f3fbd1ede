"""Random life of a run: any participant does anything at any time, and the chain holds together.

The invariants of every pallet are checked after each message and block by the harness; here the
model adds what no single pallet knows: heights go by the timeline, late work never counts, a
settled root had two thirds of the stake, and coins are conserved.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.runtime.errors import ChainError, QueryNotFound
from proto.descent.rounds.v1 import rounds_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import PARTICIPANT_UDSC, TrainingChain, build_spec, hash_text

MINERS = ("miner-0", "miner-1", "miner-2")
VALIDATORS = ("validator-0", "validator-1")
NUM_MINERS = len(MINERS)
OPEN = (rounds_pb2.PHASE_TRAINING, rounds_pb2.PHASE_ATTESTING, rounds_pb2.PHASE_SETTLING)


class RoundsMachine(RuleBasedStateMachine):
    """Three miners, two validators, one run of four rounds, and newcomers."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = TrainingChain()
        self.committed: dict[tuple[int, int], bytes] = {}
        self.num_newcomers = 0

    @initialize(audit_rate_ppm=st.sampled_from([1_000_000, 300_000]))
    def start(self, audit_rate_ppm: int) -> None:
        spec = build_spec(num_rounds=4, max_participants=6, immunity_rounds=0, max_accepted=2)
        spec.judge.audit_rate_ppm = audit_rate_ppm
        self.chain.start_run(num_miners=3, stakes=(100, 150), run_spec=spec, bounty=1_000)

    def attempt(self, message: object) -> bool:
        before = self.chain.compute_root()
        try:
            self.chain.run(message)
        except ChainError:
            assert self.chain.compute_root() == before
            return False
        return True

    @rule(count=st.integers(1, 6))
    def wait(self, count: int) -> None:
        self.chain.next_block(count)

    @rule(name=st.sampled_from(MINERS), body=st.integers(0, 3))
    def commit(self, name: str, body: int) -> None:
        current = self.chain.get_round(1)
        payload_hash = hash_text(f"payload/{body}")
        try:
            message = self.chain.build_commit(1, name, payload_hash=payload_hash)
        except QueryNotFound:  # the seat went to somebody else
            return
        if self.attempt(message):
            assert current.phase in (rounds_pb2.PHASE_TRAINING, rounds_pb2.PHASE_ATTESTING)
            if self.chain.height <= current.commit_deadline:
                uid = self.chain.find_uid(1, name)
                self.committed[current.index, uid] = payload_hash

    @rule(name=st.sampled_from(VALIDATORS), uids=st.lists(st.integers(0, NUM_MINERS), unique=True))
    def attest(self, name: str, uids: list[int]) -> None:
        self.attempt(self.chain.build_availability(1, name, sorted(uids)))

    @rule(name=st.sampled_from(VALIDATORS), is_honest=st.booleans())
    def attest_state(self, name: str, is_honest: bool) -> None:
        index = self.chain.get_round(1).index
        root = hash_text(f"theta/{index + 1}" if is_honest else f"wrong/{name}")
        self.attempt(self.chain.build_state(1, name, result_root=root))

    @rule(miners=st.sets(st.sampled_from(MINERS)))
    def play(self, miners: set[str]) -> None:
        """Let these miners commit and every validator do its work, until the round is settled."""
        for name in VALIDATORS:
            self.change_stake(name, 100)
        for name in sorted(miners):
            self.commit(name, 0)
        index = self.chain.get_round(1).index
        for _ in range(12):
            if self.chain.get_round(1, index).settled_height:
                break
            for name in VALIDATORS:
                self.attempt(self.chain.build_availability(1, name, [0, 1, 2]))
                self.attempt(self.chain.build_state(1, name))
            self.chain.next_block()

    @rule(mismatch=st.booleans())
    def judge_together(self, mismatch: bool) -> None:
        """Let every validator judge the newest settled round in the same way."""
        index = self.chain.get_run(1).current_round - 1
        if index < 0 or self.chain.get_round(1, index).phase != rounds_pb2.PHASE_JUDGING:
            return
        weights, reasons = ({1: 5}, {0: 7}) if mismatch else ({0: 3, 1: 5}, {})
        judged = self.chain.get_round(1, index)
        judgements = {
            name: self.chain.build_judgement(1, name, weights, reasons) for name in VALIDATORS
        }
        for name, judgement in judgements.items():
            self.attempt(self.chain.build_weights_commit(name, judgement))
        self.chain.next_block(max(0, judged.judge_commit_deadline + 1 - self.chain.height))
        for name, judgement in judgements.items():
            self.attempt(self.chain.build_reveal(name, judgement))

    @rule(name=st.sampled_from(VALIDATORS), weights=st.dictionaries(st.integers(0, 2), st.just(9)))
    def judge(self, name: str, weights: dict[int, int]) -> None:
        run = self.chain.get_run(1)
        if run.current_round == 0:
            return
        judgement = self.chain.build_judgement(1, name, weights)
        if self.attempt(self.chain.build_weights_commit(name, judgement)):
            judged = self.chain.get_round(1, judgement.round)
            self.chain.next_block(judged.judge_commit_deadline + 1 - self.chain.height)
            self.attempt(self.chain.build_reveal(name, judgement))

    @rule()
    def join(self) -> None:
        name = f"newcomer-{self.num_newcomers}"
        self.num_newcomers += 1
        self.chain.make_account(name, PARTICIPANT_UDSC)
        self.chain.names[make_text_addr(name)] = name
        if self.attempt(self.chain.build_register(1, name)):
            uid = self.chain.find_uid(1, name)
            current = self.chain.get_round(1)
            if current.phase in OPEN[:2]:
                self.committed.pop((current.index, uid), None)

    @rule(name=st.sampled_from(VALIDATORS), stake=st.sampled_from([0, 10, 100, 400]))
    def change_stake(self, name: str, stake: int) -> None:
        self.chain.set_stake(name, stake)

    @invariant()
    def accepted_committed_in_time(self) -> None:
        run = self.chain.get_run(1)
        for index in range(run.current_round):
            settled = self.chain.get_round(1, index)
            assert settled.attest_deadline <= settled.settled_height
            assert settled.start_height < settled.commit_deadline < settled.attest_deadline
            assert len(settled.accepted) <= 2
            for uid in settled.accepted:
                assert (index, uid) in self.committed
            if not settled.accepted:
                assert settled.result_root == settled.base_root

    @invariant()
    def accounts_add_up(self) -> None:
        exported = self.chain.get_pallet("mint").storage.issued_udsc.expect(self.chain.ctx())
        assert self.chain.get_pallet("bank").get_supply(self.chain.ctx()) <= exported

    def teardown(self) -> None:
        self.chain.assert_genesis_round_trips(*TrainingChain().build_pallets())


TestRounds = RoundsMachine.TestCase
TestRounds.settings = settings(max_examples=25, stateful_step_count=30)
