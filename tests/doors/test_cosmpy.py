"""cosmpy, unchanged, against a node with its doors as processes."""

import time
from datetime import timedelta

import grpc
import pytest
from cosmpy.aerial.client import LedgerClient, NetworkConfig
from cosmpy.aerial.client.bank import create_bank_send_msg
from cosmpy.aerial.client.staking import ValidatorStatus
from cosmpy.aerial.client.utils import prepare_and_broadcast_basic_transaction
from cosmpy.aerial.exceptions import (
    BroadcastError,
    InsufficientFeesError,
    NotFoundError,
    OutOfGasError,
)
from cosmpy.aerial.tx import SigningCfg, Transaction, TxFee
from cosmpy.aerial.wallet import LocalWallet
from cosmpy.crypto.address import Address
from cosmpy.crypto.keypairs import PrivateKey

from genesis.devnet import get_account
from node.runtime.addresses import encode_operator
from tests.support.devnet_node import DevnetNode

DENOM = "udsc"
FAST = {"timeout": timedelta(seconds=30), "poll_period": timedelta(seconds=0.1)}


def build_client(node: DevnetNode, gas_price: float = 0.01) -> LedgerClient:
    return LedgerClient(
        NetworkConfig(
            chain_id=node.chain_id,
            url=f"grpc+http://127.0.0.1:{node.grpc_port}",
            fee_minimum_gas_price=gas_price,
            fee_denomination=DENOM,
            staking_denomination=DENOM,
        )
    )


@pytest.fixture
def client(devnet_node: DevnetNode) -> LedgerClient:
    return build_client(devnet_node)


@pytest.fixture
def faucet(devnet_node: DevnetNode) -> LocalWallet:
    return devnet_node.build_wallet("faucet")


@pytest.fixture
def wallet(client: LedgerClient, faucet: LocalWallet) -> LocalWallet:
    """A fresh account with 50 DSC."""
    fresh = LocalWallet(PrivateKey(), prefix="descent")
    client.send_tokens(fresh.address(), 50_000_000, DENOM, faucet).wait_to_complete(**FAST)
    return fresh


def build_send(client: LedgerClient, sender: LocalWallet, amount: int = 1) -> Transaction:
    tx = Transaction()
    tx.add_message(create_bank_send_msg(sender.address(), sender.address(), amount, DENOM))
    return tx


def test_send_tokens_and_wait(client: LedgerClient, faucet: LocalWallet) -> None:
    receiver = LocalWallet(PrivateKey(), prefix="descent").address()
    before = client.query_bank_balance(faucet.address(), DENOM)
    assert client.query_bank_balance(receiver, DENOM) == 0
    submitted = client.send_tokens(receiver, 1_234_567, DENOM, faucet)
    with pytest.raises(NotFoundError):
        client.query_tx("00" * 32)
    submitted.wait_to_complete(**FAST)
    assert client.query_bank_balance(receiver, DENOM) == 1_234_567
    assert [(int(c.amount), c.denom) for c in client.query_bank_all_balances(receiver)] == [
        (1_234_567, DENOM)
    ]
    assert client.query_bank_balance(faucet.address(), DENOM) < before - 1_234_567


def test_query_tx_by_hash(client: LedgerClient, faucet: LocalWallet) -> None:
    receiver = LocalWallet(PrivateKey(), prefix="descent").address()
    submitted = client.send_tokens(receiver, 5, DENOM, faucet).wait_to_complete(**FAST)
    response = client.query_tx(submitted.tx_hash)
    assert response.hash == submitted.tx_hash
    assert response.height > 0
    assert response.code == 0
    assert 0 < response.gas_used <= response.gas_wanted
    assert response.events["transfer"]["recipient"] == str(receiver)
    assert response.events["message"]["action"] == "/cosmos.bank.v1beta1.MsgSend"
    assert response.timestamp is not None
    block = client.query_block(response.height)
    assert submitted.tx_hash in block.tx_hashes


def test_account(client: LedgerClient, wallet: LocalWallet) -> None:
    account = client.query_account(wallet.address())
    assert account.sequence == 0
    client.send_tokens(wallet.address(), 1, DENOM, wallet).wait_to_complete(**FAST)
    assert client.query_account(wallet.address()).sequence == 1
    with pytest.raises(grpc.RpcError) as caught:
        client.query_account(LocalWallet(PrivateKey(), prefix="descent").address())
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "not found" in caught.value.details()


def test_simulate(client: LedgerClient, wallet: LocalWallet) -> None:
    account = client.query_account(wallet.address())
    tx = build_send(client, wallet)
    tx.seal(SigningCfg.direct(wallet.public_key(), account.sequence), fee=TxFee([], 0))
    tx.sign(wallet.signer(), client.network_config.chain_id, account.number)
    tx.complete()
    assert client.simulate_tx(tx) > 20_000
    assert client.query_account(wallet.address()).sequence == account.sequence


def test_simulate_refusal_is_unknown(client: LedgerClient, wallet: LocalWallet) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.send_tokens(wallet.address(), 10**15, DENOM, wallet)
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert "insufficient funds" in caught.value.details()


def test_latest_block_and_node_info(client: LedgerClient, devnet_node: DevnetNode) -> None:
    first = client.query_latest_block()
    assert first.chain_id == devnet_node.chain_id == client.query_chain_id()
    deadline = time.monotonic() + 30
    while client.query_height() <= first.height:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    info = client.query_node_info()
    assert info.app_name == "descent"
    assert info.cosmos_sdk_version.major == 0


def test_block_params_both_ways(client: LedgerClient) -> None:
    limit = int(client.query_consensus_params().params.block.max_gas)
    assert int(client.query_params("baseapp", "BlockParams")["max_gas"]) == limit


