"""A genesis document as JSON: canonical bytes, hash, files.

The document has CometBFT's form. `app_state` is {"devnet": bool, "pallets": {name: section}}; a
section is what the pallet's storage declares. Canonical: sorted keys, two spaces, one newline.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.chain import Chain
from node.engine.genesis_doc import format_params
from node.runtime.context import NANOS_PER_SECOND, Context

NANO_DIGITS = 9


class GenesisError(ValueError):
    """A genesis document cannot start a chain; the text says what to change."""


def encode_document(document: dict[str, Any]) -> bytes:
    """Encode canonically."""
    return (json.dumps(document, sort_keys=True, indent=2) + "\n").encode()


def compute_hash(document: dict[str, Any]) -> str:
    """Compute the SHA-256 of the canonical bytes, lower-case hex."""
    return hashlib.sha256(encode_document(document)).hexdigest()


def load_document(path: Path) -> dict[str, Any]:
    """Load a genesis file.

    Raises: GenesisError.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        what_to_do = "`descent genesis init` makes one, --genesis names another"
        raise GenesisError(f"{path} is not there: {what_to_do}") from error
    except OSError as error:
        raise GenesisError(f"cannot read {path}: {error}") from error
    except ValueError as error:
        raise GenesisError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise GenesisError(f"{path} is not a JSON object")
    return document


def save_document(path: Path, document: dict[str, Any]) -> str:
    """Write a genesis file; returns its hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = encode_document(document)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
    return hashlib.sha256(data).hexdigest()


def format_time(time_ns: int) -> str:
    """Format nanoseconds since 1970 as RFC 3339 in UTC."""
    seconds, nanos = divmod(time_ns, NANOS_PER_SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{nanos:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def build_document(
    chain: Chain,
    ctx: Context,
    *,
    is_devnet: bool,
    validators: list[dict[str, Any]],
) -> dict[str, Any]:
    """Build the document that continues from the state of a context.

    Args:
        ctx: height and time of the last block; 0 and the genesis time for a new chain.
        validators: consensus keys and powers, in CometBFT's form; empty for the embedded engine.
    """
    return {
        "chain_id": ctx.block.chain_id,
        "genesis_time": format_time(ctx.block.time_ns),
        "initial_height": str(ctx.height + 1),
        "consensus_params": format_params(chain.consensus.get_params(ctx)),
        "validators": validators,
        "app_hash": "",
        "app_state": {"devnet": is_devnet, "pallets": chain.runtime.export_genesis(ctx)},
    }
