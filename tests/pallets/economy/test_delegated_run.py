"""Who delegates to a scoring validator gets its part of what the validator earns in a run."""

from __future__ import annotations

from typing import Any

from cosmos.staking.v1beta1 import staking_pb2

from node.pallets.accounts.pallet import AccountsPallet
from node.pallets.bank.pallet import BankPallet
from node.pallets.distribution.pallet import DistributionPallet
from node.pallets.lineage.pallet import LineagePallet
from node.pallets.mint.pallet import MintPallet
from node.pallets.rounds.pallet import RoundsPallet
from node.pallets.runs.pallet import RunsPallet
from node.pallets.staking.pallet import StakingPallet
from node.pallets.weights.pallet import WeightsPallet
from node.runtime.pallet import Pallet
from tests.pallets.distribution.reward_chain import build_withdraw
from tests.pallets.staking.staking_chain import POOLS, Nodes, build_create, build_delegate
from tests.pallets.training_chain import MODULES, ScriptedBeacon, TrainingChain

DSC = 10**6
TEN_PERCENT = staking_pb2.CommissionRates(
    rate=str(10**17), max_rate=str(10**17), max_change_rate="0"
)


class DelegatedChain(TrainingChain):
    """A training chain whose validators are operators with real stake."""

    def build_pallets(self) -> list[Pallet[Any]]:
        accounts = AccountsPallet({**MODULES, **POOLS, "distribution": ()})
        bank = BankPallet(accounts)
        mint = MintPallet(bank)
        staking = StakingPallet(bank, Nodes())
        distribution = DistributionPallet(accounts, bank, staking, mint)
        staking.add_listener(distribution)
        lineage = LineagePallet()
        runs = RunsPallet(bank, staking, lineage)
        rounds = RoundsPallet(runs, ScriptedBeacon(), lineage)
        weights = WeightsPallet(runs, rounds, lineage, mint, bank, distribution)
        runs.add_listener(rounds)
        runs.add_listener(weights)
        head = [accounts, bank, mint, staking, distribution]
        return [*head, lineage, runs, rounds, weights]

    def set_stake(self, name: str, stake: int) -> None:
        self.make_account(name, stake)
        self.run(build_create(name, stake, commission=TEN_PERCENT))


def test_delegators_earn_with_their_validator() -> None:
    chain = DelegatedChain()
    chain.make_account("alice", 1_000 * DSC)
    stakes = (100 * DSC, 100 * DSC, 100 * DSC)
    run_id = chain.start_run(stakes=stakes)
    chain.run(build_delegate("alice", "validator-0", 300 * DSC))
    chain.play_round(run_id)
    before = chain.get_balance("validator-0")
    scores = {0: 30_000, 1: 20_000, 2: 10_000}
    names = [f"validator-{index}" for index in range(3)]
    chain.judge(run_id, {name: chain.build_judgement(run_id, name, scores) for name in names})
    lines = {line.uid: line for line in chain.get_epoch(run_id, 0).entries}
    uid = chain.find_uid(run_id, "validator-0")
    earned = lines[uid].emission_udsc
    others = [lines[chain.find_uid(run_id, name)].emission_udsc for name in names[1:]]
    # Four times the stake earns four times as much.
    assert all(abs(earned - 4 * other) <= earned // 100 for other in others)
    assert chain.get_seat(run_id, uid).last_paid_udsc == earned
    # A tenth is commission; of the rest a quarter is the operator's own, three quarters alice's.
    alice = earned * 9 // 10 * 3 // 4
    paid = chain.run(build_withdraw("alice", "validator-0")).response.amount
    consensus = 10 * chain.get_pallet("mint").get_consensus_emission(chain.ctx()) * 2
    got = int(paid[0].amount)
    assert alice - 1 <= got <= alice + consensus
    own = chain.get_balance("validator-0") - before
    assert earned - alice - 2 <= own <= earned - alice + consensus
    chain.assert_genesis_round_trips(*chain.build_pallets())
