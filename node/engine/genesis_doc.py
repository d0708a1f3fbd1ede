"""The genesis file, in CometBFT's form: what both engines start a chain from.

`config/genesis.json`: {genesis_time, chain_id, initial_height "1", consensus_params {block
{max_bytes "..", max_gas ".."}, evidence {max_age_num_blocks, max_age_duration, max_bytes},
validator {pub_key_types}, version {app}, abci {vote_extensions_enable_height}}, validators
[{address, pub_key {type, value}, power "..", name}], app_hash, app_state}. Numbers of 64 bits are
strings. What is left out has CometBFT's default.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from tendermint.types import params_pb2

from node.engine.errors import GenesisInvalid
from node.engine.hashing import NANOS_PER_SECOND
from node.engine.keys import PUBLIC_TYPE
from node.engine.validators import ValidatorSet

BLOCK_BYTES = 22_020_096  # 21 MiB, CometBFT's default
BLOCK_BYTES_MAX = 104_857_600  # 100 MiB
EVIDENCE_AGE_BLOCKS = 100_000
EVIDENCE_AGE_NS = 48 * 3600 * NANOS_PER_SECOND
EVIDENCE_BYTES = 1_048_576
CHAIN_ID_SIZE_MAX = 50


@dataclass(frozen=True, slots=True)
class GenesisDoc:
    """A genesis file.

    digest: sha256 of the file, so that a home is never continued with another genesis.
    app_state: bytes of the application's part, JSON.
    """

    chain_id: str
    time_ns: int
    initial_height: int
    params: Any
    validators: ValidatorSet
    app_hash: bytes
    app_state: bytes
    digest: bytes

    @staticmethod
    def load(path: Path) -> "GenesisDoc":
        """Read a genesis file.

        Raises:
            GenesisInvalid: missing, not JSON, or a field that is missing or wrong; says which.
        """
        try:
            raw = path.read_bytes()
        except FileNotFoundError as error:
            raise GenesisInvalid(f"{path} is not there: initialise the home first") from error
        return GenesisDoc.parse(raw, str(path))

    @staticmethod
    def parse(raw: bytes, name: str = "genesis") -> "GenesisDoc":
        """Parse the bytes of a genesis file; `name` is for messages.

        Raises:
            GenesisInvalid: not JSON, or a field that is missing or wrong; says which.
        """
        try:
            document = json.loads(raw)
            if not isinstance(document, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise GenesisInvalid(f"{name} is not a JSON object: {error}") from error
        field = "chain_id"
        try:
            chain_id = document["chain_id"]
            if not isinstance(chain_id, str) or not 0 < len(chain_id) <= CHAIN_ID_SIZE_MAX:
                raise ValueError(f"not a text of 1 to {CHAIN_ID_SIZE_MAX} characters")
            field = "genesis_time"
            time_ns = parse_time_ns(document["genesis_time"])
            field = "initial_height"
            initial_height = int(document.get("initial_height", "1")) or 1
            if initial_height < 0:
                raise ValueError("negative")
            field = "consensus_params"
            params = parse_params(document.get("consensus_params") or {})
            field = "validators"
            validators = parse_validators(document.get("validators") or [])
            field = "app_hash"
            app_hash = bytes.fromhex(document.get("app_hash") or "")
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise GenesisInvalid(f"{name}: {field}: {error!s}") from error
        state = document.get("app_state")
        app_state = b"" if state is None else json.dumps(state, sort_keys=True).encode()
        digest = sha256(raw).digest()
        return GenesisDoc(
            chain_id, time_ns, initial_height, params, validators, app_hash, app_state, digest
        )


def parse_time_ns(text: str) -> int:
    """Parse an RFC 3339 time in UTC, up to nanoseconds, to nanoseconds since 1970."""
    if not text.endswith("Z"):
        raise ValueError(f"{text} is not a UTC time that ends in Z")
    whole, _, fraction = text[:-1].partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * NANOS_PER_SECOND + int(fraction.ljust(9, "0")[:9] or "0")


def parse_params(document: dict[str, Any]) -> Any:
    """Parse consensus parameters into tendermint.types.ConsensusParams, filling in defaults."""
    block = document.get("block") or {}
    evidence = document.get("evidence") or {}
    age_ns = int(evidence.get("max_age_duration", EVIDENCE_AGE_NS))
    params = params_pb2.ConsensusParams(
        block=params_pb2.BlockParams(
            max_bytes=int(block.get("max_bytes", BLOCK_BYTES)),
            max_gas=int(block.get("max_gas", -1)),
        ),
        evidence=params_pb2.EvidenceParams(
            max_age_num_blocks=int(evidence.get("max_age_num_blocks", EVIDENCE_AGE_BLOCKS)),
            max_bytes=int(evidence.get("max_bytes", EVIDENCE_BYTES)),
        ),
        validator=params_pb2.ValidatorParams(
            pub_key_types=(document.get("validator") or {}).get("pub_key_types", ["ed25519"])
        ),
        version=params_pb2.VersionParams(app=int((document.get("version") or {}).get("app", 0))),
        abci=params_pb2.ABCIParams(
            vote_extensions_enable_height=int(
                (document.get("abci") or {}).get("vote_extensions_enable_height", 0)
            )
        ),
    )
    params.evidence.max_age_duration.FromNanoseconds(age_ns)
    ensure_params(params)
    return params


def format_params(params: Any) -> dict[str, Any]:
    """Format tendermint.types.ConsensusParams; durations are nanoseconds."""
    age = params.evidence.max_age_duration
    return {
        "block": {
            "max_bytes": str(params.block.max_bytes),
            "max_gas": str(params.block.max_gas),
        },
        "evidence": {
            "max_age_num_blocks": str(params.evidence.max_age_num_blocks),
            "max_age_duration": str(age.seconds * NANOS_PER_SECOND + age.nanos),
            "max_bytes": str(params.evidence.max_bytes),
        },
        "validator": {"pub_key_types": list(params.validator.pub_key_types)},
        "version": {"app": str(params.version.app)},
        "abci": {"vote_extensions_enable_height": str(params.abci.vote_extensions_enable_height)},
    }


def ensure_params(params: Any) -> None:
    """Refuse block limits that CometBFT would refuse."""
    if not (params.block.max_bytes == -1 or 0 < params.block.max_bytes <= BLOCK_BYTES_MAX):
        raise ValueError(f"block.max_bytes {params.block.max_bytes} out of range")
    if params.block.max_gas < -1:
        raise ValueError(f"block.max_gas {params.block.max_gas} out of range")


def parse_validators(items: list[dict[str, Any]]) -> ValidatorSet:
    """Parse the genesis validators."""
    powers: dict[bytes, int] = {}
    for item in items:
        public = item["pub_key"]
        if public["type"] != PUBLIC_TYPE:
            raise ValueError(f"key type {public['type']}, not {PUBLIC_TYPE}")
        key = base64.b64decode(public["value"], validate=True)
        if len(key) != 32 or key in powers:
            raise ValueError("a key that is not 32 bytes, or is there twice")
        powers[key] = int(item["power"])
        if powers[key] <= 0:
            raise ValueError("a validator without power")
    return ValidatorSet.make(powers)
