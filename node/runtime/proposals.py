"""What a block may hold: built so for this node's proposals, demanded of everybody else's.

1. Pseudo transactions first, ascending by tag, each valid, none missing that has to be there.
2. Then transactions that pass every check before their messages (size, decoding, gas limit, fee,
   signatures, sequence, timeout) at the block's height and time, on the state that the ones before
   leave: so those of one signer stand in the order of their sequences, and none comes twice.
3. Their gas limits add up to at most the block's.

Messages are not executed here: a transaction may fail later and pays for that. Proposer and judges
run the same function on the same state, so a correct proposal is accepted everywhere.

Source: `reference/chain.md` section 3.3; CometBFT spec/abci/abci++_app_requirements.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from node.runtime.ante import Mode
from node.runtime.context import BlockInfo, Context
from node.runtime.errors import ChainError
from node.runtime.executor import TxExecutor, TxOutcome
from node.runtime.runtime import Runtime
from node.runtime.state import KeyValueReader, Overlay

TX_FIELD_OVERHEAD_BYTES = 8
"""Bytes a transaction takes in a block beyond its own, at most."""


class ProposalInvalid(Exception):
    """A proposal breaks a rule; the text says which."""


Settled = tuple[dict[bytes, int], Set[bytes]]
"""Transactions that were checked already, with their gas limits, and who pays for them."""


@dataclass(slots=True)
class CheckedTxs:
    """What the check state took, in its order.

    Args:
        txs: transaction, gas limit and whether it has a deadline.
        places: account that signs and pays for a transaction, and how many it had taken before.
        entangled: accounts that a transaction with several payers, or a deadline, has changed.
    """

    txs: list[tuple[bytes, int, bool]] = field(default_factory=list)
    places: dict[bytes, tuple[bytes, int, int]] = field(default_factory=dict)
    counts: dict[bytes, int] = field(default_factory=dict)
    entangled: set[bytes] = field(default_factory=set)

    def add(self, tx: bytes, outcome: TxOutcome) -> None:
        """Note a transaction that was taken."""
        self.txs.append((tx, outcome.gas_wanted, outcome.has_deadline))
        if len(outcome.payers) > 1 or outcome.has_deadline:
            self.entangled.update(outcome.payers)
            return
        (payer,) = outcome.payers
        count = self.counts.get(payer, 0)
        self.places[tx] = payer, count, outcome.gas_wanted
        self.counts[payer] = count + 1

    def find_settled(self, txs: Sequence[bytes]) -> Settled:
        """Find transactions of a proposal that would pass again: their gas limits; their payers.

        Whether a transaction with one payer passes is decided by that account and by what the ones
        before did to it. So it passes if those that the proposal has of the account are the first
        that were taken of it, in their order; the order among accounts does not matter.
        """
        counts: dict[bytes, int] = {}
        unlike = set(self.entangled)
        for tx in txs:
            payer, index, _ = self.places.get(tx, (b"", 0, 0))
            if payer and index == counts.get(payer, 0):
                counts[payer] = index + 1
            else:
                unlike.add(payer)
        settled = {}
        for tx in txs:
            payer, _, gas_wanted = self.places.get(tx, (b"", 0, 0))
            if payer and payer not in unlike:
                settled[tx] = gas_wanted
        return settled, counts.keys() - unlike


class ProposalRules:
    """Builds proposals and judges them.

    Args:
        runtime, executor: what transactions run on.
    """

    def __init__(self, runtime: Runtime, executor: TxExecutor) -> None:
        self._runtime = runtime
        self._executor = executor
        self._approved = b""
        self._checked = CheckedTxs()

    def forget(self) -> None:
        """Forget what was approved and checked, because the state it stood on changed."""
        self._approved = b""
        self._checked = CheckedTxs()

    def note_checked(self, tx: bytes, outcome: TxOutcome) -> None:
        """Remember what the check state took, in its order."""
        if not outcome.code:
            self._checked.add(tx, outcome)

    def build(
        self,
        base: KeyValueReader,
        block: BlockInfo,
        txs: Iterable[bytes],
        limits: tuple[int, int],
    ) -> list[bytes]:
        """Build a proposal of what fits and is valid, in the order given.

        Args:
            block: with the votes for the block before and their extensions.
            limits: bytes and gas of a block; gas -1 for none.
        """
        ctx = Context(Overlay(base), block)
        max_bytes, max_gas = limits
        chosen, size, gas = [], 0, 0
        for tag, pallet in sorted(self._runtime.inherents.items()):
            data = pallet.build_inherent(ctx)
            if data:
                chosen.append(bytes((tag,)) + data)
                size += len(data) + 1 + TX_FIELD_OVERHEAD_BYTES
        waiting = list(txs)
        if self._is_checked(waiting):
            chosen += self._take_checked(len(waiting), max_bytes - size, max_gas)
            self._approved = compute_digest(block, chosen)
            return chosen
        self._run_inherents(ctx, chosen)
        for tx in waiting:
            if size + len(tx) + TX_FIELD_OVERHEAD_BYTES > max_bytes:
                break
            try:
                used = self._check_tx(ctx, tx, max_gas, gas)
            except ProposalInvalid:
                continue
            gas += used
            size += len(tx) + TX_FIELD_OVERHEAD_BYTES
            chosen.append(tx)
        self._approved = compute_digest(block, chosen)
        return chosen

    def _is_checked(self, txs: Sequence[bytes]) -> bool:
        """Tell whether the check state took exactly these, first and in this order.

        It stands on the state the proposal stands on and runs the same checks at the same height,
        so they would pass again; only those that are valid up to some time are looked at anew.
        """
        if len(txs) > len(self._checked.txs):
            return False
        pairs = zip(txs, self._checked.txs, strict=False)
        return all(tx == known and not has_deadline for tx, (known, _, has_deadline) in pairs)

    def _take_checked(self, count: int, max_bytes: int, max_gas: int) -> list[bytes]:
        """Take the first checked ones that fit."""
        chosen, size, gas = [], 0, 0
        for tx, gas_wanted, _ in self._checked.txs[:count]:
            size += len(tx) + TX_FIELD_OVERHEAD_BYTES
            gas += gas_wanted
            if size > max_bytes or 0 <= max_gas < gas:
                break
            chosen.append(tx)
        return chosen

    def judge(
        self, base: KeyValueReader, block: BlockInfo, txs: Sequence[bytes], max_gas: int
    ) -> None:
        """Check a proposal.

        Raises: ProposalInvalid.
        """
        digest = compute_digest(block, txs)
        if digest == self._approved:
            return
        inherents, others = split_inherents(self._runtime, list(txs))
        settled = self._checked.find_settled(others)
        try:
            self._judge_all(Context(Overlay(base), block), inherents, others, max_gas, settled)
        except ProposalInvalid:
            if not settled[0]:
                raise
            self._judge_all(Context(Overlay(base), block), inherents, others, max_gas, ({}, set()))
        self._approved = digest

    def _judge_all(
        self,
        ctx: Context,
        inherents: Sequence[bytes],
        txs: Sequence[bytes],
        max_gas: int,
        settled: Settled,
    ) -> None:
        """Check a whole proposal.

        Args:
            settled: gas limits of the transactions that are not looked at, and their payers; a
                proposal in which others have one of these payers has to be judged without.
        Raises: ProposalInvalid.
        """
        limits, payers = settled
        try:
            for tag in sorted(self._runtime.inherents.keys() - {tx[0] for tx in inherents}):
                self._runtime.inherents[tag].check_no_inherent(ctx)
            self._run_inherents(ctx, inherents)
        except ChainError as error:
            raise ProposalInvalid(f"a pseudo transaction is refused: {error}") from error
        gas = 0
        for tx in txs:
            if tx not in limits:
                gas += self._check_tx(ctx, tx, max_gas, gas, payers)
                continue
            gas += limits[tx]
            if 0 <= max_gas < gas:
                raise ProposalInvalid(f"more gas than {max_gas}")

    def _run_inherents(self, ctx: Context, inherents: Iterable[bytes]) -> None:
        for tx in inherents:
            run_inherent(self._runtime, ctx, tx)

    def _check_tx(
        self,
        ctx: Context,
        tx: bytes,
        max_gas: int,
        gas_before: int,
        settled: Set[bytes] = frozenset(),
    ) -> int:
        """Check one transaction and keep what the checks write; returns its gas limit.

        Args:
            settled: accounts that must not pay for it.
        Raises: ProposalInvalid.
        """
        if not tx or tx[0] in self._runtime.inherents:
            raise ProposalInvalid("a pseudo transaction is out of place")
        outcome = self._executor.run(ctx.state, ctx.block, tx, Mode.RECHECK, max_gas)
        if outcome.code:
            raise ProposalInvalid(f"a transaction is refused: {outcome.log}")
        if not settled.isdisjoint(outcome.payers):
            raise ProposalInvalid("its payer's other transactions were not looked at")
        if 0 <= max_gas < gas_before + outcome.gas_wanted:
            raise ProposalInvalid(f"more gas than {max_gas}")
        return outcome.gas_wanted


def run_inherent(runtime: Runtime, ctx: Context, tx: bytes) -> None:
    """Run one pseudo transaction in a snapshot.

    Raises: ChainError.
    """
    with ctx.snapshot():
        runtime.inherents[tx[0]].process_inherent(ctx, tx[1:])


def split_inherents(runtime: Runtime, txs: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Split the leading pseudo transactions, ascending by tag, from the others."""
    last_tag = -1
    for index, tx in enumerate(txs):
        if not tx or tx[0] not in runtime.inherents or tx[0] <= last_tag:
            return txs[:index], txs[index:]
        last_tag = tx[0]
    return txs, []


def compute_digest(block: BlockInfo, txs: Iterable[bytes]) -> bytes:
    """Compute what a judgement is remembered by: height, time, votes and every byte."""
    numbers = (block.height, block.time_ns, block.votes_round, len(block.votes))
    digest = hashlib.sha256(b"".join(number.to_bytes(12, "big") for number in numbers))
    for vote in block.votes:
        flags = bytes((len(vote.consensus_addr), vote.has_signed, vote.is_for_block))
        digest.update(flags + vote.consensus_addr + vote.power.to_bytes(8, "big"))
    for tx in txs:
        digest.update(len(tx).to_bytes(8, "big") + tx)
    return digest.digest()
