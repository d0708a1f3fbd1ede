"""A chain with staking in memory and the messages its tests send."""

from __future__ import annotations

import hashlib
from typing import Any

from cosmos.crypto.ed25519 import keys_pb2
from cosmos.staking.v1beta1 import staking_pb2, tx_pb2
from google.protobuf import any_pb2

from node.pallets.accounts.pallet import AccountsPallet
from node.pallets.bank.pallet import BankPallet
from node.pallets.staking.pallet import StakingPallet
from node.runtime.addresses import encode_operator
from node.runtime.coins import build_coin
from tests.pallets.harness import Harness, make_addr, make_text_addr

PERCENT = 10**16
POOLS = {"bonded_tokens_pool": (), "not_bonded_tokens_pool": (), "fee_collector": ()}


class Nodes:
    """Every operator runs a node but `scorer`."""

    def has_node(self, ctx: Any, operator_addr: bytes) -> bool:
        return operator_addr != make_addr("scorer")


def build_pallets() -> tuple[AccountsPallet, BankPallet, StakingPallet]:
    accounts = AccountsPallet(POOLS)
    bank = BankPallet(accounts)
    return accounts, bank, StakingPallet(bank, Nodes())


def make_staking_chain() -> Harness:
    """Make a chain where `val` is an operator with 1 000 udsc and `alice` has 500 udsc."""
    chain = Harness(*build_pallets())
    chain.make_account("val", 5_000)
    chain.make_account("alice", 500)
    chain.run(build_create("val", 1_000))
    return chain


def make_operator_addr(name: str) -> str:
    return encode_operator(make_addr(name))


def build_consensus_key(name: str) -> Any:
    key = keys_pb2.PubKey(key=hashlib.sha256(name.encode()).digest())
    return any_pb2.Any(type_url="/cosmos.crypto.ed25519.PubKey", value=key.SerializeToString())


def build_create(name: str, amount: int, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "description": staking_pb2.Description(moniker=name),
        "commission": staking_pb2.CommissionRates(
            rate=str(10 * PERCENT), max_rate=str(20 * PERCENT), max_change_rate=str(PERCENT)
        ),
        "min_self_delegation": "100",
        "validator_address": make_operator_addr(name),
        "pubkey": build_consensus_key(name),
        "value": build_coin("udsc", amount),
    }
    return tx_pb2.MsgCreateValidator(**{**fields, **changes})


def build_delegate(delegator: str, operator: str, amount: int, denom: str = "udsc") -> Any:
    return tx_pb2.MsgDelegate(
        delegator_address=make_text_addr(delegator),
        validator_address=make_operator_addr(operator),
        amount=build_coin(denom, amount),
    )


def build_undelegate(delegator: str, operator: str, amount: int) -> Any:
    return tx_pb2.MsgUndelegate(
        delegator_address=make_text_addr(delegator),
        validator_address=make_operator_addr(operator),
        amount=build_coin("udsc", amount),
    )


def build_redelegate(delegator: str, source: str, target: str, amount: int) -> Any:
    return tx_pb2.MsgBeginRedelegate(
        delegator_address=make_text_addr(delegator),
        validator_src_address=make_operator_addr(source),
        validator_dst_address=make_operator_addr(target),
        amount=build_coin("udsc", amount),
    )


def skip_time(chain: Harness, seconds: int) -> None:
    """Make the next block come so much later."""
    chain.block_ns = seconds * 10**9
    chain.next_block()
    chain.block_ns = 10**9


def get_stake(chain: Harness, operator: str) -> int:
    stake: int = chain.get_pallet("staking").get_bonded_stake(chain.ctx(), make_addr(operator))
    return stake
