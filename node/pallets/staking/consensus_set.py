"""The consensus set: which operators decide blocks, with what power.

An operator that runs a node has one unit of power a whole DSC bonded. The set is computed again at
the end of a block in which stake changed; what changed goes to the engine. Source: DESIGN 3.1.
"""

from __future__ import annotations

from cosmos.crypto.ed25519 import keys_pb2

from node.pallets.staking.queries import StakingQueries
from node.pallets.staking.types import UDSC_PER_POWER, ConsensusNodes
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken
from node.runtime.pallet import invariant


class ConsensusSet(StakingQueries):
    """The part of the staking pallet that follows stake for the engine."""

    _nodes: ConsensusNodes

    def note_set_change(self, ctx: Context) -> None:
        """Have the consensus set looked at again at the end of the block."""
        if not self.storage.has_set_changed.get_or(ctx, 0):
            self.storage.has_set_changed.set(ctx, 1)

    def compute_powers(self, ctx: Context) -> dict[bytes, int]:
        """Compute the consensus power by ed25519 key of operators that run a node."""
        powers = {}
        for addr, operator in self.storage.operators.iterate(ctx):
            power = int(operator.tokens) // UDSC_PER_POWER
            if power and not operator.jailed and self._nodes.has_node(ctx, addr):
                key = keys_pb2.PubKey.FromString(operator.consensus_pubkey.value).key
                powers[key] = power
        return powers

    def update_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """Bring the recorded set up to the stake; returns what changed, power 0 for who left.

        A set that would be empty is not taken: somebody has to decide the next block.
        """
        if not self.storage.has_set_changed.get_or(ctx, 0):
            return {}
        self.storage.has_set_changed.set(ctx, 0)
        powers = self.compute_powers(ctx)
        if not powers:
            return {}
        before = self.list_consensus_set(ctx)
        changed = {key: power for key, power in powers.items() if before.get(key) != power}
        changed.update({key: 0 for key in before if key not in powers})
        for key, power in sorted(changed.items()):
            if power:
                self.storage.consensus_powers.set(ctx, key, power)
            else:
                self.storage.consensus_powers.delete(ctx, key)
        return dict(sorted(changed.items()))

    def list_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """List the recorded set: power by ed25519 key."""
        return dict(self.storage.consensus_powers.iterate(ctx))

    @invariant
    def check_consensus_set(self, ctx: Context) -> None:
        """The recorded consensus set is that of the stake, unless it is about to change."""
        if self.storage.has_set_changed.get_or(ctx, 0):
            return
        powers = self.compute_powers(ctx)
        if powers and self.list_consensus_set(ctx) != powers:
            raise InvariantBroken("staking: the consensus set is not that of the stake")
