"""Llama folders: `transformers` loads what is written, what it writes is read, damage is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from bench.ordinary_llama import OrdinaryLlama
from exact import huggingface
from exact.backends import load_backend
from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.errors import InvalidModel, InvalidWeights
from exact.families import build_program, init_params
from exact.state import State
from tests.exact.test_gradients import make_everything_move

GROUPED: dict[str, Any] = {
    "family": "llama",
    "vocab_size": 256,
    "context_length": 24,
    "d_model": 64,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "mlp_width": 104,
    "tied_head": False,
}
TIED = {**GROUPED, "tied_head": True, "num_kv_heads": 0, "rotary_theta": 500_000}
# 15 bits in pairs: so precise that what is left to see is float32.
FINE = {"operand_max": 32_767, "block_size": 2}


def write_folder(folder: Path, model: ModelConfig, params: State) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    documents = {
        "config.json": huggingface.make_config(model),
        "tokenizer.json": huggingface.make_tokenizer(),
        "tokenizer_config.json": huggingface.make_tokenizer_config(model),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    (folder / "model.safetensors").write_bytes(huggingface.encode_weights(model, params))
    return folder


def make_params(model: ModelConfig) -> State:
    return make_everything_move(init_params(model, 3))


def compute_foreign_logits(folder: Path, tokens: np.ndarray) -> np.ndarray:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert next(model.parameters()).dtype == torch.float32
    with torch.no_grad():
        return model(torch.from_numpy(tokens)).logits.numpy()


@pytest.mark.parametrize("shape", [GROUPED, TIED], ids=["grouped", "tied"])
def test_transformers_loads_it_and_logits_agree(shape: dict[str, Any], tmp_path: Path) -> None:
    model = ModelConfig(**shape, **FINE, norm_epsilon=to_float32(10_000))
    params = make_params(model)
    folder = write_folder(tmp_path / "m", model, params)
    tokens = np.random.default_rng(0).integers(0, 256, (2, 20))
    foreign = compute_foreign_logits(folder, tokens)
    scale = np.abs(foreign).max()
    with torch.no_grad():
        ordinary = OrdinaryLlama(model, params)._compute_logits(torch.from_numpy(tokens)).numpy()
    np.testing.assert_allclose(ordinary, foreign, rtol=0, atol=1e-5 * scale)
    backend = load_backend("torch")
    program = build_program(model, OptimiserConfig(), 1)
    exact = backend.compute_logits(program, params, tokens)
    np.testing.assert_allclose(exact, foreign, rtol=0, atol=2e-4 * scale)
    # The default precision is that of 9 bits.
    coarse = ModelConfig(**shape, norm_epsilon=to_float32(10_000))
    exact = backend.compute_logits(build_program(coarse, OptimiserConfig(), 1), params, tokens)
    error = np.linalg.norm(exact - foreign) / np.linalg.norm(foreign)
    assert error < 0.02


def test_tokenizer_is_the_bytes(tmp_path: Path) -> None:
    model = ModelConfig(**TIED)
    tokenizer = AutoTokenizer.from_pretrained(write_folder(tmp_path, model, make_params(model)))
    for text in (
        "def f(x):\n\treturn x  # caf\u00e9 \u4f60\u597d \U0001f600",
        "",
        " a  b ",
        "\x00\x7f",
    ):
        assert tokenizer(text)["input_ids"] == list(text.encode())
        assert tokenizer.decode(list(text.encode())) == text


@pytest.mark.parametrize("shape", [GROUPED, TIED], ids=["grouped", "tied"])
def test_what_we_write_is_read_back(shape: dict[str, Any], tmp_path: Path) -> None:
    model = ModelConfig(**shape)
    params = make_params(model)
    folder = write_folder(tmp_path, model, params)
    fields = huggingface.read_config(folder)
    assert ModelConfig(**{**GROUPED, **rename(fields)}) == model
    read = huggingface.read_weights(folder, model)
    assert {n: t.tobytes() for n, t in read.items()} == {n: t.tobytes() for n, t in params.items()}


def rename(fields: dict[str, Any]) -> dict[str, Any]:
    epsilon = to_float32(fields["norm_epsilon_ppb"])
    return {
        **{n: v for n, v in fields.items() if n != "norm_epsilon_ppb"},
        "norm_epsilon": epsilon,
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("max_shard_size", ["10GB", "100KB"])
def test_what_transformers_writes_is_read(
    dtype: torch.dtype, max_shard_size: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=300,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    foreign = LlamaForCausalLM(config).to(dtype)
    foreign.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (tmp_path / huggingface.INDEX_FILE).exists() == (max_shard_size == "100KB")
    fields = rename(huggingface.read_config(tmp_path))
    model = ModelConfig(**fields, **FINE, context_length=16)
    params = huggingface.read_weights(tmp_path, model)
    tokens = np.random.default_rng(0).integers(0, 300, (1, 16))
    with torch.no_grad():
        wanted = foreign.float()(torch.from_numpy(tokens)).logits.numpy()
    program = build_program(model, OptimiserConfig(), 1)
    exact = load_backend("torch").compute_logits(program, params, tokens)
    np.testing.assert_allclose(exact, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


def change_file(folder: Path, change: Any) -> None:
    """Rewrite a safetensors file after changing its header or its body."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])
    change(header, body)
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes(body))


