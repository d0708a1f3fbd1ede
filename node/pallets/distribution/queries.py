"""What can be asked of distribution, in the shape Cosmos clients expect."""

from __future__ import annotations

from typing import Any

from cosmos.base.v1beta1 import coin_pb2
from cosmos.distribution.v1beta1 import distribution_pb2, query_pb2

from node.pallets.accounts.pallet import parse_query_addr
from node.pallets.distribution.rewards import (
    SCALE,
    DelegatorStart,
    OperatorRewards,
    compute_earned,
    to_decimal_text,
)
from node.pallets.distribution.types import DistributionSchema
from node.pallets.staking.queries import parse_operator
from node.pallets.staking.types import OperatorsRead
from node.runtime.addresses import encode_account, encode_operator
from node.runtime.coins import BASE_DENOM
from node.runtime.context import Context
from node.runtime.errors import QueryNotFound
from node.runtime.pallet import Pallet, query


def build_decimal_coins(numerator: int) -> list[Any]:
    """Build the `DecCoin`s of a numerator; none for nothing."""
    text = to_decimal_text(numerator)
    return [] if text == "0" else [coin_pb2.DecCoin(denom=BASE_DENOM, amount=text)]


class DistributionQueries(Pallet[DistributionSchema]):
    """Read-only half of the distribution pallet."""

    _staking: OperatorsRead

    def get_rewards(self, ctx: Context, operator_addr: bytes) -> OperatorRewards:
        """Get what is held for an operator and its delegators."""
        return self.storage.rewards.get_or(ctx, operator_addr, OperatorRewards())

    def get_withdraw_addr(self, ctx: Context, delegator: bytes) -> bytes:
        """Get the account that gets the rewards of an account."""
        return self.storage.withdraw_addrs.get_or(ctx, delegator, delegator)

    def get_earned(self, ctx: Context, delegator: bytes, operator_addr: bytes) -> int:
        """Get the numerator a delegation has earned."""
        start = self.storage.starts.get_or(ctx, (delegator, operator_addr), DelegatorStart())
        shares = self._staking.get_shares(ctx, delegator, operator_addr)
        return compute_earned(self.get_rewards(ctx, operator_addr), start, shares)

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        params = self.storage.params.expect(ctx).to_message()
        return query_pb2.QueryParamsResponse(params=params)

    @query("ValidatorDistributionInfo")
    def query_operator_info(self, ctx: Context, request: Any) -> Any:
        """Answer commission and own rewards of an operator."""
        operator_addr = self._parse_known_operator(ctx, request.validator_address)
        earned = self.get_earned(ctx, operator_addr, operator_addr)
        return query_pb2.QueryValidatorDistributionInfoResponse(
            operator_address=encode_account(operator_addr),
            self_bond_rewards=build_decimal_coins(earned),
            commission=build_decimal_coins(self.get_rewards(ctx, operator_addr).commission),
        )

    @query("ValidatorOutstandingRewards")
    def query_outstanding(self, ctx: Context, request: Any) -> Any:
        """Answer what is held for an operator and its delegators."""
        operator_addr = self._parse_known_operator(ctx, request.validator_address)
        held = self.get_rewards(ctx, operator_addr).outstanding_udsc
        rewards = distribution_pb2.ValidatorOutstandingRewards(
            rewards=build_decimal_coins(held * SCALE)
        )
        return query_pb2.QueryValidatorOutstandingRewardsResponse(rewards=rewards)

    @query("ValidatorCommission")
    def query_commission(self, ctx: Context, request: Any) -> Any:
        """Answer the commission an operator has yet to withdraw."""
        operator_addr = self._parse_known_operator(ctx, request.validator_address)
        numerator = self.get_rewards(ctx, operator_addr).commission
        commission = distribution_pb2.ValidatorAccumulatedCommission(
            commission=build_decimal_coins(numerator)
        )
        return query_pb2.QueryValidatorCommissionResponse(commission=commission)

    @query("ValidatorSlashes")
    def query_slashes(self, ctx: Context, request: Any) -> Any:
        """Answer no entries: shares of rewards do not change with a slash."""
        self._parse_known_operator(ctx, request.validator_address)
        return query_pb2.QueryValidatorSlashesResponse()

    @query("DelegationRewards")
    def query_delegation_rewards(self, ctx: Context, request: Any) -> Any:
        """Answer what a delegation has earned."""
        delegator = parse_query_addr(request.delegator_address)
        operator_addr = self._parse_known_operator(ctx, request.validator_address)
        if not self._staking.get_shares(ctx, delegator, operator_addr):
            raise QueryNotFound("delegation does not exist")
        earned = self.get_earned(ctx, delegator, operator_addr)
        return query_pb2.QueryDelegationRewardsResponse(rewards=build_decimal_coins(earned))

    @query("DelegationTotalRewards")
    def query_total_rewards(self, ctx: Context, request: Any) -> Any:
        """Answer what all delegations of an account have earned."""
        delegator = parse_query_addr(request.delegator_address)
        response = query_pb2.QueryDelegationTotalRewardsResponse()
        total = 0
        for operator_addr in self._staking.list_delegated_operators(ctx, delegator):
            earned = self.get_earned(ctx, delegator, operator_addr)
            total += int(to_decimal_text(earned))
            response.rewards.add(
                validator_address=encode_operator(operator_addr),
                reward=build_decimal_coins(earned),
            )
        if total:
            response.total.add(denom=BASE_DENOM, amount=str(total))
        return response

    @query("DelegatorValidators")
    def query_delegator_operators(self, ctx: Context, request: Any) -> Any:
        """Answer the operators an account has delegated to."""
        delegator = parse_query_addr(request.delegator_address)
        operators = self._staking.list_delegated_operators(ctx, delegator)
        return query_pb2.QueryDelegatorValidatorsResponse(
            validators=[encode_operator(operator_addr) for operator_addr in operators]
        )

    @query("DelegatorWithdrawAddress")
    def query_withdraw_address(self, ctx: Context, request: Any) -> Any:
        """Answer the account that gets the rewards of an account."""
        recipient = self.get_withdraw_addr(ctx, parse_query_addr(request.delegator_address))
        return query_pb2.QueryDelegatorWithdrawAddressResponse(
            withdraw_address=encode_account(recipient)
        )

    @query("CommunityPool")
    def query_community_pool(self, ctx: Context, request: Any) -> Any:
        """Answer what the community has."""
        held = self.storage.community_pool_udsc.get_or(ctx, 0)
        return query_pb2.QueryCommunityPoolResponse(pool=build_decimal_coins(held * SCALE))

    def _parse_known_operator(self, ctx: Context, text: str) -> bytes:
        operator_addr = parse_operator(text)
        is_known = self._staking.get_operator(ctx, operator_addr) is not None
        if not is_known and not self.storage.rewards.has(ctx, operator_addr):
            raise QueryNotFound(f"validator does not exist: {text}")
        return operator_addr
