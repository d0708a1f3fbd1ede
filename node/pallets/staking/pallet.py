"""Staking: operators bond coins, others delegate to them, and leaving takes time.

An operator's bonded stake, own and delegated, is its weight as a scoring validator and, if it runs
a node, its consensus power. The consensus set changes at the end of the block in which stake did;
the engine puts that in force two blocks later. Status BONDED says that the stake counts; a jailed
operator is UNBONDING and has no weight in either job. Bonded coins lie in one module account,
coins that unbond in another, paid out when their time is over.

Life cycle of a delegation: bonded -> redelegated (to another operator at once, once at a time) or
unbonding (up to `max_entries` at once) -> paid out, or bonded again when cancelled. What leaves an
operator answers for its infractions until its time is over. An operator without shares is removed;
its consensus key stays its own.
Invariants: the pools hold what operators and unbondings add up to; shares add up.
Source: Cosmos SDK x/staking; DESIGN 3.1; `reference/chain.md` section 4.3.
"""

from __future__ import annotations

from typing import Any

from cosmos.crypto.ed25519 import keys_pb2
from cosmos.staking.v1beta1 import query_pb2, staking_pb2, tx_pb2
from google.protobuf.message import DecodeError

from node.pallets.staking.consensus_set import ConsensusSet
from node.pallets.staking.errors import (
    STAKING_ERRORS,
    CommissionAboveMaximum,
    CommissionAboveOne,
    CommissionBelowMinimum,
    CommissionChangeAboveMaximum,
    CommissionChangedTooSoon,
    CommissionChangeTooLarge,
    CommissionNegative,
    ConsensusKeyExists,
    ConsensusKeyTypeRefused,
    MinSelfDelegationDecreased,
    OperatorExists,
    OperatorsFull,
    RedelegationTargetUnknown,
    RedelegationTooSmall,
    SelfDelegationBelowMinimum,
    SelfRedelegation,
    TransitiveRedelegation,
    UnbondingUnknown,
)
from node.pallets.staking.ledger import BONDED_ADDR, NOT_BONDED_ADDR, StakingBank
from node.pallets.staking.shares import DECIMALS_18, parse_fraction
from node.pallets.staking.types import (
    COMMISSION_CHANGE_SECONDS,
    DESCRIPTION_LIMITS,
    DO_NOT_MODIFY,
    MAX_MATURE_PER_BLOCK,
    MAX_OPERATORS,
    STAKING_EVENTS,
    ConsensusNodes,
    OperatorCreated,
    OperatorEdited,
    RedelegationCompleted,
    RedelegationStarted,
    StakingParams,
    StakingSchema,
    UnbondingCancelled,
    UnbondingCompleted,
    UnbondingStarted,
    build_timestamp,
    get_entry_time_ns,
)
from node.runtime.addresses import (
    compute_consensus_address,
    encode_account,
    encode_operator,
)
from node.runtime.coins import BASE_DENOM, build_coin, parse_amount, parse_coin
from node.runtime.context import Context
from node.runtime.errors import (
    InvalidRequest,
    InvariantBroken,
    ensure,
    refuse,
)
from node.runtime.pallet import call, invariant
from node.runtime.parsing import parse_operator

ED25519_TYPE_URL = "/cosmos.crypto.ed25519.PubKey"