Q = "model.layers.0.self_attn.q_proj.weight"


def set_entry(name: str, field: str, value: Any) -> Any:
    def change(header: dict[str, Any], body: bytearray) -> None:
        header[name][field] = value

    return change


def flip_byte(header: dict[str, Any], body: bytearray) -> None:
    body[header[Q]["data_offsets"][0] + 5] ^= 1


def put_nan(header: dict[str, Any], body: bytearray) -> None:
    start = header[Q]["data_offsets"][0]
    body[start : start + 4] = np.float32(np.nan).tobytes()
    del header["__metadata__"]


def drop(header: dict[str, Any], body: bytearray) -> None:
    del header[Q]


def add_bias(header: dict[str, Any], body: bytearray) -> None:
    header["model.layers.0.self_attn.q_proj.bias"] = header["model.norm.weight"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_entry(Q, "shape", [32, 128]), rf"{Q} has shape \[32, 128\], not \[64, 64\]"),
        (set_entry(Q, "dtype", "I32"), f"{Q} is I32, supported: F32, F16, BF16"),
        (set_entry(Q, "dtype", "BF16"), f"{Q} is truncated"),
        (set_entry(Q, "data_offsets", [0, 10**9]), f"{Q} is truncated"),
        (set_entry(Q, "data_offsets", "x"), f"{Q}: the header entry is damaged"),
        (flip_byte, f"{Q} does not have the SHA-256 in the file's metadata"),
        (put_nan, f"{Q} holds a NaN"),
        (drop, f"{Q} is missing"),
        (add_bias, "q_proj.bias is not expected"),
    ],
)
def test_invalid_weights_name_the_tensor(change: Any, message: str, tmp_path: Path) -> None:
    model = ModelConfig(**GROUPED)
    folder = write_folder(tmp_path, model, make_params(model))
    change_file(folder, change)
    with pytest.raises(InvalidWeights, match=message):
        huggingface.read_weights(folder, model)


def test_invalid_files(tmp_path: Path) -> None:
    model = ModelConfig(**GROUPED)
    with pytest.raises(InvalidWeights, match=r"cannot read .*model.safetensors"):
        huggingface.read_weights(tmp_path, model)
    for data in (b"", b"abc", b"\xff" * 64, (9).to_bytes(8, "little") + b"[1, 2, 3]"):
        (tmp_path / "model.safetensors").write_bytes(data)
        with pytest.raises(InvalidWeights):
            huggingface.read_weights(tmp_path, model)
    index = tmp_path / huggingface.INDEX_FILE
    index.write_text(json.dumps({"weight_map": {Q: "../other.safetensors"}}))
    with pytest.raises(InvalidWeights, match="outside the folder"):
        huggingface.read_weights(tmp_path, model)
    with pytest.raises(InvalidModel, match="no counterpart"):
        huggingface.map_names(ModelConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mistral"}, "model_type = 'mistral'"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ({"attention_bias": True}, "biases are not supported"),
        ({"head_dim": 32}, "head_dim"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "type 'llama3'"),
        ({"rope_parameters": {"rope_theta": 0.5}}, "not a whole number"),
        ({"rms_norm_eps": 1.2345e-10}, "not a multiple of 1e-9"),
        ({"hidden_size": None}, "a number is missing or wrong"),
    ],
)
def test_invalid_configs(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    config = huggingface.make_config(ModelConfig(**GROUPED)) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidWeights, match=message):
        huggingface.read_config(tmp_path)


def test_a_head_that_is_not_tied_is_refused(tmp_path: Path) -> None:
    untied = ModelConfig(**GROUPED)
    folder = write_folder(tmp_path, untied, make_params(untied))
    with pytest.raises(InvalidWeights, match=r"lm_head\.weight differs"):
        huggingface.read_weights(folder, ModelConfig(**{**GROUPED, "tied_head": True}))
