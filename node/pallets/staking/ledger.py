"""The books of staking: shares, unbonding and redelegation entries, slashes.

Calls and hooks of the pallet are made of these steps. Every change of a delegation's shares is told
to the listeners before it is written, so that rewards are settled at the old shares.
"""

from __future__ import annotations

from typing import Any, Protocol

from cosmos.staking.v1beta1 import staking_pb2

from node.pallets.bank.types import BalancesBurn, BalancesTransfer
from node.pallets.staking.errors import (
    DelegationUnknown,
    ExchangeRateZero,
    OperatorUnknown,
    RedelegationEntriesFull,
    SharesInsufficient,
    UnbondingEntriesFull,
)
from node.pallets.staking.queries import StakingQueries
from node.pallets.staking.shares import DECIMALS_18, compute_shares, compute_tokens
from node.pallets.staking.types import (
    BONDED_POOL,
    NOT_BONDED_POOL,
    UDSC_PER_POWER,
    Delegated,
    StakingListener,
    StakingParams,
    build_timestamp,
    compute_power,
    get_entry_time_ns,
)
from node.runtime.addresses import compute_module_address, encode_account, encode_operator
from node.runtime.coins import BASE_DENOM
from node.runtime.context import NANOS_PER_SECOND, Context
from node.runtime.errors import ensure

BONDED_ADDR = compute_module_address(BONDED_POOL)
NOT_BONDED_ADDR = compute_module_address(NOT_BONDED_POOL)


class StakingBank(BalancesTransfer, BalancesBurn, Protocol):
    """What staking needs of the bank."""


