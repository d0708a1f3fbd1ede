"""Distribution: what validators earn, shared with those who delegated to them.

Two kinds of coins come in. Rewards of scoring validators come from the weights pallet at an epoch
and belong to one operator. Fees and the emission for consensus are shared out every
`ALLOCATION_BLOCKS` blocks over the consensus set by power, after the community's part. The
operator's commission comes off, the rest is its delegators', by shares; nobody is iterated over.

An operator is paid its own part of a scoring reward at once. A delegator is paid when it asks, and
whenever its shares change. The last share of an operator pays its commission out too.
Invariants: the module account holds what is outstanding and the community's; what is outstanding
is, to the last fraction, what commission, carry and delegations add up to.
Source: DESIGN 3.1 and 4.4; Cosmos SDK x/distribution; `rewards.py`.
"""

from __future__ import annotations

from typing import Any

from cosmos.distribution.v1beta1 import query_pb2, tx_pb2

from node.pallets.accounts.types import AccountsCreate
from node.pallets.bank.types import BalancesTransfer
from node.pallets.distribution.errors import (
    DISTRIBUTION_ERRORS,
    CommissionMissing,
    RewardedDelegationUnknown,
    RewardedOperatorUnknown,
    WithdrawAddressDisabled,
)
from node.pallets.distribution.queries import DistributionQueries
from node.pallets.distribution.rewards import (
    SCALE,
    DelegatorStart,
    OperatorRewards,
    allocate,
    close_delegation,
    compute_earned,
    pay_commission,
    pay_delegation,
    split_by_power,
)
from node.pallets.distribution.types import (
    ALLOCATION_BLOCKS,
    DISTRIBUTION_EVENTS,
    DISTRIBUTION_MODULE,
    FEE_COLLECTOR,
    CommissionWithdrawn,
    DistributionParams,
    DistributionSchema,
    RewardsAllocated,
    RewardsWithdrawn,
    WithdrawAddressSet,
)
from node.pallets.mint.types import ConsensusEmission
from node.pallets.staking.shares import DECIMALS_18
from node.pallets.staking.types import OperatorsRead
from node.runtime.addresses import (
    compute_module_address,
    encode_account,
    encode_operator,
)
from node.runtime.coins import BASE_DENOM, build_coin, parse_coins
from node.runtime.context import Context
from node.runtime.errors import (
    InvalidCoins,
    InvariantBroken,
    Unauthorized,
    ensure,
    refuse,
)
from node.runtime.pallet import call, ensure_authority, invariant
from node.runtime.parsing import parse_account, parse_operator

MODULE_ADDR = compute_module_address(DISTRIBUTION_MODULE)
FEE_COLLECTOR_ADDR = compute_module_address(FEE_COLLECTOR)


