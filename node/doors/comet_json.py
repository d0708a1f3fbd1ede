"""CometBFT's JSON of blocks, results, events and validators, from the protobuf messages.

Rules (CometBFT v0.39 libs/json and the gogoproto JSON of the ABCI types): 64-bit integers are
strings, 32-bit ones numbers; hashes and addresses upper-case hex; other bytes base64; time is
RFC 3339 with as many digits as needed, in UTC; absent lists of results are null.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

from node.engine.genesis_doc import format_params

Json = dict[str, Any]

_ZERO_TIME = "0001-01-01T00:00:00Z"


def format_hex(value: bytes) -> str:
    """Format a hash or an address."""
    return value.hex().upper()


def format_base64(value: bytes) -> str:
    """Format other bytes."""
    return base64.b64encode(value).decode()


def format_bytes_or_null(value: bytes) -> str | None:
    """Format bytes of an ABCI message, where empty means null."""
    return format_base64(value) if value else None


def compute_tx_hash(tx: bytes) -> bytes:
    """Compute the hash of a transaction: SHA-256 of its bytes."""
    return hashlib.sha256(tx).digest()


def format_time(stamp: Any) -> str:
    """Format a protobuf Timestamp; the unset one is year 1, as Go's zero time."""
    if not stamp.seconds and not stamp.nanos:
        return _ZERO_TIME
    try:
        whole = datetime.fromtimestamp(stamp.seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _ZERO_TIME
    text = whole.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    if stamp.nanos:
        text += f".{stamp.nanos:09d}".rstrip("0")
    return text + "Z"


def format_second(stamp: Any) -> str:
    """Format a Timestamp to the second, as the SDK puts it in a TxResponse."""
    return format_time(type(stamp)(seconds=stamp.seconds))


def format_block_id(block_id: Any) -> Json:
    """Format tendermint.types.BlockID."""
    parts = block_id.part_set_header
    return {
        "hash": format_hex(block_id.hash),
        "parts": {"total": parts.total, "hash": format_hex(parts.hash)},
    }


def format_header(header: Any) -> Json:
    """Format tendermint.types.Header."""
    version: Json = {}
    if header.version.block:
        version["block"] = str(header.version.block)
    if header.version.app:
        version["app"] = str(header.version.app)
    return {
        "version": version,
        "chain_id": header.chain_id,
        "height": str(header.height),
        "time": format_time(header.time),
        "last_block_id": format_block_id(header.last_block_id),
        "last_commit_hash": format_hex(header.last_commit_hash),
        "data_hash": format_hex(header.data_hash),
        "validators_hash": format_hex(header.validators_hash),
        "next_validators_hash": format_hex(header.next_validators_hash),
        "consensus_hash": format_hex(header.consensus_hash),
        "app_hash": format_hex(header.app_hash),
        "last_results_hash": format_hex(header.last_results_hash),
        "evidence_hash": format_hex(header.evidence_hash),
        "proposer_address": format_hex(header.proposer_address),
    }


def format_commit(commit: Any) -> Json:
    """Format tendermint.types.Commit."""
    return {
        "height": str(commit.height),
        "round": commit.round,
        "block_id": format_block_id(commit.block_id),
        "signatures": [
            {
                "block_id_flag": entry.block_id_flag,
                "validator_address": format_hex(entry.validator_address),
                "timestamp": format_time(entry.timestamp),
                "signature": format_bytes_or_null(entry.signature),
            }
            for entry in commit.signatures
        ],
    }


def format_block(block: Any) -> Json:
    """Format tendermint.types.Block."""
    return {
        "header": format_header(block.header),
        "data": {"txs": [format_base64(tx) for tx in block.data.txs]},
        "evidence": {"evidence": []},
        "last_commit": format_commit(block.last_commit),
    }


def format_block_meta(block: Any, block_id: Any) -> Json:
    """Format the meta of a block: id, size in bytes, header, number of transactions."""
    return {
        "block_id": format_block_id(block_id),
        "block_size": str(block.ByteSize()),
        "header": format_header(block.header),
        "num_txs": str(len(block.data.txs)),
    }


def format_event(event: Any) -> Json:
    """Format tendermint.abci.Event."""
    return {
        "type": event.type,
        "attributes": [
            {"key": item.key, "value": item.value, "index": item.index} for item in event.attributes
        ],
    }


def format_tx_result(result: Any) -> Json:
    """Format tendermint.abci.ExecTxResult, or ResponseCheckTx, which has the same JSON."""
    return {
        "code": result.code,
        "data": format_bytes_or_null(result.data),
        "log": result.log,
        "info": result.info,
        "gas_wanted": str(result.gas_wanted),
        "gas_used": str(result.gas_used),
        "events": [format_event(event) for event in result.events],
        "codespace": result.codespace,
    }


def format_abci_query(response: Any) -> Json:
    """Format tendermint.abci.ResponseQuery."""
    ops = None
    if response.HasField("proof_ops"):
        ops = {
            "ops": [
                {"type": op.type, "key": format_base64(op.key), "data": format_base64(op.data)}
                for op in response.proof_ops.ops
            ]
        }
    return {
        "code": response.code,
        "log": response.log,
        "info": response.info,
        "index": str(response.index),
        "key": format_bytes_or_null(response.key),
        "value": format_bytes_or_null(response.value),
        "proofOps": ops,
        "height": str(response.height),
        "codespace": response.codespace,
    }


def format_abci_info(response: Any) -> Json:
    """Format tendermint.abci.ResponseInfo; empty members are left out."""
    built: Json = {}
    if response.data:
        built["data"] = response.data
    if response.version:
        built["version"] = response.version
    if response.app_version:
        built["app_version"] = str(response.app_version)
    if response.last_block_height:
        built["last_block_height"] = str(response.last_block_height)
    if response.last_block_app_hash:
        built["last_block_app_hash"] = format_base64(response.last_block_app_hash)
    return built


def format_public_key(key: Any) -> Json | None:
    """Format tendermint.crypto.PublicKey with CometBFT's type tag."""
    which = key.WhichOneof("sum")
    tags = {"ed25519": "tendermint/PubKeyEd25519", "secp256k1": "tendermint/PubKeySecp256k1"}
    if which is None:
        return None
    return {"type": tags[which], "value": format_base64(getattr(key, which))}


def format_validator(validator: Any) -> Json:
    """Format tendermint.types.Validator."""
    return {
        "address": format_hex(validator.address),
        "pub_key": format_public_key(validator.pub_key),
        "voting_power": str(validator.voting_power),
        "proposer_priority": str(validator.proposer_priority),
    }


def format_validator_update(update: Any) -> Json:
    """Format tendermint.abci.ValidatorUpdate, whose key is tagged by its protobuf case."""
    which = update.pub_key.WhichOneof("sum") or "ed25519"
    built: Json = {
        "pub_key": {
            "Sum": {
                "type": f"tendermint.crypto.PublicKey_{which.capitalize()}",
                "value": {which: format_base64(getattr(update.pub_key, which))},
            }
        }
    }
    if update.power:
        built["power"] = str(update.power)
    return built


def format_list_or_null(items: list[Any]) -> list[Any] | None:
    """Format a list of results, where an empty one is null."""
    return items or None


def format_block_results(height: int, response: Any) -> Json:
    """Format the results of a block from its tendermint.abci.ResponseFinalizeBlock."""
    has_params = response.HasField("consensus_param_updates")
    return {
        "height": str(height),
        "txs_results": format_list_or_null([format_tx_result(r) for r in response.tx_results]),
        "finalize_block_events": format_list_or_null([format_event(e) for e in response.events]),
        "validator_updates": format_list_or_null(
            [format_validator_update(update) for update in response.validator_updates]
        ),
        "consensus_param_updates": (
            format_params(response.consensus_param_updates) if has_params else None
        ),
        "app_hash": format_base64(response.app_hash),
    }


def format_tx(height: int, index: int, tx: bytes, result: Any, proof: Json | None) -> Json:
    """Format a transaction with its result, and the proof of its inclusion when asked."""
    built: Json = {
        "hash": format_hex(compute_tx_hash(tx)),
        "height": str(height),
        "index": index,
        "tx_result": format_tx_result(result),
        "tx": format_base64(tx),
    }
    if proof is not None:
        built["proof"] = proof
    return built
