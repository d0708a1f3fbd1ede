"""The consensus set: which operators decide blocks, with what power.

An operator that runs a node and is not jailed has one unit of power a whole DSC bonded; the
`max_validators` with the most power are in. The set is computed again at the end of a block in
which stake changed; what changed goes to the engine. Source: DESIGN 3.1; Cosmos SDK x/staking.
"""

from __future__ import annotations

from cosmos.crypto.ed25519 import keys_pb2

from node.pallets.staking.ledger import StakingBank, StakingLedger
from node.pallets.staking.types import ConsensusNodes, ConsensusPowerChanged
from node.runtime.addresses import compute_consensus_address, encode_consensus
from node.runtime.context import Context
from node.runtime.errors import InvariantBroken
from node.runtime.pallet import invariant


class ConsensusSet(StakingLedger):
    """The part of the staking pallet that follows stake for the engine.

    Args:
        bank: as the ledger's.
        nodes: which operators run a consensus node.
    """

    def __init__(self, bank: StakingBank, nodes: ConsensusNodes) -> None:
        super().__init__(bank)
        self._nodes = nodes

    def note_node(self, ctx: Context, operator_addr: bytes) -> None:
        """Look at the set again: an operator's node was registered."""
        self.note_set_change(ctx)

    def compute_powers(self, ctx: Context) -> dict[bytes, int]:
        """Compute the consensus power by ed25519 key; of equals the higher address is in."""
        limit = self.get_params(ctx).max_validators
        powers: dict[bytes, int] = {}
        ranked = self.storage.operators.iterate_index(ctx, "power", reverse=True)
        for power, operator_addr in ranked:
            if len(powers) == limit:
                break
            if self._nodes.has_node(ctx, operator_addr):
                operator = self.storage.operators.expect(ctx, operator_addr)
                key = keys_pb2.PubKey.FromString(operator.consensus_pubkey.value).key
                powers[key] = power
        return powers

    def update_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """Bring the recorded set up to the stake; returns what changed, power 0 for who left.

        A set that would be empty is not taken: somebody has to decide the next block.

        Emits: ConsensusPowerChanged.
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
            text = encode_consensus(compute_consensus_address(key))
            ctx.emit(ConsensusPowerChanged(text, power))
        return dict(sorted(changed.items()))

    def list_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """List the recorded set: power by ed25519 key."""
        return dict(self.storage.consensus_powers.iterate(ctx))

    def list_consensus_powers(self, ctx: Context) -> list[tuple[bytes, int]]:
        """List (operator, power) of the recorded set, by key; only operators still there."""
        found = []
        for key, power in self.storage.consensus_powers.iterate(ctx):
            operator_addr = self.get_operator_by_key(ctx, compute_consensus_address(key))
            if operator_addr is not None and self.get_operator(ctx, operator_addr) is not None:
                found.append((operator_addr, power))
        return found

    @invariant
    def check_consensus_set(self, ctx: Context) -> None:
        """The recorded consensus set is that of the stake, unless it is about to change."""
        if self.storage.has_set_changed.get_or(ctx, 0):
            return
        powers = self.compute_powers(ctx)
        if powers and self.list_consensus_set(ctx) != powers:
            raise InvariantBroken("staking: the consensus set is not that of the stake")
