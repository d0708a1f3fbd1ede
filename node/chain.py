"""The chain: its pallets, in execution order, with the capabilities each one is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.pallets.accounts.pallet import AccountsPallet
from node.pallets.authz.pallet import AuthzPallet
from node.pallets.bank.pallet import BankPallet
from node.pallets.beacon.pallet import BeaconPallet
from node.pallets.blocks.pallet import BlocksPallet
from node.pallets.consensus.pallet import ConsensusPallet
from node.pallets.distribution.pallet import DistributionPallet
from node.pallets.feegrant.pallet import FeegrantPallet
from node.pallets.gov.pallet import GovPallet
from node.pallets.lineage.pallet import LineagePallet
from node.pallets.mint.pallet import MintPallet
from node.pallets.rounds.pallet import RoundsPallet
from node.pallets.runs.pallet import RunsPallet
from node.pallets.slashing.pallet import SlashingPallet
from node.pallets.staking.pallet import StakingPallet
from node.pallets.upgrade.pallet import UpgradePallet
from node.pallets.upgrade.types import Migration
from node.pallets.weights.pallet import WeightsPallet
from node.runtime.application import Application, StateStoreLike, VoteExtender
from node.runtime.options import NodeOptions
from node.runtime.runtime import Runtime
from node.runtime.substrate.ante import ExtrinsicRules
from node.runtime.substrate.calls import CallTable

CHAIN_ID = "descent-devnet-1"
MODULE_PERMISSIONS: dict[str, tuple[str, ...]] = {
    "bonded_tokens_pool": ("burner", "staking"),
    "distribution": (),
    "fee_collector": (),
    "gov": ("burner",),
    "not_bonded_tokens_pool": ("burner", "staking"),
    "runs": (),
    "weights": ("burner",),
}
"""Accounts nobody holds a key to; nobody may send to them directly."""


MIGRATIONS: dict[str, Migration] = {}
"""Upgrades this program knows, by the name governance plans them under."""


@dataclass(frozen=True)
class Chain:
    """The pallets by name and the runtime that orders them."""

    runtime: Runtime
    upgrade: UpgradePallet
    consensus: ConsensusPallet
    blocks: BlocksPallet
    beacon: BeaconPallet
    accounts: AccountsPallet
    bank: BankPallet
    mint: MintPallet
    staking: StakingPallet
    distribution: DistributionPallet
    slashing: SlashingPallet
    gov: GovPallet
    authz: AuthzPallet
    feegrant: FeegrantPallet
    lineage: LineagePallet
    runs: RunsPallet
    rounds: RoundsPallet
    weights: WeightsPallet
    call_table: CallTable

    def open_application(
        self,
        store: StateStoreLike,
        options: NodeOptions | None = None,
        extend: VoteExtender | None = None,
    ) -> Application:
        """Put the chain on a store."""
        return Application(
            self.runtime,
            self.accounts,
            self.bank,
            self.consensus,
            store,
            options or NodeOptions(),
            extend,
            self.feegrant,
            ExtrinsicRules(self.call_table, self.blocks),
        )


def build_chain(migrations: Mapping[str, Migration] | None = None) -> Chain:
    """Build the pallets and wire them together.

    Args:
        migrations: of the upgrades this program knows, by name; `MIGRATIONS` unless told otherwise.
    """
    upgrade = UpgradePallet(MIGRATIONS if migrations is None else migrations)
    consensus = ConsensusPallet()
    blocks = BlocksPallet()
    beacon = BeaconPallet()
    accounts = AccountsPallet(MODULE_PERMISSIONS)
    bank = BankPallet(accounts)
    mint = MintPallet(bank)
    staking = StakingPallet(bank, beacon)
    beacon.set_keys(staking)
    beacon.add_listener(staking)
    distribution = DistributionPallet(accounts, bank, staking, mint)
    slashing = SlashingPallet(staking, consensus, beacon)
    staking.add_listener(distribution)
    staking.add_listener(slashing)
    gov = GovPallet(bank, staking)
    authz = AuthzPallet(bank)
    feegrant = FeegrantPallet(accounts)
    lineage = LineagePallet()
    runs = RunsPallet(bank, staking, lineage)
    rounds = RoundsPallet(runs, beacon, lineage)
    weights = WeightsPallet(runs, rounds, lineage, mint, bank, distribution)
    runs.add_listener(rounds)
    runs.add_listener(weights)
    base = (
        upgrade,
        consensus,
        blocks,
        beacon,
        accounts,
        bank,
        mint,
        staking,
        distribution,
        slashing,
        gov,
        authz,
        feegrant,
    )
    runtime = Runtime((*base, lineage, runs, rounds, weights))
    gov.set_dispatcher(runtime)
    authz.set_dispatcher(runtime)
    return Chain(runtime, *base, lineage, runs, rounds, weights, CallTable(runtime))
