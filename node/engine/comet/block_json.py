"""CometBFT's JSON of blocks, commits, results, validators back to the protobuf messages.

The inverse of `node/doors/comet_json.py`, whose docstring has the rules. What does not parse raises
KeyError, TypeError or ValueError: the JSON comes from this node's own engine.
"""

import base64
from typing import Any

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from tendermint.abci import types_pb2 as abci
from tendermint.types import block_pb2, params_pb2, types_pb2
from tendermint.version import types_pb2 as version_pb2

from node.engine.genesis_doc import parse_params, parse_time_ns, parse_validators
from node.engine.hashing import ZERO_TIME_SECONDS, fill_block, fill_commit, make_time
from node.engine.validators import ValidatorSet

Json = dict[str, Any]
ZERO_TIME = "0001-01-01T00:00:00Z"


def parse_time(text: str) -> Timestamp:
    """Parse a time; Go's zero time is year 1."""
    if text == ZERO_TIME:
        return Timestamp(seconds=ZERO_TIME_SECONDS)
    return make_time(parse_time_ns(text))


def parse_block_id(item: Json) -> Any:
    """Parse tendermint.types.BlockID."""
    parts = item["parts"]
    return types_pb2.BlockID(
        hash=bytes.fromhex(item["hash"]),
        part_set_header=types_pb2.PartSetHeader(
            total=parts["total"], hash=bytes.fromhex(parts["hash"])
        ),
    )


def parse_header(item: Json) -> Any:
    """Parse tendermint.types.Header."""
    version = item["version"]
    hashes = (
        "last_commit_hash",
        "data_hash",
        "validators_hash",
        "next_validators_hash",
        "consensus_hash",
        "app_hash",
        "last_results_hash",
        "evidence_hash",
        "proposer_address",
    )
    return types_pb2.Header(
        version=version_pb2.Consensus(
            block=int(version.get("block", 0)), app=int(version.get("app", 0))
        ),
        chain_id=item["chain_id"],
        height=int(item["height"]),
        time=parse_time(item["time"]),
        last_block_id=parse_block_id(item["last_block_id"]),
        **{name: bytes.fromhex(item[name]) for name in hashes},
    )


def parse_commit(item: Json) -> Any:
    """Parse tendermint.types.Commit."""
    commit = types_pb2.Commit(
        height=int(item["height"]),
        round=item["round"],
        block_id=parse_block_id(item["block_id"]),
        signatures=[
            types_pb2.CommitSig(
                block_id_flag=entry["block_id_flag"],
                validator_address=bytes.fromhex(entry["validator_address"]),
                timestamp=parse_time(entry["timestamp"]),
                signature=base64.b64decode(entry["signature"] or ""),
            )
            for entry in item["signatures"] or []
        ],
    )
    fill_commit(commit)
    return commit


def parse_block(item: Json) -> Any:
    """Parse tendermint.types.Block. Evidence is left out: its hash stays in the header."""
    block = block_pb2.Block(
        header=parse_header(item["header"]),
        data=types_pb2.Data(txs=[base64.b64decode(tx) for tx in item["data"]["txs"] or []]),
        last_commit=parse_commit(item["last_commit"]),
    )
    fill_block(block)
    return block


def extend_commit(commit: Any) -> Any:
    """Make an ExtendedCommit, as the block store keeps it, of a Commit; extensions stay empty."""
    return types_pb2.ExtendedCommit(
        height=commit.height,
        round=commit.round,
        block_id=commit.block_id,
        extended_signatures=[
            types_pb2.ExtendedCommitSig(
                block_id_flag=entry.block_id_flag,
                validator_address=entry.validator_address,
                timestamp=entry.timestamp,
                signature=entry.signature,
            )
            for entry in commit.signatures
        ],
    )


def parse_results(item: Json) -> Any:
    """Parse the answer of `block_results` to a ResponseFinalizeBlock."""
    updates = [
        {"pub_key": {"ed25519": get_key(update["pub_key"])}, "power": update.get("power", "0")}
        for update in item.get("validator_updates") or []
    ]
    results = abci.ResponseFinalizeBlock()
    fields = {
        "events": item.get("finalize_block_events") or [],
        "tx_results": item.get("txs_results") or [],
        "validator_updates": updates,
        "app_hash": item.get("app_hash") or "",
    }
    json_format.ParseDict(fields, results, ignore_unknown_fields=True)
    if item.get("consensus_param_updates"):
        params: Any = params_pb2.ConsensusParams()
        json_format.ParseDict(item["consensus_param_updates"], params, ignore_unknown_fields=True)
        results.consensus_param_updates.CopyFrom(params)
    return results


def get_key(item: Json) -> str:
    """Get the base64 ed25519 key of a validator update, in either of CometBFT's two forms."""
    if "Sum" in item:
        item = item["Sum"]["value"]
    key: str = item["ed25519"]
    return key


def parse_validator_page(items: list[Json]) -> ValidatorSet:
    """Parse the validators of `validators`."""
    return parse_validators(
        [{"pub_key": item["pub_key"], "power": item["voting_power"]} for item in items]
    )


__all__ = [
    "extend_commit",
    "parse_block",
    "parse_block_id",
    "parse_commit",
    "parse_params",
    "parse_results",
    "parse_validator_page",
]
