"""The ABCI object: genesis, blocks, queries, restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from cosmos.auth.v1beta1 import auth_pb2
from cosmos.auth.v1beta1 import query_pb2 as auth_query
from cosmos.bank.v1beta1 import query_pb2 as bank_query
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx
from cosmos.consensus.v1 import query_pb2 as consensus_query
from cosmos.params.v1beta1 import query_pb2 as params_query
from tendermint.abci import types_pb2 as abci

from node.runtime.coins import build_coin
from node.runtime.context import Context
from node.runtime.state import Overlay
from node.store.proofs import Proof
from proto.descent.beacon.v1 import beacon_pb2
from tests.runtime.chain_driver import CHAIN_ID, PROPOSER, ChainDriver, Key

ALICE, BOB = Key("alice"), Key("bob")


def build_send(amount: int) -> bank_tx.MsgSend:
    coins = [build_coin("udsc", amount)]
    return bank_tx.MsgSend(from_address=ALICE.text, to_address=BOB.text, amount=coins)


def test_info(driver: ChainDriver) -> None:
    info = driver.app.info(abci.RequestInfo())
    assert (info.data, info.last_block_height) == ("descent", 1)
    assert info.last_block_app_hash == driver.app_hashes[1]


def test_init_chain_twice_is_harmless(tmp_path: Path) -> None:
    one = ChainDriver(tmp_path / "one", {"alice": 10})
    two = ChainDriver(tmp_path / "two", {"alice": 10})
    first = two.genesis_response.app_hash
    two.init_chain()
    assert two.genesis_response.app_hash == first == one.genesis_response.app_hash
    one.make_block()
    two.make_block()
    assert one.app_hashes == two.app_hashes
    one.close()
    two.close()


def test_finalize_without_commit_persists_nothing(driver: ChainDriver) -> None:
    tx = driver.sign(ALICE, build_send(5))
    first = driver.make_block([tx], commit=False)
    assert driver.height == 1
    again = driver.make_block([tx])
    assert again.app_hash == first.app_hash
    assert driver.get_balance(BOB) == 5_005


def test_restart_goes_on(driver: ChainDriver) -> None:
    driver.deliver(driver.sign(ALICE, build_send(5)))
    driver.close()
    driver.open()
    assert driver.height == 2
    assert driver.app.last_block.chain_id == CHAIN_ID
    assert driver.deliver(driver.sign(ALICE, build_send(5))).code == 0
    assert driver.get_balance(BOB) == 5_010


def test_same_blocks_give_the_same_hashes_after_a_restart(tmp_path: Path) -> None:
    drivers = [ChainDriver(tmp_path / name, {"alice": 10_000}) for name in ("one", "two")]
    for height in range(1, 8):
        for index, driver in enumerate(drivers):
            if index and height == 4:
                driver.close()
                driver.open()
            driver.make_block([driver.sign(ALICE, build_send(height))] if height > 1 else [])
    assert drivers[0].app_hashes == drivers[1].app_hashes
    for driver in drivers:
        driver.close()


def test_export_imports_to_the_same_app_hash(driver: ChainDriver, tmp_path: Path) -> None:
    driver.deliver(driver.sign(ALICE, build_send(5), fee=7))
    driver.make_block()
    sections = driver.app.export_genesis()
    fresh = Overlay(type(driver.store).open(tmp_path / "fresh"))
    driver.chain.runtime.import_genesis(Context(fresh, driver.app.last_block), sections)
    changes = {name: fresh.changes.get(name, {}) for name in driver.chain.runtime.pallets}
    assert fresh._reader.stage(driver.height, changes) == driver.app_hashes[driver.height]


def test_query_account(driver: ChainDriver) -> None:
    request = auth_query.QueryAccountRequest(address=ALICE.text)
    response = driver.query("/cosmos.auth.v1beta1.Query/Account", request)
    account = auth_query.QueryAccountResponse.FromString(response.value).account
    assert account.type_url == "/cosmos.auth.v1beta1.BaseAccount"
    assert auth_pb2.BaseAccount.FromString(account.value).address == ALICE.text
    missing = auth_query.QueryAccountRequest(address=Key("nobody").text)
    response = driver.query("/cosmos.auth.v1beta1.Query/Account", missing)
    assert response.code == 22
    assert response.log.startswith("rpc error: code = NotFound desc = account ")


def test_query_at_a_height(driver: ChainDriver) -> None:
    driver.deliver(driver.sign(ALICE, build_send(5)))
    request = bank_query.QueryBalanceRequest(address=BOB.text, denom="udsc")
    path = "/cosmos.bank.v1beta1.Query/Balance"
    for height, expected in ((1, "5000"), (2, "5005"), (0, "5005")):
        response = driver.query(path, request, height=height)
        answer = bank_query.QueryBalanceResponse.FromString(response.value)
        assert answer.balance.amount == expected
    late = driver.query(path, request, height=3)
    assert late.code == 18
    assert "failed to load state at height 3" in late.log


def test_query_unknown_method(driver: ChainDriver) -> None:
    assert driver.query("/cosmos.bank.v1beta1.Query/Nothing").code == 6


def test_query_consensus_params(driver: ChainDriver) -> None:
    response = driver.query("/cosmos.consensus.v1.Query/Params")
    answer = consensus_query.QueryParamsResponse.FromString(response.value)
    assert answer.params.block.max_gas == -1
    request = params_query.QueryParamsRequest(subspace="baseapp", key="BlockParams")
    response = driver.query("/cosmos.params.v1beta1.Query/Params", request)
    value = params_query.QueryParamsResponse.FromString(response.value).param.value
    assert '"max_gas": "-1"' in value


def test_query_store_with_proof(driver: ChainDriver) -> None:
    key = b"\x02" + bytes((20,)) + BOB.addr + b"udsc"
    response = driver.query("/store/bank/key", data=key, prove=True)
    assert response.value == b"5000"
    proof = Proof.decode(response.proof_ops.ops[0].data)
    proof.verify(driver.app_hashes[1], "bank", key, b"5000")
    absent = driver.query("/store/bank/key", data=key + b"x", prove=True)
    proof = Proof.decode(absent.proof_ops.ops[0].data)
    proof.verify(driver.app_hashes[1], "bank", key + b"x", None)


def test_beacon_is_revealed_every_block(driver: ChainDriver) -> None:
    values = set()
    for _ in range(4):
        response = driver.make_block()
        assert response.tx_results[0].code == 0
        answer = driver.query("/descent.beacon.v1.Query/Beacon")
        entry = beacon_pb2.QueryBeaconResponse.FromString(answer.value).beacon
        assert (entry.height, entry.num_reveals) == (driver.height, 1)
        values.add(entry.value)
    assert len(values) == 4


@pytest.mark.parametrize(
    "txs", [[b"\x01\x00garbage"], [b"\x0a\x00", b"\x01"], [b""], [b"\x01", b"\x01"]]
)
def test_process_proposal_rejects_misplaced_or_wrong_inherents(
    driver: ChainDriver, txs: list[bytes]
) -> None:
    request = abci.RequestProcessProposal(height=2, txs=txs)
    response = driver.app.process_proposal(request)
    assert response.status == abci.ResponseProcessProposal.REJECT


@pytest.mark.parametrize("node", [b"", b"\x05" * 20, PROPOSER])
def test_verify_vote_extension_rejects_a_wrong_preimage(driver: ChainDriver, node: bytes) -> None:
    reveal = beacon_pb2.Reveal(operator_addr=driver.operator.text, preimage=b"\x09" * 32)
    request = abci.RequestVerifyVoteExtension(
        height=2, vote_extension=reveal.SerializeToString(), validator_address=node
    )
    response = driver.app.verify_vote_extension(request)
    assert response.status == abci.ResponseVerifyVoteExtension.REJECT


def test_an_unexpected_exception_leaves_the_application(
    driver: ChainDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(driver.chain.bank, "transfer", explode)
    with pytest.raises(ZeroDivisionError):
        driver.make_block([driver.sign(ALICE, build_send(5))])
    assert driver.height == 1