class DistributionPallet(DistributionQueries):
    """The distribution pallet.

    Args:
        accounts: tells module accounts, which get no rewards.
        bank: moves coins.
        staking: operators, shares, the consensus set.
        mint: emission for consensus.
    """

    name = "distribution"
    index = 21
    schema = DistributionSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)
    params_messages = (tx_pb2.MsgUpdateParams, tx_pb2.MsgUpdateParamsResponse)
    errors = DISTRIBUTION_ERRORS
    events = DISTRIBUTION_EVENTS

    def __init__(
        self,
        accounts: AccountsCreate,
        bank: BalancesTransfer,
        staking: OperatorsRead,
        mint: ConsensusEmission,
    ) -> None:
        super().__init__()
        self._accounts = accounts
        self._bank = bank
        self._staking: OperatorsRead = staking
        self._mint = mint

    # Capabilities

    def pay_operator(
        self, ctx: Context, payer: bytes, operator_addr: bytes, amount_udsc: int
    ) -> None:
        """Pay what an operator's scoring validator earned; its own part reaches it at once.

        An account that is no operator any more gets all of it.

        Raises: InsufficientFunds.
        Emits: RewardsAllocated, RewardsWithdrawn, CommissionWithdrawn, CoinSpent, CoinReceived,
            Transferred.
        """
        if self._staking.get_operator(ctx, operator_addr) is None:
            self._bank.transfer(ctx, payer, operator_addr, amount_udsc)
            return
        self._bank.transfer(ctx, payer, MODULE_ADDR, amount_udsc)
        self._allocate(ctx, operator_addr, amount_udsc)
        self._pay_commission(ctx, operator_addr)
        if self._staking.get_shares(ctx, operator_addr, operator_addr):
            self._pay_delegation(ctx, operator_addr, operator_addr)

    def fund_community_pool(self, ctx: Context, payer: bytes, amount_udsc: int) -> None:
        """Give coins to the community.

        Raises: InsufficientFunds.
        Emits: CoinSpent, CoinReceived, Transferred.
        """
        self._bank.transfer(ctx, payer, MODULE_ADDR, amount_udsc)
        self._add_to_pool(ctx, amount_udsc)

    def spend_community_pool(self, ctx: Context, recipient: bytes, amount_udsc: int) -> None:
        """Pay from what the community has.

        Raises: InvalidCoins.
        Emits: CoinSpent, CoinReceived, Transferred.
        """
        held = self.storage.community_pool_udsc.get_or(ctx, 0)
        ensure(amount_udsc <= held, InvalidCoins, f"the community pool has {held}{BASE_DENOM}")
        self._add_to_pool(ctx, -amount_udsc)
        self._bank.transfer(ctx, MODULE_ADDR, recipient, amount_udsc)

    # Told by staking

    def on_shares_change(
        self, ctx: Context, delegator: bytes, operator_addr: bytes, before: int, after: int
    ) -> None:
        """Pay a delegation before its shares change; a new one earns from here on."""
        if before:
            self._pay_delegation(ctx, delegator, operator_addr)
        key = (delegator, operator_addr)
        rewards = self.get_rewards(ctx, operator_addr)
        if after == 0:
            start = self.storage.starts.get_or(ctx, key, DelegatorStart())
            self._set_rewards(ctx, operator_addr, close_delegation(rewards, start))
            self.storage.starts.delete(ctx, key)
        elif before == 0 and rewards.ratio:
            self.storage.starts.set(ctx, key, DelegatorStart(rewards.ratio))

    def on_operator_created(
        self, ctx: Context, operator_addr: bytes, consensus_addr: bytes
    ) -> None:
        """Nothing: it earns from now on."""

    def on_operator_removed(self, ctx: Context, operator_addr: bytes) -> None:
        """Pay the commission out; what is left of fractions goes to the community."""
        self._pay_commission(ctx, operator_addr)
        self._add_to_pool(ctx, self.get_rewards(ctx, operator_addr).outstanding_udsc)
        self.storage.rewards.delete(ctx, operator_addr)

    # Calls

    @call(
        0,
        tx_pb2.MsgSetWithdrawAddress,
        tx_pb2.MsgSetWithdrawAddressResponse,
        signer="delegator_address",
    )
    def set_withdraw_address(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Have rewards paid to another account.

        Raises: InvalidAddress, WithdrawAddressDisabled, Unauthorized.
        Emits: WithdrawAddressSet.
        """
        recipient = parse_account(msg.withdraw_address, "withdraw")
        ensure(self.storage.params.expect(ctx).withdraw_addr_enabled, WithdrawAddressDisabled)
        is_module = self._accounts.is_module_addr(recipient)
        text = f"{msg.withdraw_address} is not allowed to receive external funds"
        ensure(not is_module, Unauthorized, text)
        if recipient == origin:
            self.storage.withdraw_addrs.delete(ctx, origin)
        else:
            self.storage.withdraw_addrs.set(ctx, origin, recipient)
        ctx.emit(WithdrawAddressSet(msg.withdraw_address))

    @call(
        1,
        tx_pb2.MsgWithdrawDelegatorReward,
        tx_pb2.MsgWithdrawDelegatorRewardResponse,
        signer="delegator_address",
    )
    def withdraw_delegator_reward(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Take what a delegation has earned.

        Raises: InvalidAddress, RewardedOperatorUnknown, RewardedDelegationUnknown.
        Emits: RewardsWithdrawn, CoinSpent, CoinReceived, Transferred.
        """
        operator_addr = parse_operator(msg.validator_address)
        is_known = self._staking.get_operator(ctx, operator_addr) is not None
        ensure(is_known, RewardedOperatorUnknown)
        ensure(self._staking.get_shares(ctx, origin, operator_addr) > 0, RewardedDelegationUnknown)
        amount = self._pay_delegation(ctx, origin, operator_addr)
        coins = [build_coin(BASE_DENOM, amount)] if amount else []
        return tx_pb2.MsgWithdrawDelegatorRewardResponse(amount=coins)

    @call(
        2,
        tx_pb2.MsgWithdrawValidatorCommission,
        tx_pb2.MsgWithdrawValidatorCommissionResponse,
        signer="validator_address",
    )
    def withdraw_commission(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Take the commission of an operator.

        Raises: CommissionMissing.
        Emits: CommissionWithdrawn, CoinSpent, CoinReceived, Transferred.
        """
        amount = self._pay_commission(ctx, origin)
        ensure(amount > 0, CommissionMissing)
        return tx_pb2.MsgWithdrawValidatorCommissionResponse(
            amount=[build_coin(BASE_DENOM, amount)]
        )

    @call(3, tx_pb2.MsgFundCommunityPool, tx_pb2.MsgFundCommunityPoolResponse, signer="depositor")
    def fund_pool(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Give coins to the community.

        Raises: InvalidCoins, InsufficientFunds.
        Emits: CoinSpent, CoinReceived, Transferred.
        """
        for denom, amount in parse_coins(msg.amount):
            ensure(denom == BASE_DENOM, InvalidCoins, f"the pool holds {BASE_DENOM} only")
            self.fund_community_pool(ctx, origin, amount)

    @call(4, tx_pb2.MsgCommunityPoolSpend, tx_pb2.MsgCommunityPoolSpendResponse, signer="authority")
    def spend_pool(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Pay from what the community has; governance only.

        Raises: InvalidAuthority, InvalidAddress, InvalidCoins.
        Emits: CoinSpent, CoinReceived, Transferred.
        """
        ensure_authority(origin)
        recipient = parse_account(msg.recipient, "recipient")
        for denom, amount in parse_coins(msg.amount):
            ensure(denom == BASE_DENOM, InvalidCoins, f"the pool holds {BASE_DENOM} only")
            self.spend_community_pool(ctx, recipient, amount)

    # Steps

    def _allocate(self, ctx: Context, operator_addr: bytes, amount_udsc: int) -> None:
        if amount_udsc == 0:
            return
        operator = self._staking.get_operator(ctx, operator_addr)
        if operator is None:
            refuse(RewardedOperatorUnknown)
        rate = int(operator.commission.commission_rates.rate or 0)
        rewards = self.get_rewards(ctx, operator_addr)
        total = int(operator.delegator_shares)
        self.storage.rewards.set(ctx, operator_addr, allocate(rewards, amount_udsc, rate, total))
        amount = f"{amount_udsc}{BASE_DENOM}"
        ctx.emit(RewardsAllocated(amount, encode_operator(operator_addr)))

    def _pay_delegation(self, ctx: Context, delegator: bytes, operator_addr: bytes) -> int:
        key = (delegator, operator_addr)
        shares = self._staking.get_shares(ctx, delegator, operator_addr)
        start = self.storage.starts.get_or(ctx, key, DelegatorStart())
        rewards = self.get_rewards(ctx, operator_addr)
        rewards, start, amount = pay_delegation(rewards, start, shares)
        self._set_rewards(ctx, operator_addr, rewards)
        if start != DelegatorStart():
            self.storage.starts.set(ctx, key, start)
        if amount:
            recipient = self.get_withdraw_addr(ctx, delegator)
            self._bank.transfer(ctx, MODULE_ADDR, recipient, amount)
        ctx.emit(
            RewardsWithdrawn(
                amount=f"{amount}{BASE_DENOM}",
                validator=encode_operator(operator_addr),
                delegator=encode_account(delegator),
            )
        )
        return amount

    def _pay_commission(self, ctx: Context, operator_addr: bytes) -> int:
        rewards, amount = pay_commission(self.get_rewards(ctx, operator_addr))
        if amount:
            self.storage.rewards.set(ctx, operator_addr, rewards)
            recipient = self.get_withdraw_addr(ctx, operator_addr)
            self._bank.transfer(ctx, MODULE_ADDR, recipient, amount)
            validator = encode_operator(operator_addr)
            ctx.emit(CommissionWithdrawn(f"{amount}{BASE_DENOM}", validator))
        return amount

    def _set_rewards(self, ctx: Context, operator_addr: bytes, rewards: OperatorRewards) -> None:
        if rewards != OperatorRewards():
            self.storage.rewards.set(ctx, operator_addr, rewards)

    def _add_to_pool(self, ctx: Context, amount_udsc: int) -> None:
        if amount_udsc:
            held = self.storage.community_pool_udsc.get_or(ctx, 0)
            self.storage.community_pool_udsc.set(ctx, held + amount_udsc)

    # Hooks

    def end_block(self, ctx: Context) -> None:
        if ctx.height % ALLOCATION_BLOCKS == 0:
            self.process_consensus_rewards(ctx)

    def process_consensus_rewards(self, ctx: Context) -> None:
        """Share fees and consensus emission out over the consensus set; without one fees wait.

        Emits: EmissionIssued, RewardsAllocated, CoinSpent, CoinReceived, Transferred, CoinsMinted.
        """
        members = self._staking.list_consensus_powers(ctx)
        last = self.storage.last_allocation_height.expect(ctx)
        self.storage.last_allocation_height.set(ctx, ctx.height)
        if not members:
            return
        self._mint.issue_consensus(ctx, FEE_COLLECTOR_ADDR, ctx.height - last)
        collected = self._bank.get_balance(ctx, FEE_COLLECTOR_ADDR)
        if collected == 0:
            return
        self._bank.transfer(ctx, FEE_COLLECTOR_ADDR, MODULE_ADDR, collected)
        tax = collected * self.storage.params.expect(ctx).community_tax // DECIMALS_18
        self._add_to_pool(ctx, tax)
        parts = split_by_power(collected - tax, [power for _, power in members])
        for (operator_addr, _), part in zip(members, parts, strict=True):
            self._allocate(ctx, operator_addr, part)

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, DistributionParams())
        if self.storage.last_allocation_height.get(ctx) is None:
            self.storage.last_allocation_height.set(ctx, ctx.height)

    @invariant
    def check_account(self, ctx: Context) -> None:
        """The module account holds what is outstanding and what the community has."""
        outstanding = sum(r.outstanding_udsc for _, r in self.storage.rewards.iterate(ctx))
        pool = self.storage.community_pool_udsc.get_or(ctx, 0)
        held = self._bank.get_balance(ctx, MODULE_ADDR)
        if outstanding + pool != held:
            raise InvariantBroken(
                f"distribution: {outstanding} udsc are outstanding and {pool} the community's, but "
                f"{held} are held"
            )

    @invariant
    def check_outstanding(self, ctx: Context) -> None:
        """What is outstanding is what commission, carry and delegations add up to."""
        for operator_addr, rewards in self.storage.rewards.iterate(ctx):
            owed = rewards.commission + rewards.carry
            for delegator, shares in self._staking.list_operator_shares(ctx, operator_addr):
                key = (delegator, operator_addr)
                start = self.storage.starts.get_or(ctx, key, DelegatorStart())
                owed += compute_earned(rewards, start, shares)
            if owed != rewards.outstanding_udsc * SCALE:
                text = encode_operator(operator_addr)
                raise InvariantBroken(f"distribution: rewards of {text} do not add up")