class StakingPallet(ConsensusSet):
    """The staking pallet.

    Args:
        bank: moves coins into and out of the pools, burns what is slashed.
        nodes: which operators run a consensus node.
    """

    name = "staking"
    index = 14
    schema = StakingSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)
    params_messages = (tx_pb2.MsgUpdateParams, tx_pb2.MsgUpdateParamsResponse)
    errors = STAKING_ERRORS
    events = STAKING_EVENTS

    def __init__(self, bank: StakingBank, nodes: ConsensusNodes) -> None:
        super().__init__(bank, nodes)

    # Calls

    @call(
        0,
        tx_pb2.MsgCreateValidator,
        tx_pb2.MsgCreateValidatorResponse,
        signer="validator_address",
    )
    def create_operator(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Register an operator with its first bond.

        Raises: InvalidRequest, InvalidCoins, OperatorExists, OperatorsFull, CommissionNegative,
            CommissionAboveOne, CommissionAboveMaximum, CommissionChangeAboveMaximum,
            CommissionBelowMinimum, ConsensusKeyTypeRefused, ConsensusKeyExists,
            SelfDelegationBelowMinimum, InsufficientFunds.
        Emits: OperatorCreated, Delegated.
        """
        amount = parse_bond(msg.value)
        check_description(msg.description)
        check_commission(msg.commission)
        min_self = parse_amount(msg.min_self_delegation)
        ensure(min_self > 0, InvalidRequest, "minimum self delegation must be a positive integer")
        ensure(amount >= min_self, SelfDelegationBelowMinimum)
        ensure(not self.storage.operators.has(ctx, origin), OperatorExists)
        num_operators = sum(1 for _ in self.storage.operators.keys(ctx))
        ensure(num_operators < MAX_OPERATORS, OperatorsFull)
        rate, min_rate = msg.commission.rate, self.get_params(ctx).min_commission_rate
        ensure(parse_fraction(rate) >= min_rate, CommissionBelowMinimum)
        consensus_addr = parse_consensus_key(msg.pubkey)
        key_owner = self.storage.operators_by_key.get_or(ctx, consensus_addr, origin)
        ensure(key_owner == origin, ConsensusKeyExists)
        operator = staking_pb2.Validator(
            operator_address=encode_operator(origin),
            consensus_pubkey=msg.pubkey,
            status=staking_pb2.BOND_STATUS_BONDED,
            tokens="0",
            delegator_shares="0",
            description=msg.description,
            min_self_delegation=str(min_self),
        )
        operator.commission.commission_rates.CopyFrom(msg.commission)
        operator.commission.update_time.CopyFrom(build_timestamp(ctx.block.time_ns))
        self.set_operator(ctx, origin, operator)
        self.storage.operators_by_key.set(ctx, consensus_addr, origin)
        self._bank.transfer(ctx, origin, BONDED_ADDR, amount)
        self.bond(ctx, origin, origin, amount)
        for listener in self._listeners:
            listener.on_operator_created(ctx, origin, consensus_addr)
        ctx.emit(OperatorCreated(operator.operator_address, f"{amount}{BASE_DENOM}"))

    @call(1, tx_pb2.MsgEditValidator, tx_pb2.MsgEditValidatorResponse, signer="validator_address")
    def edit_operator(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Change description, commission or minimum self delegation.

        Raises: OperatorUnknown, InvalidRequest, CommissionNegative, CommissionAboveMaximum,
            CommissionBelowMinimum, CommissionChangeTooLarge, CommissionChangedTooSoon,
            MinSelfDelegationDecreased, SelfDelegationBelowMinimum.
        Emits: OperatorEdited.
        """
        operator = self.get_operator_or_refuse(ctx, origin)
        for field_name in DESCRIPTION_LIMITS:
            value = getattr(msg.description, field_name)
            if value != DO_NOT_MODIFY:
                setattr(operator.description, field_name, value)
        check_description(operator.description)
        if msg.commission_rate:
            self._change_commission(ctx, operator, parse_fraction(msg.commission_rate))
        if msg.min_self_delegation:
            min_self = parse_amount(msg.min_self_delegation)
            before = int(operator.min_self_delegation)
            ensure(min_self > before, MinSelfDelegationDecreased)
            ensure(min_self <= self.get_own_tokens(ctx, origin), SelfDelegationBelowMinimum)
            operator.min_self_delegation = str(min_self)
        self.set_operator(ctx, origin, operator)
        rate = operator.commission.commission_rates.rate
        ctx.emit(OperatorEdited(rate, operator.min_self_delegation))

    @call(2, tx_pb2.MsgDelegate, tx_pb2.MsgDelegateResponse, signer="delegator_address")
    def delegate(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Bond coins to an operator.

        Raises: InvalidAddress, InvalidCoins, InvalidRequest, OperatorUnknown, ExchangeRateZero,
            InsufficientFunds.
        Emits: Delegated.
        """
        operator_addr = parse_operator(msg.validator_address)
        amount = parse_bond(msg.amount)
        self.get_operator_or_refuse(ctx, operator_addr)
        self._bank.transfer(ctx, origin, BONDED_ADDR, amount)
        self.bond(ctx, origin, operator_addr, amount)

    @call(
        3, tx_pb2.MsgBeginRedelegate, tx_pb2.MsgBeginRedelegateResponse, signer="delegator_address"
    )
    def redelegate(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Move bonded coins to another operator at once.

        Raises: InvalidAddress, InvalidCoins, InvalidRequest, SelfRedelegation,
            RedelegationTargetUnknown, TransitiveRedelegation, OperatorUnknown, DelegationUnknown,
            SharesInsufficient, SelfDelegationBelowMinimum, RedelegationTooSmall,
            RedelegationEntriesFull, ExchangeRateZero.
        Emits: RedelegationStarted, Delegated.
        """
        source = parse_operator(msg.validator_src_address)
        target = parse_operator(msg.validator_dst_address)
        amount = parse_bond(msg.amount)
        ensure(source != target, SelfRedelegation)
        ensure(self.storage.operators.has(ctx, target), RedelegationTargetUnknown)
        for _ in self.storage.redelegations_by_target.iterate(ctx, (origin, source)):
            refuse(TransitiveRedelegation)
        moved = self._unbond(ctx, origin, source, amount)
        ensure(moved > 0, RedelegationTooSmall)
        shares = self.bond(ctx, origin, target, moved)
        completion_ns = self.compute_completion_ns(ctx)
        self.add_redelegation(ctx, (origin, source, target), moved, shares, completion_ns)
        completion = build_timestamp(completion_ns)
        ctx.emit(
            RedelegationStarted(
                source_validator=msg.validator_src_address,
                destination_validator=msg.validator_dst_address,
                delegator=msg.delegator_address,
                amount=f"{moved}{BASE_DENOM}",
                completion_time=completion.ToJsonString(),
            )
        )
        return tx_pb2.MsgBeginRedelegateResponse(completion_time=completion)

    @call(4, tx_pb2.MsgUndelegate, tx_pb2.MsgUndelegateResponse, signer="delegator_address")
    def undelegate(self, ctx: Context, origin: bytes, msg: Any) -> Any:
        """Start to unbond coins; they are paid out after the unbonding time.

        Raises: InvalidAddress, InvalidCoins, InvalidRequest, OperatorUnknown, DelegationUnknown,
            SharesInsufficient, UnbondingEntriesFull, SelfDelegationBelowMinimum.
        Emits: UnbondingStarted.
        """
        operator_addr = parse_operator(msg.validator_address)
        amount = parse_bond(msg.amount)
        returned = self._unbond(ctx, origin, operator_addr, amount)
        self._bank.transfer(ctx, BONDED_ADDR, NOT_BONDED_ADDR, returned)
        completion_ns = self.compute_completion_ns(ctx)
        self.add_unbonding(ctx, origin, operator_addr, returned, completion_ns)
        completion = build_timestamp(completion_ns)
        ctx.emit(
            UnbondingStarted(
                validator=encode_operator(operator_addr),
                delegator=encode_account(origin),
                amount=f"{returned}{BASE_DENOM}",
                completion_time=completion.ToJsonString(),
            )
        )
        return tx_pb2.MsgUndelegateResponse(
            completion_time=completion, amount=build_coin(BASE_DENOM, returned)
        )

    @call(
        5,
        tx_pb2.MsgCancelUnbondingDelegation,
        tx_pb2.MsgCancelUnbondingDelegationResponse,
        signer="delegator_address",
    )
    def cancel_unbonding(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Bond coins again that are unbonding.

        Raises: InvalidAddress, InvalidCoins, InvalidRequest, OperatorUnknown, UnbondingUnknown,
            ExchangeRateZero.
        Emits: Delegated, UnbondingCancelled.
        """
        operator_addr = parse_operator(msg.validator_address)
        amount = parse_bond(msg.amount)
        self.get_operator_or_refuse(ctx, operator_addr)
        unbonding = self.storage.unbondings.get(ctx, (origin, operator_addr))
        if unbonding is None:
            raise UnbondingUnknown()
        matching = [
            index
            for index, entry in enumerate(unbonding.entries)
            if entry.creation_height == msg.creation_height
        ]
        ensure(bool(matching), UnbondingUnknown, f"block height {msg.creation_height}")
        entry = unbonding.entries[matching[0]]
        left = int(entry.balance) - amount
        ensure(left >= 0, InvalidRequest, "amount is greater than the unbonding delegation entry")
        entry.balance = str(left)
        if left == 0:
            del unbonding.entries[matching[0]]
        self.set_unbonding(ctx, origin, operator_addr, unbonding)
        self._bank.transfer(ctx, NOT_BONDED_ADDR, BONDED_ADDR, amount)
        self.bond(ctx, origin, operator_addr, amount)
        ctx.emit(
            UnbondingCancelled(
                validator=msg.validator_address,
                delegator=msg.delegator_address,
                amount=f"{amount}{BASE_DENOM}",
                creation_height=msg.creation_height,
            )
        )

    # Steps of the calls

    def _change_commission(self, ctx: Context, operator: Any, rate: int) -> None:
        rates = operator.commission.commission_rates
        changed_seconds = operator.commission.update_time.seconds
        is_late_enough = ctx.block.time_seconds - changed_seconds >= COMMISSION_CHANGE_SECONDS
        ensure(is_late_enough, CommissionChangedTooSoon)
        ensure(rate >= 0, CommissionNegative)
        ensure(rate <= int(rates.max_rate), CommissionAboveMaximum)
        ensure(rate >= self.get_params(ctx).min_commission_rate, CommissionBelowMinimum)
        is_small = rate - int(rates.rate) <= int(rates.max_change_rate)
        ensure(is_small, CommissionChangeTooLarge)
        rates.rate = str(rate)
        operator.commission.update_time.CopyFrom(build_timestamp(ctx.block.time_ns))

    def _unbond(self, ctx: Context, delegator: bytes, operator_addr: bytes, amount: int) -> int:
        """Take shares worth `amount` away; returns the coins they are worth."""
        returned = self.unbond(ctx, delegator, operator_addr, amount)
        operator = self.storage.operators.get(ctx, operator_addr)
        if operator is not None and delegator == operator_addr:
            own_tokens = self.get_own_tokens(ctx, operator_addr)
            is_enough = own_tokens >= int(operator.min_self_delegation)
            ensure(is_enough, SelfDelegationBelowMinimum)
        return returned

    def get_consensus_addr(self, operator: Any) -> bytes:
        """Get the consensus address of an operator's key."""
        return parse_consensus_key(operator.consensus_pubkey)

    def set_jailed(self, ctx: Context, operator_addr: bytes, is_jailed: bool) -> None:
        """Take an operator's weight away, or give it back. Nothing happens if it is gone."""
        operator = self.storage.operators.get(ctx, operator_addr)
        if operator is None or operator.jailed == is_jailed:
            return
        operator.jailed = is_jailed
        operator.status = (
            staking_pb2.BOND_STATUS_UNBONDING if is_jailed else staking_pb2.BOND_STATUS_BONDED
        )
        operator.unbonding_height = ctx.height if is_jailed else 0
        if is_jailed:
            completion_ns = self.compute_completion_ns(ctx)
            operator.unbonding_time.CopyFrom(build_timestamp(completion_ns))
        else:
            operator.ClearField("unbonding_time")
        self.set_operator(ctx, operator_addr, operator)

    def on_params_change(self, ctx: Context, before: Any, after: Any) -> None:
        """Look at the consensus set again: it may have another size."""
        self.note_set_change(ctx)

    # Hooks

    def end_block(self, ctx: Context) -> None:
        self.process_mature_unbondings(ctx)
        self.process_mature_redelegations(ctx)

    def process_mature_unbondings(self, ctx: Context) -> None:
        """Pay out what finished unbonding, oldest first, a bounded number a block.

        Emits: UnbondingCompleted.
        """
        mature: list[tuple[int, bytes, bytes]] = []
        for key in self.storage.unbonding_queue.iterate(ctx):
            if key[0] > ctx.block.time_ns or len(mature) == MAX_MATURE_PER_BLOCK:
                break
            mature.append(key)
        for key in mature:
            self.storage.unbonding_queue.remove(ctx, key)
            self._pay_out(ctx, key[1], key[2])

    def _pay_out(self, ctx: Context, delegator: bytes, operator_addr: bytes) -> None:
        unbonding = self.storage.unbondings.get(ctx, (delegator, operator_addr))
        if unbonding is None:
            return
        now_ns = ctx.block.time_ns
        due = [entry for entry in unbonding.entries if get_entry_time_ns(entry) <= now_ns]
        amount = sum(int(entry.balance) for entry in due)
        later = [entry for entry in unbonding.entries if get_entry_time_ns(entry) > now_ns]
        left = staking_pb2.UnbondingDelegation(
            delegator_address=unbonding.delegator_address,
            validator_address=unbonding.validator_address,
            entries=later,
        )
        self.set_unbonding(ctx, delegator, operator_addr, left)
        if amount:
            self._bank.transfer(ctx, NOT_BONDED_ADDR, delegator, amount)
            ctx.emit(
                UnbondingCompleted(
                    validator=unbonding.validator_address,
                    delegator=unbonding.delegator_address,
                    amount=f"{amount}{BASE_DENOM}",
                )
            )

    def process_mature_redelegations(self, ctx: Context) -> None:
        """Forget redelegations that no longer answer for the operator they came from.

        Emits: RedelegationCompleted.
        """
        mature: list[tuple[int, tuple[bytes, bytes, bytes]]] = []
        for queued in self.storage.redelegation_queue.iterate(ctx):
            if queued[0] > ctx.block.time_ns or len(mature) == MAX_MATURE_PER_BLOCK:
                break
            mature.append(queued)
        for queued in mature:
            self.storage.redelegation_queue.remove(ctx, queued)
            self._complete_redelegation(ctx, queued[1])

    def _complete_redelegation(self, ctx: Context, key: tuple[bytes, bytes, bytes]) -> None:
        redelegation = self.storage.redelegations.get(ctx, key)
        if redelegation is None:
            return
        now_ns = ctx.block.time_ns
        later = [e for e in redelegation.entries if get_entry_time_ns(e) > now_ns]
        if len(later) == len(redelegation.entries):
            return
        del redelegation.entries[:]
        redelegation.entries.extend(later)
        if later:
            self.storage.redelegations.set(ctx, key, redelegation)
        else:
            self.drop_redelegation(ctx, key)
        ctx.emit(
            RedelegationCompleted(
                redelegation.validator_src_address,
                redelegation.validator_dst_address,
                redelegation.delegator_address,
            )
        )

    # Genesis and invariants

    def process_genesis(self, ctx: Context) -> None:
        if self.storage.params.get(ctx) is None:
            self.storage.params.set(ctx, StakingParams())
        if self.storage.has_set_changed.get(ctx) is None:
            self.storage.has_set_changed.set(ctx, 1)

    @invariant
    def check_pools(self, ctx: Context) -> None:
        """The pools hold what operators and unbondings add up to."""
        bonded = sum(int(operator.tokens) for _, operator in self.storage.operators.iterate(ctx))
        unbonding = sum(
            int(entry.balance)
            for _, delegation in self.storage.unbondings.iterate(ctx)
            for entry in delegation.entries
        )
        held = self._bank.get_balance(ctx, BONDED_ADDR)
        held_unbonding = self._bank.get_balance(ctx, NOT_BONDED_ADDR)
        if (bonded, unbonding) != (held, held_unbonding):
            raise InvariantBroken(
                f"staking: bonded {bonded} and unbonding {unbonding} udsc, but the pools hold "
                f"{held} and {held_unbonding} udsc"
            )

    @invariant
    def check_shares(self, ctx: Context) -> None:
        """The shares of an operator's delegations add up to its total."""
        sums: dict[bytes, int] = {}
        for (_, operator_addr), delegation in self.storage.delegations.iterate(ctx):
            sums[operator_addr] = sums.get(operator_addr, 0) + int(delegation.shares)
        for operator_addr, operator in self.storage.operators.iterate(ctx):
            if sums.pop(operator_addr, 0) != int(operator.delegator_shares):
                text = operator.operator_address
                raise InvariantBroken(f"staking: shares of {text} do not add up")
        if sums:
            raise InvariantBroken("staking: a delegation names an operator that is not there")


def parse_bond(coin: Any) -> int:
    """Parse an amount of the bond denomination.

    Raises: InvalidCoins, InvalidRequest.
    """
    denom, amount = parse_coin(coin)
    ensure(
        denom == BASE_DENOM,
        InvalidRequest,
        f"invalid coin denomination: got {denom}, expected {BASE_DENOM}",
    )
    return amount


def parse_consensus_key(packed: Any) -> bytes:
    """Get the consensus address of a packed ed25519 key.

    Raises: ConsensusKeyTypeRefused, InvalidRequest.
    """
    got = f"got: {packed.type_url}, expected: {ED25519_TYPE_URL}"
    ensure(packed.type_url == ED25519_TYPE_URL, ConsensusKeyTypeRefused, got)
    try:
        key: bytes = keys_pb2.PubKey.FromString(packed.value).key
    except DecodeError as error:
        raise InvalidRequest("consensus public key does not parse") from error
    ensure(len(key) == 32, InvalidRequest, f"consensus public key has {len(key)} bytes")
    return compute_consensus_address(key)


def check_description(description: Any) -> None:
    """Check that no field is too long and the moniker is there.

    Raises: InvalidRequest.
    """
    ensure(bool(description.moniker), InvalidRequest, "empty description")
    for field_name, limit in DESCRIPTION_LIMITS.items():
        length = len(getattr(description, field_name))
        text = f"invalid {field_name} length; got: {length}, max: {limit}"
        ensure(length <= limit, InvalidRequest, text)


def check_commission(rates: Any) -> None:
    """Check rate <= max rate <= 1 and max change <= max rate.

    Raises: InvalidRequest, CommissionNegative, CommissionAboveOne, CommissionAboveMaximum,
        CommissionChangeAboveMaximum.
    """
    rate = parse_fraction(rates.rate)
    max_rate = parse_fraction(rates.max_rate)
    max_change = parse_fraction(rates.max_change_rate)
    ensure(min(rate, max_rate, max_change) >= 0, CommissionNegative)
    ensure(max_rate <= DECIMALS_18, CommissionAboveOne)
    ensure(rate <= max_rate, CommissionAboveMaximum)
    ensure(max_change <= max_rate, CommissionChangeAboveMaximum)
