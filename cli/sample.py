"""Text written by a checkpoint: find it on chain, fetch its state by hash, generate exactly.

Nothing is trusted but the chain: a state counts only if its tensors have the root the chain holds,
and the text follows from state, prompt, seed and top-k, the same on every machine.
"""

import asyncio
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain_client.blob.address import KIND_STATE
from chain_client.blob.client import BlobClient, FetchLimits
from chain_client.blob.errors import BlobError
from chain_client.blob.store import BlobStore
from chain_client.errors import NotFound
from cli.messages import enum_word
from cli.output import CommandFailed
from exact import state
from exact.addresses import ADDRESS_FUNCTIONS
from exact.backends import load_backend
from exact.config import ModelConfig, OptimiserConfig
from exact.errors import ExactError
from exact.families import build_program, comes_from_seed, init_params
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.runs.v1 import runs_pb2

if TYPE_CHECKING:
    from chain_client.client import ChainClient

FETCH_SECONDS = 60.0
# A safetensors header of ours: names, shapes and offsets, far below this for any model we take.
MAX_HEADER_BYTES = 1 << 20
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Draw:
    """How text is drawn.

    Attributes:
        num_tokens: to write.
        seed: 0 <= seed < 2^64.
        top_k: draw among so many likeliest; 1 is greedy.
    """

    num_tokens: int
    seed: int
    top_k: int


async def find_checkpoint(
    client: "ChainClient", run: runs_pb2.Run, round_index: int | None
) -> lineage_pb2.Checkpoint:
    """Return a checkpoint's record; the newest without a round.

    Raises:
        CommandFailed: the run has no checkpoint yet, or none of that round.
    """
    try:
        found = await client.get_checkpoint(run.id, round_index)
    except NotFound:
        status = enum_word(runs_pb2.RunStatus.DESCRIPTOR, run.status)
        if round_index is None:
            raise CommandFailed(
                f"run {run.id} has no checkpoint yet: it is {status}",
                hint="it gets its first one when enough miners and validators have registered",
            ) from None
        raise CommandFailed(
            f"run {run.id} has no checkpoint {round_index}: it is {status}, round"
            f" {run.current_round} is in work",
            hint=f"`descent lineage tree {run.id}` lists the checkpoints",
        ) from None
    return found.checkpoint


async def obtain_params(
    client: "ChainClient", run: runs_pb2.Run, checkpoint: lineage_pb2.Checkpoint, home: Path
) -> state.State:
    """Return a checkpoint's `param/` tensors, checked against its root.

    Makes them from the seed, or reads them from a participant of this home, or fetches them from
    the participants of the run.

    Raises:
        CommandFailed: nobody has them.
        InvalidModel: this version cannot build the model.
    """
    spec = runs_pb2.RunSpec.FromString(run.spec)
    layout = _get_layout(spec)
    if comes_from_seed(spec, checkpoint.root):
        params = init_params(ModelConfig.from_spec(spec), spec.init_seed)
        if state.checkpoint_root(params) == checkpoint.root:
            return params
    stored = await asyncio.to_thread(_read_stored, home, checkpoint.root)
    if stored is None:
        stored = await _fetch(client, run, checkpoint, layout)
    return state.deserialise(stored, layout)


def generate(
    spec: runs_pb2.RunSpec,
    params: state.State,
    prompt: bytes,
    draw: Draw,
    backend: str = "auto",
) -> bytes:
    """Continue a prompt; returns the added bytes, the same on every machine.

    Raises:
        CommandFailed: no such backend here, or the model does not write bytes.
    """
    try:
        program = build_program(ModelConfig.from_spec(spec), OptimiserConfig.from_spec(spec), 1)
        return load_backend(backend).generate(
            program, params, prompt, draw.num_tokens, draw.seed, draw.top_k
        )
    except ExactError as error:
        hint = "--backend numpy needs no torch" if backend != "numpy" else ""
        raise CommandFailed(str(error), hint=hint) from error


def to_text(raw: bytes) -> str:
    """Return bytes as text for a terminal: what is no UTF-8, and control characters, replaced."""
    text = raw.decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else REPLACEMENT for c in text)


def _get_layout(spec: runs_pb2.RunSpec) -> state.Layout:
    program = build_program(ModelConfig.from_spec(spec), OptimiserConfig.from_spec(spec), 1)
    return {
        name: entry
        for name, entry in program.state_layout.items()
        if name.startswith(state.PARAM_PREFIX)
    }


def _read_stored(home: Path, root: bytes) -> bytes | None:
    """Return a state's bytes from the participants of this home, if one has it."""
    for folder in sorted((home / "participants").glob("*/run-*/blobs")):
        found = BlobStore(folder, ADDRESS_FUNCTIONS).find(KIND_STATE, root)
        if found is not None:
            return bytes(found)
    return None


async def _fetch(
    client: "ChainClient",
    run: runs_pb2.Run,
    checkpoint: lineage_pb2.Checkpoint,
    layout: state.Layout,
) -> bytes:
    members = await client.get_participants(run.id)
    endpoints = _order_endpoints(members)
    what = f"checkpoint {checkpoint.round} of run {run.id}"
    if not endpoints:
        raise CommandFailed(
            f"nobody serves {what}: no participant has an endpoint on chain",
            hint="`descent run show` lists the participants",
        )
    body = sum(math.prod(shape) * 8 for _, shape in layout.values())
    limits = FetchLimits(max_size=body + MAX_HEADER_BYTES, deadline_s=FETCH_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        blobs = BlobClient(BlobStore(Path(folder), ADDRESS_FUNCTIONS))
        try:
            return await blobs.fetch(KIND_STATE, checkpoint.root, endpoints, limits)
        except BlobError as error:
            raise CommandFailed(
                f"nobody serves {what}: {error}",
                hint="participants keep the newest checkpoints only; --checkpoint names another",
            ) from error


def _order_endpoints(members: Sequence[runs_pb2.Participant]) -> list[str]:
    """Validators first: they hold every checkpoint they attested."""
    ordered = sorted(members, key=lambda m: (m.role != runs_pb2.ROLE_VALIDATOR, m.uid))
    return list(dict.fromkeys(member.endpoint for member in ordered if member.endpoint))