def test_validators(client: LedgerClient) -> None:
    validators = client.query_validators()
    assert validators
    assert all(item.status is ValidatorStatus.BONDED for item in validators)
    assert all(item.tokens > 0 for item in validators)
    assert str(validators[0].address).startswith("descentvaloper1")
    assert client.query_validators(ValidatorStatus.UNBONDED) == []


def test_delegate_undelegate_and_summary(client: LedgerClient, wallet: LocalWallet) -> None:
    validators = client.query_validators()[:3]
    for validator in validators:
        client.delegate_tokens(validator.address, 3_000_000, wallet).wait_to_complete(**FAST)
    summary = client.query_staking_summary(wallet.address())
    assert summary.total_staked == 3_000_000 * len(validators)
    assert {str(p.validator) for p in summary.current_positions} == {
        str(v.address) for v in validators
    }
    assert summary.total_rewards < 1_000 * 10**18  # DecCoin: 18 decimals
    for validator in validators:
        client.undelegate_tokens(validator.address, 1_000_000, wallet).wait_to_complete(**FAST)
    summary = client.query_staking_summary(wallet.address())
    assert summary.total_staked == 2_000_000 * len(validators)
    assert summary.total_unbonding == 1_000_000 * len(validators)


def test_rewards_of_a_delegation_are_claimed(
    client: LedgerClient, wallet: LocalWallet, devnet_node: DevnetNode
) -> None:
    """The consensus set is validator-0; fees and emission reach those who delegated to it."""
    operator = encode_operator(get_account("validator-0").addr)
    validator = Address(operator)
    client.delegate_tokens(validator, 40_000_000, wallet).wait_to_complete(**FAST)
    deadline = time.monotonic() + 30
    while not (reward := client.query_staking_summary(wallet.address()).total_rewards):
        assert time.monotonic() < deadline, "nothing is earned"
        time.sleep(0.1)
    before = client.query_bank_balance(wallet.address(), DENOM)
    fee = 5_000
    claim = client.claim_rewards(
        validator, wallet, fee=TxFee(f"{fee}{DENOM}", 400_000)
    ).wait_to_complete(**FAST)
    assert client.query_bank_balance(wallet.address(), DENOM) >= before + reward // 10**18 - fee
    types = [event_type for event_type, _ in claim.response.events.items()]
    assert "withdraw_rewards" in types
    other = client.query_validators()[-1].address
    assert str(other) != operator
    client.redelegate_tokens(validator, other, 1_000_000, wallet).wait_to_complete(**FAST)
    summary = client.query_staking_summary(wallet.address())
    assert {str(p.validator): p.amount for p in summary.current_positions} == {
        operator: 39_000_000,
        str(other): 1_000_000,
    }


def test_summary_of_a_stranger_ends(client: LedgerClient) -> None:
    stranger = LocalWallet(PrivateKey(), prefix="descent").address()
    summary = client.query_staking_summary(stranger)
    assert (summary.total_staked, summary.total_unbonding) == (0, 0)


def test_out_of_gas(client: LedgerClient, wallet: LocalWallet) -> None:
    fee = TxFee(f"50000{DENOM}", 30_000)
    tx = build_send(client, wallet)
    submitted = prepare_and_broadcast_basic_transaction(client, tx, wallet, fee=fee)
    with pytest.raises(OutOfGasError) as caught:
        submitted.wait_to_complete(**FAST)
    assert caught.value.gas_wanted == 30_000
    assert caught.value.gas_used > 30_000


def test_insufficient_fee(
    client: LedgerClient, wallet: LocalWallet, devnet_node: DevnetNode
) -> None:
    fee = TxFee(f"0{DENOM}", 200_000)
    tx = build_send(client, wallet)
    with pytest.raises(InsufficientFeesError) as caught:
        prepare_and_broadcast_basic_transaction(client, tx, wallet, fee=fee)
    assert caught.value.minimum_required_fee.endswith(DENOM)


def test_wrong_sequence(client: LedgerClient, wallet: LocalWallet) -> None:
    account = client.query_account(wallet.address())
    tx = build_send(client, wallet)
    tx.seal(
        SigningCfg.direct(wallet.public_key(), account.sequence + 7),
        fee=TxFee(f"200000{DENOM}", 200_000),
    )
    tx.sign(wallet.signer(), client.network_config.chain_id, account.number)
    tx.complete()
    with pytest.raises(BroadcastError) as caught:
        client.broadcast_tx(tx)
    assert "account sequence mismatch, expected 0, got 7: incorrect account sequence" in str(
        caught.value
    )


def test_wrong_chain_id(client: LedgerClient, wallet: LocalWallet) -> None:
    account = client.query_account(wallet.address())
    tx = build_send(client, wallet)
    tx.seal(
        SigningCfg.direct(wallet.public_key(), account.sequence),
        fee=TxFee(f"200000{DENOM}", 200_000),
    )
    tx.sign(wallet.signer(), "another-chain-1", account.number)
    tx.complete()
    with pytest.raises(BroadcastError, match="signature verification failed"):
        client.broadcast_tx(tx)


def test_several_waiting_transactions(client: LedgerClient, wallet: LocalWallet) -> None:
    account = client.query_account(wallet.address())
    submitted = []
    for number in range(3):
        tx = build_send(client, wallet)
        tx.seal(
            SigningCfg.direct(wallet.public_key(), account.sequence + number),
            fee=TxFee(f"200000{DENOM}", 200_000),
        )
        tx.sign(wallet.signer(), client.network_config.chain_id, account.number)
        tx.complete()
        submitted.append(client.broadcast_tx(tx))
    for item in submitted:
        item.wait_to_complete(**FAST)
    assert client.query_account(wallet.address()).sequence == account.sequence + 3
