"""Random judging: who may commit and open what when, and where the coins of an epoch go."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from node.runtime.errors import QueryNotFound
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.pallets.harness import make_addr
from tests.pallets.machine import SETTINGS, ChainMachine
from tests.pallets.training_chain import TrainingChain, build_spec, hash_text

RUN = 1
NUM_ROUNDS = 3
BOUNTY = 10_001
MINERS = ("miner-0", "miner-1", "miner-2")
VALIDATORS = ("validator-0", "validator-1", "validator-2")
STAKES = (100, 150, 200)
OK = weights_pb2.REASON_CODE_OK
MISMATCH = weights_pb2.REASON_CODE_REPLAY_MISMATCH
# (weights by uid, further reasons by uid): the first is what an honest validator says
OPINIONS: tuple[tuple[dict[int, int], dict[int, int]], ...] = (
    ({0: 3, 1: 5, 2: 1}, {}),
    ({0: 9}, {1: MISMATCH}),
    ({1: 7, 2: 7}, {0: MISMATCH}),
    ({}, {}),
)
OPINION = st.sampled_from([0, 0, 0, 1, 2, 3])
JUDGE = st.sampled_from(VALIDATORS)


class WeightsMachine(ChainMachine):
    """Three miners and three validators in a run of three rounds."""

    chain: TrainingChain

    def __init__(self) -> None:
        super().__init__()
        self.chain = TrainingChain()
        self.committed: dict[tuple[int, str], int] = {}  # (round, validator) -> opinion
        self.revealed: dict[tuple[int, str], int] = {}
        self.issued_udsc = 0

    @initialize(audit_rate_ppm=st.sampled_from([1_000_000, 400_000]))
    def start(self, audit_rate_ppm: int) -> None:
        spec = build_spec(num_rounds=NUM_ROUNDS)
        spec.judge.audit_rate_ppm = audit_rate_ppm
        self.chain.start_run(num_miners=3, stakes=STAKES, run_spec=spec, bounty=BOUNTY)

    def get_judged(self) -> Any | None:
        """Get the round that is being judged."""
        index = self.chain.get_run(RUN).current_round - 1
        found = self.chain.get_round(RUN, index) if index >= 0 else None
        return found if found is not None and found.phase == rounds_pb2.PHASE_JUDGING else None

    def build(self, name: str, opinion: int, index: int) -> Any:
        weights, reasons = OPINIONS[opinion]
        return self.chain.build_judgement(RUN, name, weights, reasons, index)

    @rule(miners=st.sets(st.sampled_from(MINERS)))
    def settle(self, miners: set[str]) -> None:
        """Play the round in work to its settlement; judging of the one before goes by."""
        if self.chain.get_round(RUN).phase == rounds_pb2.PHASE_TRAINING:
            self.chain.play_round(RUN, sorted(miners))

    @rule(count=st.integers(1, 3))
    def wait(self, count: int) -> None:
        self.chain.next_block(count)

    @rule(name=JUDGE, opinion=OPINION)
    def commit(self, name: str, opinion: int) -> None:
        judged = self.get_judged()
        index = self.chain.get_run(RUN).current_round if judged is None else judged.index
        message = self.chain.build_weights_commit(name, self.build(name, opinion, index))
        is_right = judged is not None and self.chain.height <= judged.judge_commit_deadline
        assert (self.attempt(message) is not None) == is_right
        if is_right:
            self.committed[index, name] = opinion

    @rule(name=JUDGE, opinion=OPINION, is_honest=st.booleans())
    def reveal(self, name: str, opinion: int, is_honest: bool) -> None:
        judged = self.get_judged()
        index = self.chain.get_run(RUN).current_round if judged is None else judged.index
        if is_honest:
            opinion = self.committed.get((index, name), opinion)
        message = self.chain.build_reveal(name, self.build(name, opinion, index))
        is_right = (
            judged is not None
            and self.chain.height > judged.judge_commit_deadline
            and self.committed.get((index, name)) == opinion
            and (index, name) not in self.revealed
        )
        assert (self.attempt(message) is not None) == is_right
        if is_right:
            self.revealed[index, name] = opinion

    @rule(opinion=OPINION)
    def judge_together(self, opinion: int) -> None:
        judged = self.get_judged()
        if judged is None:
            return
        for name in VALIDATORS:
            self.commit(name, opinion)
        self.chain.next_block(max(0, judged.judge_commit_deadline + 1 - self.chain.height))
        for name in VALIDATORS:
            self.reveal(name, opinion, True)

    @rule(name=st.sampled_from((*MINERS, "stranger")), opinion=OPINION)
    def intrude(self, name: str, opinion: int) -> None:
        """Nobody but a validator judges, and nobody judges for another."""
        judged = self.get_judged()
        if judged is None:
            return
        judgement = self.build("validator-0", opinion, judged.index)
        assert self.attempt(self.chain.build_weights_commit(name, judgement)) is None
        assert self.attempt(self.chain.build_reveal(name, judgement)) is None
        stolen = self.chain.build_reveal("validator-1", judgement, salt=hash_text("validator-0"))
        assert self.attempt(stolen) is None

    @invariant()
    def epochs_are_fair(self) -> None:
        if not self.chain.names:
            return
        run = self.chain.get_run(RUN)
        offered = 0
        for index in range(NUM_ROUNDS):
            try:
                epoch = self.chain.get_epoch(RUN, index)
            except QueryNotFound:
                break
            offered += epoch.bounty_udsc
            self.check_epoch(epoch)
        if run.status == runs_pb2.RUN_STATUS_COMPLETED:
            assert run.bounty_udsc == 0
        else:
            assert 0 <= BOUNTY - run.bounty_udsc <= offered

    def check_epoch(self, epoch: Any) -> None:
        opinions = [o for (index, _), o in self.revealed.items() if index == epoch.round]
        assert epoch.num_judgements == len(opinions)
        shared = epoch.owner_udsc + epoch.miners_udsc + epoch.validators_udsc
        assert 0 <= shared <= epoch.emission_udsc
        assert shared == 0 or opinions
        miners = [entry for entry in epoch.entries if entry.uid < len(MINERS)]
        assert sum(entry.emission_udsc for entry in miners) <= epoch.miners_udsc
        assert sum(entry.incentive_u16 for entry in miners) <= 65_535 + len(miners)
        for entry in miners:
            if entry.reason != OK:
                assert entry.emission_udsc == 0
            if not any(entry.uid in OPINIONS[opinion][0] for opinion in opinions):
                assert entry.incentive_u16 == entry.emission_udsc == 0

    @invariant()
    def coins_add_up(self) -> None:
        """Coins in being are those issued less those burned; issuing only grows."""
        ctx = self.chain.ctx()
        bank, mint = self.chain.get_pallet("bank"), self.chain.get_pallet("mint")
        holders = [make_addr(name) for name in ("owner", *MINERS, *VALIDATORS)]
        modules = [self.chain.get_pallet(name).module_addr for name in ("runs", "weights")]
        balances = [bank.get_balance(ctx, addr) for addr in (*holders, *modules)]
        assert min(balances) >= 0
        assert sum(balances) == bank.get_supply(ctx)
        issued = mint.storage.issued_udsc.expect(ctx)
        assert issued >= max(self.issued_udsc, bank.get_supply(ctx))
        self.issued_udsc = issued

    def teardown(self) -> None:
        self.chain.assert_genesis_round_trips(*TrainingChain().build_pallets())


TestWeights = WeightsMachine.TestCase
TestWeights.settings = SETTINGS
