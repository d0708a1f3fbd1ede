"""What can be asked of staking, in the shape Cosmos clients expect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmos.crypto.ed25519 import keys_pb2
from cosmos.staking.v1beta1 import query_pb2, staking_pb2

from node.pallets.accounts.pallet import parse_query_addr
from node.pallets.bank.types import BalancesRead
from node.pallets.staking.shares import compute_tokens
from node.pallets.staking.types import BONDED_POOL, NOT_BONDED_POOL, StakingSchema
from node.runtime.addresses import (
    ADDRESS_BYTES,
    AddressError,
    compute_consensus_address,
    compute_module_address,
    decode_operator,
)
from node.runtime.coins import BASE_DENOM, build_coin
from node.runtime.context import Context
from node.runtime.errors import QueryInvalid, QueryNotFound
from node.runtime.paging import paginate, paginate_keys
from node.runtime.pallet import Pallet, query

STATUS_NAMES = tuple(staking_pb2.BondStatus.keys())


def parse_operator(text: str) -> bytes:
    """Decode the operator address of a query.

    Raises: QueryInvalid.
    """
    if not text:
        raise QueryInvalid("validator address cannot be empty")
    try:
        return decode_operator(text)
    except AddressError as error:
        raise QueryInvalid(f"invalid validator address: {error}") from error


class StakingQueries(Pallet[StakingSchema]):
    """Read-only half of the staking pallet."""

    _bank: BalancesRead

    # Capabilities

    def get_bonded_stake(self, ctx: Context, operator_addr: bytes) -> int:
        """Get the bonded stake of the operator an account owns in udsc, 0 if it has none.

        A jailed operator's stake counts for nothing.
        """
        operator = self.storage.operators.get(ctx, operator_addr)
        return 0 if operator is None or operator.jailed else int(operator.tokens)

    def get_operator(self, ctx: Context, operator_addr: bytes) -> Any | None:
        """Get the `Validator` an account owns, or None."""
        return self.storage.operators.get(ctx, operator_addr)

    def get_operator_by_key(self, ctx: Context, consensus_addr: bytes) -> bytes | None:
        """Get who registered a consensus key; the operator itself may be gone."""
        return self.storage.operators_by_key.get(ctx, consensus_addr)

    def get_node_key(self, ctx: Context, consensus_addr: bytes) -> tuple[bytes, bytes] | None:
        """Get operator and ed25519 key of a consensus address; None once the operator is gone."""
        if len(consensus_addr) != ADDRESS_BYTES:
            return None
        operator_addr = self.get_operator_by_key(ctx, consensus_addr)
        operator = None if operator_addr is None else self.get_operator(ctx, operator_addr)
        if operator_addr is None or operator is None:
            return None
        key: bytes = keys_pb2.PubKey.FromString(operator.consensus_pubkey.value).key
        return (operator_addr, key) if compute_consensus_address(key) == consensus_addr else None

    def iterate_operators(self, ctx: Context) -> Iterator[tuple[bytes, Any]]:
        """Iterate every operator by address."""
        return self.storage.operators.iterate(ctx)

    def get_shares(self, ctx: Context, delegator: bytes, operator_addr: bytes) -> int:
        """Get the shares of a delegation, 0 without one."""
        delegation = self.storage.delegations.get(ctx, (delegator, operator_addr))
        return 0 if delegation is None else int(delegation.shares)

    def list_delegated_operators(self, ctx: Context, delegator: bytes) -> list[bytes]:
        """List the operators an account has delegated to, by address."""
        return [key[1] for key in self.storage.delegations.keys(ctx, (delegator,))]

    def list_operator_shares(self, ctx: Context, operator_addr: bytes) -> list[tuple[bytes, int]]:
        """List delegator and shares of an operator's delegations; for invariants."""
        found = self.storage.delegations_by_operator.iterate(ctx, (operator_addr,))
        return [(who, self.get_shares(ctx, who, operator_addr)) for _, who in found]

    # Steps of the queries

    def _get_operator(self, ctx: Context, text: str) -> Any:
        operator = self.storage.operators.get(ctx, parse_operator(text))
        if operator is None:
            raise QueryNotFound(f"validator {text} not found")
        return operator

    def _build_response(self, ctx: Context, delegation: Any) -> Any:
        operator = self._get_operator(ctx, delegation.validator_address)
        tokens = compute_tokens(
            int(delegation.shares), int(operator.tokens), int(operator.delegator_shares)
        )
        return staking_pb2.DelegationResponse(
            delegation=delegation, balance=build_coin(BASE_DENOM, tokens)
        )

    @query("Validators")
    def query_validators(self, ctx: Context, request: Any) -> Any:
        """Answer operators, all or by status."""
        if request.status and request.status not in STATUS_NAMES:
            raise QueryInvalid(f"invalid validator status {request.status}")
        wanted = staking_pb2.BondStatus.Value(request.status) if request.status else None
        entries, page = paginate(
            ctx,
            self.storage.operators,
            request.pagination,
            keep=lambda _, operator: wanted is None or operator.status == wanted,
        )
        operators = [operator for _, operator in entries]
        return query_pb2.QueryValidatorsResponse(validators=operators, pagination=page)

    @query("Validator")
    def query_validator(self, ctx: Context, request: Any) -> Any:
        """Answer one operator."""
        operator = self._get_operator(ctx, request.validator_addr)
        return query_pb2.QueryValidatorResponse(validator=operator)

    @query("Delegation")
    def query_delegation(self, ctx: Context, request: Any) -> Any:
        """Answer one delegation."""
        key = (parse_query_addr(request.delegator_addr), parse_operator(request.validator_addr))
        delegation = self.storage.delegations.get(ctx, key)
        if delegation is None:
            raise QueryNotFound(
                f"delegation with delegator {request.delegator_addr} not found for validator "
                f"{request.validator_addr}"
            )
        response = self._build_response(ctx, delegation)
        return query_pb2.QueryDelegationResponse(delegation_response=response)

    @query("DelegatorDelegations")
    def query_delegator_delegations(self, ctx: Context, request: Any) -> Any:
        """Answer what an account has delegated."""
        scope = (parse_query_addr(request.delegator_addr),)
        entries, page = paginate(ctx, self.storage.delegations, request.pagination, scope)
        responses = [self._build_response(ctx, delegation) for _, delegation in entries]
        return query_pb2.QueryDelegatorDelegationsResponse(
            delegation_responses=responses, pagination=page
        )

    @query("ValidatorDelegations")
    def query_validator_delegations(self, ctx: Context, request: Any) -> Any:
        """Answer what an operator was delegated."""
        scope = (parse_operator(request.validator_addr),)
        index = self.storage.delegations_by_operator
        keys, page = paginate_keys(ctx, index, request.pagination, scope)
        delegations = [self.storage.delegations.expect(ctx, (who, op)) for op, who in keys]
        responses = [self._build_response(ctx, delegation) for delegation in delegations]
        return query_pb2.QueryValidatorDelegationsResponse(
            delegation_responses=responses, pagination=page
        )

    @query("UnbondingDelegation")
    def query_unbonding_delegation(self, ctx: Context, request: Any) -> Any:
        """Answer what an account unbonds from an operator."""
        key = (parse_query_addr(request.delegator_addr), parse_operator(request.validator_addr))
        unbonding = self.storage.unbondings.get(ctx, key)
        if unbonding is None:
            raise QueryNotFound(
                f"unbonding delegation with delegator {request.delegator_addr} not found for "
                f"validator {request.validator_addr}"
            )
        return query_pb2.QueryUnbondingDelegationResponse(unbond=unbonding)

    @query("DelegatorUnbondingDelegations")
    def query_delegator_unbondings(self, ctx: Context, request: Any) -> Any:
        """Answer everything an account unbonds."""
        scope = (parse_query_addr(request.delegator_addr),)
        entries, page = paginate(ctx, self.storage.unbondings, request.pagination, scope)
        unbondings = [unbonding for _, unbonding in entries]
        return query_pb2.QueryDelegatorUnbondingDelegationsResponse(
            unbonding_responses=unbondings, pagination=page
        )

    @query("ValidatorUnbondingDelegations")
    def query_validator_unbondings(self, ctx: Context, request: Any) -> Any:
        """Answer everything that unbonds from an operator."""
        scope = (parse_operator(request.validator_addr),)
        index = self.storage.unbondings_by_operator
        keys, page = paginate_keys(ctx, index, request.pagination, scope)
        unbondings = [self.storage.unbondings.expect(ctx, (who, op)) for op, who in keys]
        return query_pb2.QueryValidatorUnbondingDelegationsResponse(
            unbonding_responses=unbondings, pagination=page
        )

    @query("Redelegations")
    def query_redelegations(self, ctx: Context, request: Any) -> Any:
        """Answer what an account redelegates, all or from or between operators."""
        scope = (parse_query_addr(request.delegator_addr),)
        source, target = request.src_validator_addr, request.dst_validator_addr
        entries, page = paginate(
            ctx,
            self.storage.redelegations,
            request.pagination,
            scope,
            keep=lambda _, found: (
                source in ("", found.validator_src_address)
                and target in ("", found.validator_dst_address)
            ),
        )
        responses = [self._build_redelegation(ctx, redelegation) for _, redelegation in entries]
        return query_pb2.QueryRedelegationsResponse(
            redelegation_responses=responses, pagination=page
        )

    def _build_redelegation(self, ctx: Context, redelegation: Any) -> Any:
        target = parse_operator(redelegation.validator_dst_address)
        operator = self.storage.operators.get(ctx, target)
        response = staking_pb2.RedelegationResponse(redelegation=redelegation)
        for entry in redelegation.entries:
            tokens = 0
            if operator is not None:
                total = int(operator.delegator_shares)
                tokens = compute_tokens(int(entry.shares_dst), int(operator.tokens), total)
            response.entries.add(redelegation_entry=entry, balance=str(tokens))
        return response

    @query("DelegatorValidator")
    def query_delegator_validator(self, ctx: Context, request: Any) -> Any:
        """Answer one operator an account has delegated to."""
        key = (parse_query_addr(request.delegator_addr), parse_operator(request.validator_addr))
        if not self.storage.delegations.has(ctx, key):
            raise QueryNotFound("no delegation for (address, validator) tuple")
        operator = self.storage.operators.expect(ctx, key[1])
        return query_pb2.QueryDelegatorValidatorResponse(validator=operator)

    @query("DelegatorValidators")
    def query_delegator_validators(self, ctx: Context, request: Any) -> Any:
        """Answer the operators an account has delegated to."""
        scope = (parse_query_addr(request.delegator_addr),)
        entries, page = paginate(ctx, self.storage.delegations, request.pagination, scope)
        operators = [self.storage.operators.expect(ctx, op) for (_, op), _ in entries]
        return query_pb2.QueryDelegatorValidatorsResponse(validators=operators, pagination=page)

    @query("Pool")
    def query_pool(self, ctx: Context, request: Any) -> Any:
        """Answer how much is bonded and how much is unbonding."""
        bonded = self._bank.get_balance(ctx, compute_module_address(BONDED_POOL))
        unbonding = self._bank.get_balance(ctx, compute_module_address(NOT_BONDED_POOL))
        pool = staking_pb2.Pool(bonded_tokens=str(bonded), not_bonded_tokens=str(unbonding))
        return query_pb2.QueryPoolResponse(pool=pool)

    @query("Params")
    def query_params(self, ctx: Context, request: Any) -> Any:
        """Answer the parameters."""
        params = self.storage.params.expect(ctx).to_message()
        return query_pb2.QueryParamsResponse(params=params)
