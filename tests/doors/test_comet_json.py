"""JSON as CometBFT writes it."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tendermint.abci import types_pb2 as abci
from tendermint.crypto import keys_pb2
from tendermint.types import block_pb2, params_pb2, types_pb2, validator_pb2

from node.doors import comet_json as cj
from node.doors.tx_proofs import build_tx_proof, compute_aunts, compute_root, hash_inner, hash_leaf
from node.engine.genesis_doc import format_params


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "0001-01-01T00:00:00Z"),
        (-62135596800, 0, "0001-01-01T00:00:00Z"),
        (1_700_000_000, 0, "2023-11-14T22:13:20Z"),
        (1_700_000_000, 120_000_000, "2023-11-14T22:13:20.12Z"),
        (1_700_000_000, 1, "2023-11-14T22:13:20.000000001Z"),
        (10**15, 0, "0001-01-01T00:00:00Z"),
    ],
)
def test_time(seconds: int, nanos: int, text: str) -> None:
    assert cj.format_time(Timestamp(seconds=seconds, nanos=nanos)) == text


def test_time_to_the_second() -> None:
    assert cj.format_second(Timestamp(seconds=1_700_000_000, nanos=5)) == "2023-11-14T22:13:20Z"


def test_header() -> None:
    header = types_pb2.Header(chain_id="c", height=7, app_hash=b"\xab" * 2)
    header.version.block = 11
    built = cj.format_header(header)
    assert built["version"] == {"block": "11"}
    assert (built["height"], built["app_hash"], built["data_hash"]) == ("7", "ABAB", "")
    assert built["last_block_id"] == {"hash": "", "parts": {"total": 0, "hash": ""}}


def test_empty_block() -> None:
    built = cj.format_block(block_pb2.Block())
    assert built["data"] == {"txs": []}
    assert built["evidence"] == {"evidence": []}
    assert built["last_commit"]["signatures"] == []
    assert built["last_commit"]["height"] == "0"


def test_tx_result() -> None:
    event = abci.Event(type="transfer")
    event.attributes.add(key="amount", value="5udsc", index=True)
    result = abci.ExecTxResult(code=3, gas_wanted=2**40, events=[event], codespace="sdk")
    assert cj.format_tx_result(result) == {
        "code": 3,
        "data": None,
        "log": "",
        "info": "",
        "gas_wanted": "1099511627776",
        "gas_used": "0",
        "events": [
            {
                "type": "transfer",
                "attributes": [{"key": "amount", "value": "5udsc", "index": True}],
            }
        ],
        "codespace": "sdk",
    }


def test_abci_query() -> None:
    response = abci.ResponseQuery(value=b"\x01", height=9)
    assert cj.format_abci_query(response) == {
        "code": 0,
        "log": "",
        "info": "",
        "index": "0",
        "key": None,
        "value": "AQ==",
        "proofOps": None,
        "height": "9",
        "codespace": "",
    }
    response.proof_ops.ops.add(type="t", key=b"k", data=b"d")
    built = cj.format_abci_query(response)["proofOps"]
    assert built == {"ops": [{"type": "t", "key": "aw==", "data": "ZA=="}]}


def test_block_results_without_transactions() -> None:
    built = cj.format_block_results(4, abci.ResponseFinalizeBlock(app_hash=b"\x00"))
    assert built == {
        "height": "4",
        "txs_results": None,
        "finalize_block_events": None,
        "validator_updates": None,
        "consensus_param_updates": None,
        "app_hash": "AA==",
    }


def test_validators() -> None:
    key = keys_pb2.PublicKey(ed25519=b"\x01" * 32)
    encoded = cj.format_base64(b"\x01" * 32)
    item = validator_pb2.Validator(address=b"\xff" * 20, pub_key=key, voting_power=3)
    assert cj.format_validator(item) == {
        "address": "FF" * 20,
        "pub_key": {"type": "tendermint/PubKeyEd25519", "value": encoded},
        "voting_power": "3",
        "proposer_priority": "0",
    }
    update = abci.ValidatorUpdate(pub_key=key, power=3)
    assert cj.format_validator_update(update) == {
        "pub_key": {
            "Sum": {"type": "tendermint.crypto.PublicKey_Ed25519", "value": {"ed25519": encoded}}
        },
        "power": "3",
    }


def test_consensus_params() -> None:
    params = params_pb2.ConsensusParams()
    params.block.max_gas = -1
    params.evidence.max_age_duration.seconds = 172_800
    built = format_params(params)
    assert built["block"]["max_gas"] == "-1"
    assert built["evidence"]["max_age_duration"] == "172800000000000"


def recompute_root(leaf: bytes, aunts: list[bytes], index: int, total: int) -> bytes:
    if total == 1:
        return leaf
    split = 1 << ((total - 1).bit_length() - 1)
    *rest, last = aunts
    if index < split:
        return hash_inner(recompute_root(leaf, rest, index, split), last)
    return hash_inner(last, recompute_root(leaf, rest, index - split, total - split))


@pytest.mark.parametrize("total", [1, 2, 3, 5, 8, 13])
def test_every_proof_leads_to_the_root(total: int) -> None:
    leaves = [hash_leaf(bytes((number,))) for number in range(total)]
    root = compute_root(leaves)
    for index, leaf in enumerate(leaves):
        assert recompute_root(leaf, compute_aunts(leaves, index), index, total) == root


def test_tx_proof_members() -> None:
    built: Any = build_tx_proof([b"a", b"b"], 1)
    assert (built["proof"]["total"], built["proof"]["index"]) == ("2", "1")
    assert built["data"] == cj.format_base64(b"b")
