"""MsgCreateRun."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from exact.config import ModelConfig
from exact.families import compute_param_shapes
from node.pallets.runs.errors import (
    BountyTooSmall,
    SpecNotCanonical,
    SpecRefused,
    TooManyRuns,
    UnknownParent,
)
from node.pallets.runs.spec import BOUNDS, compute_num_model_params, compute_spec_hash, get_field
from node.pallets.runs.types import RunCreated, RunsParams
from node.runtime.addresses import compute_module_address
from node.runtime.errors import InsufficientFunds
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import (
    OWNER_UDSC,
    TrainingChain,
    build_spec,
    encode_spec,
    hash_text,
)


@pytest.fixture
def chain() -> TrainingChain:
    return TrainingChain()


def build_create(raw: bytes, bounty: int = 0) -> Any:
    return runs_pb2.MsgCreateRun(owner=make_text_addr("owner"), spec=raw, bounty_udsc=bounty)


def set_field(spec: Any, path: str, value: Any) -> None:
    *head, last = path.split(".")
    setattr(get_field(spec, ".".join(head)) if head else spec, last, value)


def test_create_run(chain: TrainingChain) -> None:
    raw = encode_spec(build_spec())
    result = chain.run(build_create(raw, 5_000))
    run = chain.get_run(result.response.run_id)
    assert (run.id, run.status, run.bounty_udsc) == (1, runs_pb2.RUN_STATUS_PENDING, 5_000)
    assert run.spec == raw
    assert run.spec_hash == compute_spec_hash(raw)
    assert run.burn_price_udsc == 1_000
    assert chain.get_balance("owner") == OWNER_UDSC - 5_000
    bank = chain.get_pallet("bank")
    assert bank.get_balance(chain.ctx(), compute_module_address("runs")) == 5_000
    owner = make_text_addr("owner")
    assert result.get_events(RunCreated) == [RunCreated(1, owner, "tiny", run.spec_hash, 5_000)]


def test_create_run__ids_count_up(chain: TrainingChain) -> None:
    assert [chain.create_run() for _ in range(3)] == [1, 2, 3]


def test_create_run__from_parent(chain: TrainingChain) -> None:
    parent = chain.start_run()
    settled = chain.play_round(parent)
    spec = build_spec()
    spec.parent.CopyFrom(
        runs_pb2.ParentCheckpoint(run_id=parent, round=1, root=settled.result_root)
    )
    spec.initial_root = settled.result_root
    assert chain.create_run(spec) == 2


@pytest.mark.parametrize(("path", "low", "high"), BOUNDS)
def test_invalid_bounds(chain: TrainingChain, path: str, low: int, high: int) -> None:
    values = [high + 1] if high < 2**32 - 1 or path.startswith(("inner", "membership")) else []
    values += [low - 1] if low > 0 else []
    for value in values:
        spec = build_spec()
        set_field(spec, path, value)
        error = chain.assert_noop(build_create(encode_spec(spec)), SpecRefused)
        assert error.detail == f"{path} = {value}, the bounds are {low}..{high}"


@pytest.mark.parametrize(
    ("path", "value", "detail"),
    [
        ("model.family", "rnn", "model.family = 'rnn', supported: gpt, llama"),
        ("verification", "trust", "verification = 'trust', supported: exact"),
        ("incentive.variant", 0, "incentive.variant = 0, supported"),
        ("name", "", "name has 0 bytes"),
        ("name", "x" * 65, "name has 65 bytes, it must have 1 to 64"),
        ("name", "a\nb", "all printable"),
        ("data.dataset_root", b"short", "data.dataset_root has 5 bytes, not 32"),
        ("initial_root", b"", "initial_root has 0 bytes"),
        ("timeline.judge_reveal_blocks", 6, r"= 8, at most commit_blocks \+ attest_blocks = 7"),
        ("work.interval_steps", 3, "work.inner_steps = 8 is not a multiple"),
        ("model.num_heads", 3, "model.d_model = 16 is not a multiple"),
        ("precision.operand_max", 510, "is not 2[*][*]b - 1"),
        ("precision.softmax_max", 510, "precision.softmax_max = 510 is not 2[*][*]b - 1"),
        ("precision.softmax_max", 1, "precision.softmax_max = 1 is not"),
        (
            "precision.activation_max",
            8_191,
            r"activation_max \* activation_max \* block_size = 4293918784 is above 2147483647",
        ),
        ("model.num_kv_heads", 1, "model.num_kv_heads = 1 is only for family llama"),
        ("model.rotary_theta", 500_000, "only for family llama"),
        ("work.num_parts", 3, "work.batch_size = 8 is not a multiple of work.num_parts = 3"),
        ("codec.top_k", 4097, "codec.top_k = 4097 is above codec.chunk_size = 4096"),
        ("membership.max_accepted", 9, "above membership.max_participants = 8"),
        ("membership.min_miners", 7, r"min_miners \+ min_validators = 9"),
        ("membership.initial_burn_udsc", 99, "is not between min_burn_udsc = 100"),
        (
            "data.num_train_bytes",
            16_384,
            "holds 511 sequences, a round of 8 participants needs 512",
        ),
        ("data.num_heldout_bytes", 2_048, "holds 63 sequences"),
        ("judge.num_assigned_sequences", 65, "is above the 64 sequences of one participant"),
    ],
)
def test_invalid_spec(chain: TrainingChain, path: str, value: Any, detail: str) -> None:
    spec = build_spec()
    set_field(spec, path, value)
    chain.assert_noop(build_create(encode_spec(spec)), SpecRefused, detail)


def test_invalid_llama_heads(chain: TrainingChain) -> None:
    spec = build_spec()
    spec.model.family = "llama"
    spec.model.num_kv_heads = 3
    chain.assert_noop(build_create(encode_spec(spec)), SpecRefused, "num_kv_heads = 3")


@pytest.mark.parametrize("family", ["gpt", "llama", "llama-grouped"])
@pytest.mark.parametrize("tied_head", [False, True])
def test_num_model_params__equals_the_program(tied_head: bool, family: str) -> None:
    spec = build_spec()
    spec.model.tied_head = tied_head
    spec.model.family = family.removesuffix("-grouped")
    if family == "llama-grouped":
        spec.model.num_kv_heads = spec.model.num_heads // 2
        spec.model.mlp_width = 20
    shapes = compute_param_shapes(ModelConfig.from_spec(spec))
    total = sum(math.prod(shape) for shape in shapes.values())
    assert compute_num_model_params(spec.model) == total


def test_invalid_model_too_large(chain: TrainingChain) -> None:
    spec = build_spec()
    params = RunsParams(max_model_params=compute_num_model_params(spec.model) - 1)
    runs = chain.get_pallet("runs")
    runs.storage.params.set(chain.ctx(), params)
    message = build_create(encode_spec(spec))
    chain.assert_noop(message, SpecRefused, "the model has 11264 parameters, the limit is 11263")


def test_invalid_missing_section(chain: TrainingChain) -> None:
    spec = build_spec()
    spec.ClearField("codec")
    chain.assert_noop(build_create(encode_spec(spec)), SpecRefused, "section codec is missing")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda raw: raw + b"\xa0\x06\x01", "the specification"),
        (lambda raw: replace_model(raw, b"\xa0\x06\x01"), "model"),
    ],
)
def test_invalid_unknown_field(
    chain: TrainingChain, change: Callable[[bytes], bytes], where: str
) -> None:
    raw = change(encode_spec(build_spec()))
    chain.assert_noop(build_create(raw), SpecRefused, f"unknown field in {where}")


def replace_model(raw: bytes, extra: bytes) -> bytes:
    spec = runs_pb2.RunSpec.FromString(raw)
    model = spec.model.SerializeToString(deterministic=True) + extra
    spec.ClearField("model")
    return encode_spec(spec) + b"\x12" + bytes([len(model)]) + model


def test_invalid_not_canonical(chain: TrainingChain) -> None:
    spec = build_spec()
    name = runs_pb2.RunSpec(name="tiny").SerializeToString()
    spec.ClearField("name")
    chain.assert_noop(build_create(encode_spec(spec) + name), SpecNotCanonical)
    chain.assert_noop(build_create(b"\xff\xff"), SpecNotCanonical, "do not parse")


def test_invalid_too_many_bytes(chain: TrainingChain) -> None:
    chain.assert_noop(build_create(bytes(4_097)), SpecRefused, "4097 bytes, the limit is 4096")


def test_invalid_parent(chain: TrainingChain) -> None:
    run_id = chain.start_run()
    spec = build_spec()
    spec.parent.CopyFrom(runs_pb2.ParentCheckpoint(run_id=run_id, round=1, root=spec.initial_root))
    chain.assert_noop(build_create(encode_spec(spec)), UnknownParent, "run 1, round 1")
    spec.parent.round = 0
    spec.parent.root = spec.initial_root = hash_text("other")
    found = hash_text("theta/0").hex()
    chain.assert_noop(build_create(encode_spec(spec)), UnknownParent, f"has root {found}")
    spec.initial_root = hash_text("theta/0")
    chain.assert_noop(build_create(encode_spec(spec)), SpecRefused, "initial_root differs")


def test_invalid_bounty(chain: TrainingChain) -> None:
    raw = encode_spec(build_spec())
    chain.assert_noop(build_create(raw, OWNER_UDSC + 1), InsufficientFunds)
    runs = chain.get_pallet("runs")
    runs.storage.params.set(chain.ctx(), RunsParams(min_bounty_udsc=7))
    chain.assert_noop(build_create(raw, 6), BountyTooSmall, "6udsc, the minimum is 7udsc")


def test_invalid_too_many_runs(chain: TrainingChain) -> None:
    chain.get_pallet("runs").storage.params.set(chain.ctx(), RunsParams(max_runs=2))
    first = chain.create_run()
    chain.create_run()
    message = build_create(encode_spec(build_spec()))
    chain.assert_noop(message, TooManyRuns, "2 runs are open")
    chain.run(runs_pb2.MsgHaltRun(owner=make_text_addr("owner"), run_id=first))
    chain.run(message)
