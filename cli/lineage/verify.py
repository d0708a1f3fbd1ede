"""Check a bundle: every claim recomputed from files and proofs, trusting one hash only.

In this order, stopping at the first thing that differs:

1. the run and every checkpoint are in the state under the trusted app hash (Merkle proofs);
2. the spec has the hash the checkpoints name, the dataset root is the spec's;
3. rounds follow each other without a gap, each names its parent's root;
4. at least 2/3 of the validator stake attested each checkpoint;
5. the first weights follow from the seed, or have the root of the first record;
6. each checkpoint's weights follow from its parent's and the payloads, bit for bit;
7. the weights at hand are the last checkpoint's.

No network, no torch. The outer step is recomputed; the training of miners is not: audits do that.
"""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cli.lineage.bundle import (
    Bundle,
    LineageMismatch,
    Record,
    make_checkpoint_key,
    make_judgement_key,
    make_run_key,
)
from exact import codec, state
from exact.config import ModelConfig, to_float32
from exact.errors import ExactError
from exact.families import comes_from_seed, init_params
from node.store.proofs import Proof, ProofError
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.runs.v1 import runs_pb2
from scoring import aggregation


@dataclass(frozen=True)
class Report:
    """What was verified.

    Attributes:
        run_id: of the run.
        first_round: where recomputation began.
        last_round: the checkpoint that was verified.
        root: its tensor root.
        from_seed: whether the first weights were made from the seed.
        num_payloads: payloads applied.
        app_hash: what the proofs were checked against.
        height: of that app hash.
    """

    run_id: int
    first_round: int
    last_round: int
    root: bytes
    from_seed: bool
    num_payloads: int
    app_hash: bytes
    height: int


