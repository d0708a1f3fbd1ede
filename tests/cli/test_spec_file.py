"""Specifications from TOML, checked by the pallet that will judge them."""

from pathlib import Path
from typing import Any

import pytest

from cli.spec_file import InvalidSpec, default_devnet_spec, encode_spec, load_spec, read_defaults
from exact.config import ModelConfig
from exact.data.weights import find_weights
from exact.families import init_params
from exact.state import checkpoint_root, get_layout
from node.pallets.runs.spec import compute_num_model_params, parse_spec
from node.pallets.runs.types import RunsParams
from proto.descent.runs.v1 import runs_pb2


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A small text of one's own."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i}.txt").write_text(f"file {i} " * 3000)
    return folder


@pytest.fixture
def small(text: Path) -> dict[str, Any]:
    """What makes the defaults fit the small text."""
    return {
        "data": {"directory": str(text)},
        "membership": {"max_participants": 8, "max_accepted": 4},
    }


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_defaults_are_complete() -> None:
    """Every field has a default or is computed, so that the file documents all of them."""
    defaults = read_defaults()
    computed = {"dataset_root", "num_train_bytes", "num_heldout_bytes", "initial_root", "parent"}
    for field in runs_pb2.RunSpec.DESCRIPTOR.fields:
        if field.name in computed:
            continue
        assert field.name in defaults
        if field.message_type is not None:
            names = {part.name for part in field.message_type.fields} - computed
            assert set(defaults[field.name]) == names, field.name


def test_devnet_spec_is_taken_by_the_chain(tmp_path: Path) -> None:
    spec = default_devnet_spec(datasets_dir=tmp_path)
    assert parse_spec(encode_spec(spec), RunsParams()) == spec
    assert (spec.membership.min_miners, spec.membership.min_validators) == (3, 2)
    assert spec.data.num_train_bytes > 1_000_000


def test_own_text(small: dict[str, Any], tmp_path: Path) -> None:
    spec = load_spec(small, datasets_dir=tmp_path / "d")
    assert parse_spec(encode_spec(spec), RunsParams()) == spec
    assert spec == load_spec(small, datasets_dir=tmp_path / "e")
    assert len(spec.initial_root) == 32


def test_file(text: Path, tmp_path: Path) -> None:
    file = write(
        text.parent / "spec.toml",
        'name = "mine"\n[data]\ndirectory = "texts"\n[model]\nnum_layers = 1\n'
        '[incentive]\nvariant = "original"\n[membership]\nmax_participants = 8\nmax_accepted = 4\n',
    )
    spec = load_spec(file, datasets_dir=tmp_path / "d")
    assert (spec.name, spec.model.num_layers, spec.model.d_model) == ("mine", 1, 64)
    assert spec.incentive.variant == runs_pb2.YUMA_VARIANT_ORIGINAL
    assert parse_spec(encode_spec(spec), RunsParams()) == spec


def test_seed_and_model_make_the_initial_root(small: dict[str, Any], tmp_path: Path) -> None:
    roots = {
        bytes(load_spec(small | change, datasets_dir=tmp_path / "d").initial_root)
        for change in ({}, {"init_seed": 1}, {"model": {"d_model": 32}})
    }
    assert len(roots) == 3


def test_parent(small: dict[str, Any], tmp_path: Path) -> None:
    parent = {"run_id": 1, "round": 7, "root": "ab" * 32}
    spec = load_spec(small | {"parent": parent}, datasets_dir=tmp_path / "d")
    assert spec.initial_root == spec.parent.root == b"\xab" * 32


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("[model]\nnum_layer = 2", "unknown field model.num_layer", "model.num_layers"),
        ("[modle]\nnum_layers = 2", "unknown field modle", "model"),
        ("zzz = 1", "unknown field zzz", "known: name"),
        ("model = 3", "model is a section", ""),
        ("[num_rounds]\na = 1", "num_rounds is a value", ""),
        ("num_rounds = true", "num_rounds = True is not a whole number", ""),
        ("[inner]\nlearning_rate_ppb = 0.004", "is not a whole number", "parts per 10^9"),
        ("num_rounds = -1", "not in 0..4294967295", ""),
        ("init_seed = 18446744073709551616", "not in 0..18446744073709551615", ""),
        ("name = 3", "name = 3 is not a string", ""),
        ("[model]\ntied_head = 1", "neither true nor false", ""),
        ("[incentive]\nvariant = 'yuma4'", "not one of yuma3, original", ""),
        ("initial_root = 'xyz'", "not hexadecimal", ""),
        ("[data]\ndataset_root = 'abcd'", "data.num_train_bytes is missing", "none"),
        ("[data]\ndirectory = 'nowhere'", "nowhere is not a directory", ""),
        ("[model]\nd_model = 65", "d_model", ""),
        (
            "[model]\nd_model = 16384\nnum_layers = 500",
            "the model has 1610616930304 parameters, the limit is 2000000000",
            "",
        ),
        ("name =", "is not TOML", ""),
    ],
)
def test_invalid(content: str, message: str, hint: str, tmp_path: Path) -> None:
    file = write(tmp_path / "spec.toml", content)
    with pytest.raises(InvalidSpec) as caught:
        load_spec(file, datasets_dir=tmp_path / "d")
    assert message in caught.value.message
    assert str(file) in caught.value.message
    assert hint in caught.value.hint


def test_invalid_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="cannot read"):
        load_spec(tmp_path / "absent.toml")


# ----------------------------------------------------------------------------- imported weights
@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A Llama folder as others write it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def test_init_makes_the_first_checkpoint(
    small: dict[str, Any], llama: Path, tmp_path: Path
) -> None:
    spec = load_spec(small | {"init": str(llama)}, datasets_dir=tmp_path / "d")
    assert parse_spec(encode_spec(spec), RunsParams()) == spec
    assert spec.imported_weights
    model = spec.model
    assert (model.family, model.d_model, model.num_kv_heads) == ("llama", 32, 2)
    assert (model.mlp_width, model.tied_head, model.context_length) == (48, True, 64)
    assert RunsParams().max_model_params > compute_num_model_params(model)
    layout = get_layout(init_params(ModelConfig.from_spec(spec), 0))
    params = find_weights(tmp_path / "d", spec.initial_root, layout)
    assert params is not None
    assert checkpoint_root(params) == spec.initial_root
    # A damaged file is not there.
    stored = tmp_path / "d/weights" / f"{spec.initial_root.hex()}.safetensors"
    stored.write_bytes(stored.read_bytes()[:-4] + b"\0\0\0\0")
    assert find_weights(tmp_path / "d", spec.initial_root, layout) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"init": "nowhere"}, r"cannot read nowhere/config\.json"),
        ({"init": 3}, "init = 3 is not a folder"),
        ({"model": {"d_model": 64}}, r"model\.d_model = 64, the folder's config\.json has 32"),
        ({"initial_root": "ab" * 32}, "initial_root is abab"),
        ({"parent": {"run_id": 1, "round": 1, "root": "ab" * 32}}, r"init and \[parent\]"),
    ],
)
def test_invalid_init(
    small: dict[str, Any], llama: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    document = small | {"init": str(llama)} | change
    with pytest.raises(InvalidSpec, match=message):
        load_spec(document, datasets_dir=tmp_path / "d")


def test_invalid_init__names_the_tensor(small: dict[str, Any], llama: Path, tmp_path: Path) -> None:
    path = llama / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(InvalidSpec, match=r"tensor model\.norm\.weight is truncated"):
        load_spec(small | {"init": str(llama)}, datasets_dir=tmp_path / "d")