class StakingLedger(StakingQueries):
    """Shares of operators, and what is on its way out of them.

    Args:
        bank: moves coins into and out of the pools, burns what is slashed.
    """

    def __init__(self, bank: StakingBank) -> None:
        super().__init__()
        self._bank: StakingBank = bank
        self._listeners: list[StakingListener] = []

    def add_listener(self, listener: StakingListener) -> None:
        """Tell another pallet when stake moves."""
        self._listeners.append(listener)

    def get_params(self, ctx: Context) -> StakingParams:
        """Get the parameters."""
        params: StakingParams = self.storage.params.expect(ctx)
        return params

    # Operators

    def get_operator_or_refuse(self, ctx: Context, operator_addr: bytes) -> Any:
        """Get an operator.

        Raises: OperatorUnknown.
        """
        operator = self.storage.operators.get(ctx, operator_addr)
        if operator is None:
            raise OperatorUnknown()
        return operator

    def get_own_tokens(self, ctx: Context, operator_addr: bytes) -> int:
        """Get what an operator's own delegation is worth in udsc."""
        operator = self.storage.operators.get(ctx, operator_addr)
        own = self.storage.delegations.get(ctx, (operator_addr, operator_addr))
        if operator is None or own is None:
            return 0
        total = int(operator.delegator_shares)
        return compute_tokens(int(own.shares), int(operator.tokens), total)

    def set_operator(self, ctx: Context, operator_addr: bytes, operator: Any) -> None:
        """Write an operator; the consensus set is looked at again if its power may change."""
        old = self.storage.operators.get(ctx, operator_addr)
        is_same = (
            old is not None
            and compute_power(old) == compute_power(operator)
            and old.jailed == operator.jailed
        )
        self.storage.operators.set(ctx, operator_addr, operator)
        if not is_same:
            self.note_set_change(ctx)

    def note_set_change(self, ctx: Context) -> None:
        """Have the consensus set looked at again at the end of the block."""
        if not self.storage.has_set_changed.get_or(ctx, 0):
            self.storage.has_set_changed.set(ctx, 1)

    def _remove_operator(self, ctx: Context, operator_addr: bytes) -> None:
        for listener in self._listeners:
            listener.on_operator_removed(ctx, operator_addr)
        self.storage.operators.delete(ctx, operator_addr)
        self.note_set_change(ctx)

    # Shares

    def bond(self, ctx: Context, delegator: bytes, operator_addr: bytes, amount: int) -> int:
        """Give shares for coins that are in the bonded pool already; returns the shares.

        Raises: ExchangeRateZero.
        Emits: Delegated.
        """
        operator = self.storage.operators.expect(ctx, operator_addr)
        tokens, total = int(operator.tokens), int(operator.delegator_shares)
        ensure(tokens > 0 or total == 0, ExchangeRateZero)
        shares = compute_shares(amount, tokens, total)
        held = self.get_shares(ctx, delegator, operator_addr)
        self._set_shares(ctx, delegator, operator_addr, held, held + shares)
        operator.tokens, operator.delegator_shares = str(tokens + amount), str(total + shares)
        self.set_operator(ctx, operator_addr, operator)
        ctx.emit(
            Delegated(
                validator=encode_operator(operator_addr),
                delegator=encode_account(delegator),
                amount=f"{amount}{BASE_DENOM}",
                new_shares=str(shares),
            )
        )
        return shares

    def unbond(self, ctx: Context, delegator: bytes, operator_addr: bytes, amount: int) -> int:
        """Take shares worth `amount` away; returns the coins they are worth.

        Raises: OperatorUnknown, DelegationUnknown, SharesInsufficient.
        """
        operator = self.get_operator_or_refuse(ctx, operator_addr)
        held = self.get_shares(ctx, delegator, operator_addr)
        ensure(held > 0, DelegationUnknown)
        tokens, total = int(operator.tokens), int(operator.delegator_shares)
        ensure(tokens > 0, SharesInsufficient, "the operator was slashed to nothing")
        shares = compute_shares(amount, tokens, total)
        ensure(shares <= held, SharesInsufficient, f"{amount}{BASE_DENOM} is more than delegated")
        if compute_tokens(held - shares, tokens, total) == 0:
            shares = held  # what is left would be worth nothing
        return self.take_shares(ctx, delegator, operator_addr, shares)

    def take_shares(self, ctx: Context, delegator: bytes, operator_addr: bytes, shares: int) -> int:
        """Take shares away; the operator goes with its last one. Returns the coins freed."""
        held = self.get_shares(ctx, delegator, operator_addr)
        self._set_shares(ctx, delegator, operator_addr, held, held - shares)
        operator = self.storage.operators.expect(ctx, operator_addr)
        tokens, total = int(operator.tokens), int(operator.delegator_shares)
        returned = compute_tokens(shares, tokens, total)
        operator.tokens, operator.delegator_shares = str(tokens - returned), str(total - shares)
        if total == shares:
            self._remove_operator(ctx, operator_addr)
        else:
            self.set_operator(ctx, operator_addr, operator)
        return returned

    def _set_shares(
        self, ctx: Context, delegator: bytes, operator_addr: bytes, before: int, after: int
    ) -> None:
        for listener in self._listeners:
            listener.on_shares_change(ctx, delegator, operator_addr, before, after)
        key = (delegator, operator_addr)
        if after == 0:
            self.storage.delegations.delete(ctx, key)
            self.storage.delegations_by_operator.remove(ctx, (operator_addr, delegator))
            return
        if before == 0:
            self.storage.delegations_by_operator.add(ctx, (operator_addr, delegator))
        delegation = staking_pb2.Delegation(
            delegator_address=encode_account(delegator),
            validator_address=encode_operator(operator_addr),
            shares=str(after),
        )
        self.storage.delegations.set(ctx, key, delegation)

    # Unbonding

    def next_unbonding_id(self, ctx: Context) -> int:
        """Hand out the number of an unbonding or redelegation entry."""
        unbonding_id = self.storage.next_unbonding_id.get_or(ctx, 1)
        self.storage.next_unbonding_id.set(ctx, unbonding_id + 1)
        return unbonding_id

    def compute_completion_ns(self, ctx: Context) -> int:
        """Compute when what starts to unbond now is free."""
        return ctx.block.time_ns + self.get_params(ctx).unbonding_seconds * NANOS_PER_SECOND

    def add_unbonding(
        self,
        ctx: Context,
        delegator: bytes,
        operator_addr: bytes,
        amount: int,
        completion_ns: int,
    ) -> None:
        """Put coins into the unbonding queue.

        Raises: UnbondingEntriesFull.
        """
        unbonding = self.storage.unbondings.get(ctx, (delegator, operator_addr))
        if unbonding is None:
            unbonding = staking_pb2.UnbondingDelegation(
                delegator_address=encode_account(delegator),
                validator_address=encode_operator(operator_addr),
            )
        max_entries = self.get_params(ctx).max_entries
        ensure(len(unbonding.entries) < max_entries, UnbondingEntriesFull)
        unbonding.entries.add(
            creation_height=ctx.height,
            completion_time=build_timestamp(completion_ns),
            initial_balance=str(amount),
            balance=str(amount),
            unbonding_id=self.next_unbonding_id(ctx),
        )
        self.set_unbonding(ctx, delegator, operator_addr, unbonding)
        self.storage.unbonding_queue.add(ctx, (completion_ns, delegator, operator_addr))

    def set_unbonding(
        self, ctx: Context, delegator: bytes, operator_addr: bytes, unbonding: Any
    ) -> None:
        """Write what an account unbonds from an operator, or forget it when nothing is left."""
        if unbonding.entries:
            self.storage.unbondings.set(ctx, (delegator, operator_addr), unbonding)
            self.storage.unbondings_by_operator.add(ctx, (operator_addr, delegator))
        else:
            self.storage.unbondings.delete(ctx, (delegator, operator_addr))
            self.storage.unbondings_by_operator.remove(ctx, (operator_addr, delegator))

    # Redelegation

    def add_redelegation(
        self,
        ctx: Context,
        key: tuple[bytes, bytes, bytes],
        amount: int,
        shares: int,
        completion_ns: int,
    ) -> None:
        """Note that coins still answer for the operator they came from.

        Args:
            key: delegator, operator they came from, operator they went to.
            shares: they are worth at the operator they went to.
        Raises: RedelegationEntriesFull.
        """
        delegator, source, target = key
        redelegation = self.storage.redelegations.get(ctx, key)
        if redelegation is None:
            redelegation = staking_pb2.Redelegation(
                delegator_address=encode_account(delegator),
                validator_src_address=encode_operator(source),
                validator_dst_address=encode_operator(target),
            )
        max_entries = self.get_params(ctx).max_entries
        ensure(len(redelegation.entries) < max_entries, RedelegationEntriesFull)
        redelegation.entries.add(
            creation_height=ctx.height,
            completion_time=build_timestamp(completion_ns),
            initial_balance=str(amount),
            shares_dst=str(shares),
            unbonding_id=self.next_unbonding_id(ctx),
        )
        self.storage.redelegations.set(ctx, key, redelegation)
        self.storage.redelegations_by_source.add(ctx, (source, delegator, target))
        self.storage.redelegations_by_target.add(ctx, (delegator, target, source))
        self.storage.redelegation_queue.add(ctx, (completion_ns, key))

    def drop_redelegation(self, ctx: Context, key: tuple[bytes, bytes, bytes]) -> None:
        """Forget a redelegation that has no entries left."""
        delegator, source, target = key
        self.storage.redelegations.delete(ctx, key)
        self.storage.redelegations_by_source.remove(ctx, (source, delegator, target))
        self.storage.redelegations_by_target.remove(ctx, (delegator, target, source))

    # Slashing

    def slash(
        self, ctx: Context, operator_addr: bytes, infraction_height: int, power: int, fraction: int
    ) -> int:
        """Burn a fraction of the stake that stood behind an infraction; returns what was burned.

        What left the operator since the infraction pays its part; the operator pays the rest. It
        may be gone already.

        Args:
            power: consensus power at the infraction.
            fraction: scaled by 10**18.
        Emits: CoinSpent, CoinsBurned.
        """
        left = power * UDSC_PER_POWER * fraction // DECIMALS_18
        burned = 0
        if infraction_height < ctx.height:
            for step in (self._slash_unbondings, self._slash_redelegations):
                due, cut = step(ctx, operator_addr, infraction_height, fraction)
                left, burned = left - due, burned + cut
        operator = self.storage.operators.get(ctx, operator_addr)
        if operator is not None:
            tokens = int(operator.tokens)
            cut = min(max(left, 0), tokens)
            operator.tokens = str(tokens - cut)
            self.set_operator(ctx, operator_addr, operator)
            self._bank.burn(ctx, BONDED_ADDR, cut)
            burned += cut
        return burned

    def _slash_unbondings(
        self, ctx: Context, operator_addr: bytes, height: int, fraction: int
    ) -> tuple[int, int]:
        due = burned = 0
        keys = list(self.storage.unbondings_by_operator.iterate(ctx, (operator_addr,)))
        for _, delegator in keys:
            unbonding = self.storage.unbondings.expect(ctx, (delegator, operator_addr))
            for entry in unbonding.entries:
                is_over = get_entry_time_ns(entry) <= ctx.block.time_ns
                if entry.creation_height < height or is_over:
                    continue
                part = int(entry.initial_balance) * fraction // DECIMALS_18
                cut = min(part, int(entry.balance))
                entry.balance = str(int(entry.balance) - cut)
                due, burned = due + part, burned + cut
            self.storage.unbondings.set(ctx, (delegator, operator_addr), unbonding)
        self._bank.burn(ctx, NOT_BONDED_ADDR, burned)
        return due, burned

    def _slash_redelegations(
        self, ctx: Context, operator_addr: bytes, height: int, fraction: int
    ) -> tuple[int, int]:
        due = burned = 0
        keys = list(self.storage.redelegations_by_source.iterate(ctx, (operator_addr,)))
        for source, delegator, target in keys:
            redelegation = self.storage.redelegations.expect(ctx, (delegator, source, target))
            for entry in redelegation.entries:
                is_over = get_entry_time_ns(entry) <= ctx.block.time_ns
                if entry.creation_height < height or is_over:
                    continue
                due += int(entry.initial_balance) * fraction // DECIMALS_18
                shares = int(entry.shares_dst) * fraction // DECIMALS_18
                shares = min(shares, self.get_shares(ctx, delegator, target))
                if shares:
                    burned += self.take_shares(ctx, delegator, target, shares)
        self._bank.burn(ctx, BONDED_ADDR, burned)
        return due, burned