def verify_bundle(
    bundle: Bundle, app_hash: bytes, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Check a bundle against a trusted app hash.

    Args:
        bundle: from `collect` or `export`.
        app_hash: 32 bytes, trusted.
        progress: called with (rounds done, rounds in all).

    Raises:
        LineageMismatch: naming the first thing that does not match.
    """
    run = bundle.parse_run()
    checkpoints = bundle.parse_checkpoints()
    if not checkpoints:
        raise LineageMismatch("the bundle holds no checkpoint")
    _check_proofs(bundle, app_hash, run.id, checkpoints)
    spec = _check_spec(run, checkpoints)
    _check_links(checkpoints)
    _check_attestations(checkpoints)
    params, from_seed = _make_base(bundle, spec, checkpoints[0])
    for index, checkpoint in enumerate(checkpoints[1:], start=1):
        params = _apply_round(bundle, spec, params, checkpoint)
        if progress is not None:
            progress(index, len(checkpoints) - 1)
    _check_weights(bundle, checkpoints[-1], params)
    return Report(
        run_id=run.id,
        first_round=checkpoints[0].round,
        last_round=checkpoints[-1].round,
        root=checkpoints[-1].root,
        from_seed=from_seed,
        num_payloads=sum(len(c.contributions) for c in checkpoints[1:]),
        app_hash=app_hash,
        height=bundle.height,
    )


def _check_proofs(
    bundle: Bundle,
    app_hash: bytes,
    run_id: int,
    checkpoints: Sequence[lineage_pb2.Checkpoint],
) -> None:
    _check_record(bundle.run, "runs", make_run_key(run_id), app_hash, f"run {run_id}")
    for record, checkpoint in zip(bundle.checkpoints, checkpoints, strict=True):
        key = make_checkpoint_key(run_id, checkpoint.round)
        name = f"checkpoint {checkpoint.round}"
        if checkpoint.run_id != run_id:
            raise LineageMismatch(f"{name} is of run {checkpoint.run_id}, not {run_id}")
        _check_record(record, "lineage", key, app_hash, name)
    for index, record in sorted(bundle.judgements.items()):
        key = make_judgement_key(run_id, index)
        _check_record(record, "lineage", key, app_hash, f"judgement {index}")


def _check_record(record: Record, store: str, key: bytes, app_hash: bytes, name: str) -> None:
    if record.store != store or record.key != key:
        raise LineageMismatch(f"{name}: the record stands under another key")
    try:
        Proof.decode(record.proof).verify(app_hash, store, key, record.value)
    except ProofError as error:
        raise LineageMismatch(
            f"{name} is not in the state with app hash {app_hash.hex()[:16]}...: {error}"
        ) from error


def _check_spec(
    run: runs_pb2.Run, checkpoints: Sequence[lineage_pb2.Checkpoint]
) -> runs_pb2.RunSpec:
    if hashlib.sha256(run.spec).digest() != run.spec_hash:
        raise LineageMismatch(f"run {run.id}: the spec does not have the recorded hash")
    spec = runs_pb2.RunSpec.FromString(run.spec)
    for checkpoint in checkpoints:
        if checkpoint.spec_hash != run.spec_hash:
            raise LineageMismatch(f"checkpoint {checkpoint.round} names another spec")
        if checkpoint.dataset_root != spec.data.dataset_root:
            raise LineageMismatch(f"checkpoint {checkpoint.round} names another dataset")
    return spec


def _check_links(checkpoints: Sequence[lineage_pb2.Checkpoint]) -> None:
    for parent, child in itertools.pairwise(checkpoints):
        if child.round != parent.round + 1:
            raise LineageMismatch(f"checkpoint {parent.round + 1} is missing")
        if list(child.parent_roots) != [parent.root]:
            raise LineageMismatch(f"checkpoint {child.round} does not name its parent's root")


def _check_attestations(checkpoints: Sequence[lineage_pb2.Checkpoint]) -> None:
    for checkpoint in checkpoints:
        if not checkpoint.round or not checkpoint.contributions:
            continue  # the chain settles these by itself: their root is the parent's or the spec's
        stake = sum(a.stake_udsc for a in checkpoint.attestations)
        if any(a.result_root != checkpoint.root for a in checkpoint.attestations):
            raise LineageMismatch(
                f"checkpoint {checkpoint.round}: an attestation names another root"
            )
        if stake != checkpoint.attested_stake_udsc or 3 * stake < 2 * checkpoint.total_stake_udsc:
            raise LineageMismatch(
                f"checkpoint {checkpoint.round}: {stake} of {checkpoint.total_stake_udsc} udsc "
                "attested it, less than 2/3"
            )


def _make_base(
    bundle: Bundle, spec: runs_pb2.RunSpec, first: lineage_pb2.Checkpoint
) -> tuple[state.State, bool]:
    """Return the first checkpoint's weights, and whether the seed made them."""
    from_seed = comes_from_seed(spec, first.root)
    if from_seed:
        params = state.strip_prefix(
            init_params(ModelConfig.from_spec(spec), spec.init_seed), state.PARAM_PREFIX
        )
        name = f"the weights made from seed {spec.init_seed}"
    elif bundle.base is None:
        raise LineageMismatch(f"the weights of checkpoint {first.round} are not in the bundle")
    else:
        params = _read_weights(bundle.base, f"the base file of checkpoint {first.round}")
        name = "the base file"
    root = state.checkpoint_root(state.add_prefix(params, state.PARAM_PREFIX))
    if root != first.root:
        raise LineageMismatch(
            f"{name} have root {root.hex()}, checkpoint {first.round} has {first.root.hex()}"
        )
    return params, from_seed


def _read_weights(data: bytes, name: str) -> state.State:
    try:
        return state.strip_prefix(state.deserialise(data), state.PARAM_PREFIX)
    except ExactError as error:
        raise LineageMismatch(f"{name} is damaged: {error}") from error


def _apply_round(
    bundle: Bundle,
    spec: runs_pb2.RunSpec,
    params: state.State,
    checkpoint: lineage_pb2.Checkpoint,
) -> state.State:
    learning_rate = np.float32(to_float32(spec.outer.learning_rate_ppb))
    updates = {}
    for contribution in checkpoint.contributions:
        updates[contribution.uid] = _read_payload(bundle, spec, params, checkpoint, contribution)
    try:
        stepped = aggregation.compute_outer_step(params, updates, learning_rate)
    except aggregation.AggregationError as error:
        raise LineageMismatch(f"checkpoint {checkpoint.round}: {error}") from error
    root = state.checkpoint_root(state.add_prefix(stepped, state.PARAM_PREFIX))
    if root != checkpoint.root:
        raise LineageMismatch(
            f"checkpoint {checkpoint.round}: parent and payloads give root {root.hex()}, "
            f"the chain has {checkpoint.root.hex()}"
        )
    return stepped


def _read_payload(
    bundle: Bundle,
    spec: runs_pb2.RunSpec,
    params: state.State,
    checkpoint: lineage_pb2.Checkpoint,
    contribution: lineage_pb2.Contribution,
) -> codec.SparseUpdate:
    name = f"checkpoint {checkpoint.round}: the payload of uid {contribution.uid}"
    data = bundle.payloads.get(contribution.payload_hash)
    if data is None:
        raise LineageMismatch(f"{name} ({contribution.payload_hash.hex()}) is missing")
    if hashlib.sha256(data).digest() != contribution.payload_hash:
        raise LineageMismatch(f"{name} does not have the recorded hash")
    header = codec.PayloadHeader(checkpoint.run_id, checkpoint.round - 1, contribution.uid)
    try:
        return codec.decode(
            data, codec.get_layout(params), codec.CodecConfig.from_spec(spec.codec), expect=header
        )
    except codec.CodecError as error:
        raise LineageMismatch(f"{name} does not parse: {error}") from error


def _check_weights(bundle: Bundle, last: lineage_pb2.Checkpoint, params: state.State) -> None:
    recomputed = state.serialise(state.add_prefix(params, state.PARAM_PREFIX))
    if bundle.weights is None:
        bundle.weights = recomputed
    elif bundle.weights != recomputed:
        _read_weights(bundle.weights, "the weights file")
        raise LineageMismatch(f"the weights file is not checkpoint {last.round} of the chain")
