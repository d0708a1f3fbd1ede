"""Llama folders as `transformers` reads and writes them: config.json, safetensors, byte tokenizer.

Reading widens bfloat16 and float16 to float32, which is exact; every other dtype, a wrong shape,
a missing or a foreign tensor, a NaN, or bytes that do not have the SHA-256 in the file's own
metadata are refused by the tensor's name. What is written names that hash for every tensor.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exact.config import DEFAULT_ROTARY_THETA, PPB, ModelConfig, to_float32
from exact.errors import InvalidModel, InvalidWeights
from exact.families import compute_param_shapes
from exact.state import MAX_HEADER_BYTES, PARAM_PREFIX, State

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
CONFIG_FILE = "config.json"
BYTE_VOCAB = 256
HASH_PREFIX = "sha256:"
HEAD = "lm_head.weight"
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "attention_q": "self_attn.q_proj",
    "attention_k": "self_attn.k_proj",
    "attention_v": "self_attn.v_proj",
    "attention_out": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "mlp_gate": "mlp.gate_proj",
    "mlp_up": "mlp.up_proj",
    "mlp_out": "mlp.down_proj",
}
_TOP_NAMES = {"embedding": "model.embed_tokens.weight", "final_norm": "model.norm.weight"}


# ------------------------------------------------------------------------------------- names
def get_foreign_name(name: str) -> str:
    """Return what `transformers` calls one of our parameters."""
    if name == "head":
        return HEAD
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    layer, part = name.split("/")
    return f"model.layers.{int(layer.removeprefix('layer'))}.{_LAYER_NAMES[part]}.weight"


def map_names(model: ModelConfig) -> dict[str, str]:
    """Return our name -> the foreign one, for every parameter of a model.

    Raises:
        InvalidModel: another family than llama.
    """
    if model.family != "llama":
        raise InvalidModel(f"family {model.family} has no counterpart in transformers")
    return {name: get_foreign_name(name) for name in compute_param_shapes(model)}


# ------------------------------------------------------------------------------------ config
def make_config(model: ModelConfig) -> dict[str, Any]:
    """Make config.json of a Llama model."""
    theta = float(model.rotary_theta)
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": None,
        "dtype": "float32",
        "eos_token_id": None,
        "head_dim": model.head_dim,
        "hidden_act": "silu",
        "hidden_size": model.d_model,
        "intermediate_size": model.hidden_width,
        "max_position_embeddings": model.context_length,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": model.num_heads,
        "num_hidden_layers": model.num_layers,
        "num_key_value_heads": model.kv_heads,
        "rms_norm_eps": float(str(np.float32(model.norm_epsilon))),
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "rope_theta": theta,
        "tie_word_embeddings": model.tied_head,
        "vocab_size": model.vocab_size,
    }


def read_config(folder: Path) -> dict[str, Any]:
    """Read the fields of a `ModelSpec` from config.json.

    Returns:
        Field name -> value; the context length is the run's own to choose.

    Raises:
        InvalidWeights: unreadable, or something that the llama family does not have.
    """
    config = _read_json(folder / CONFIG_FILE)
    where = f"{folder / CONFIG_FILE}:"
    fixed = (("model_type", "llama"), ("hidden_act", "silu"))
    for name, only in fixed:
        if config.get(name, only) != only:
            raise InvalidWeights(f"{where} {name} = {config[name]!r}, supported: {only}")
    for name in ("attention_bias", "mlp_bias"):
        if config.get(name):
            raise InvalidWeights(f"{where} {name} = true: biases are not supported")
    try:
        heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
        if (config.get("head_dim") or width // heads) * heads != width:
            raise InvalidWeights(f"{where} head_dim * num_attention_heads is not hidden_size")
        kv_heads = int(config.get("num_key_value_heads") or heads)
        return {
            "family": "llama",
            "vocab_size": int(config["vocab_size"]),
            "d_model": width,
            "num_layers": int(config["num_hidden_layers"]),
            "num_heads": heads,
            "num_kv_heads": 0 if kv_heads == heads else kv_heads,
            "mlp_width": int(config["intermediate_size"]),
            "rotary_theta": _read_theta(config, where),
            "norm_epsilon_ppb": _read_epsilon(float(config.get("rms_norm_eps", 1e-6)), where),
            "tied_head": bool(config.get("tie_word_embeddings", False)),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidWeights(f"{where} a number is missing or wrong: {error!r}") from error


def _read_theta(config: Mapping[str, Any], where: str) -> int:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise InvalidWeights(f"{where} rotary scaling of type {kind!r} is not supported")
    theta = rope.get("rope_theta", config.get("rope_theta", DEFAULT_ROTARY_THETA))
    if theta != int(theta):
        raise InvalidWeights(f"{where} rope_theta = {theta} is not a whole number")
    return int(theta)


def _read_epsilon(epsilon: float, where: str) -> int:
    ppb = round(epsilon * PPB)
    if to_float32(ppb) != float(np.float32(epsilon)):
        raise InvalidWeights(f"{where} rms_norm_eps = {epsilon} is not a multiple of 1e-9")
    return ppb


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidWeights(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidWeights(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidWeights(f"{path} is not a JSON object")
    return document


# ----------------------------------------------------------------------------------- weights
def encode_weights(model: ModelConfig, params: State) -> bytes:
    """Encode weights as one safetensors file with foreign names.

    Args:
        model: of family llama.
        params: `param/<name>` tensors.

    Raises:
        InvalidModel: another family.
    """
    arrays = {
        foreign: np.ascontiguousarray(params[PARAM_PREFIX + name], "<f4")
        for name, foreign in map_names(model).items()
    }
    metadata, entries, offset = {"format": "pt"}, {}, 0
    for name in sorted(arrays):
        size = arrays[name].nbytes
        metadata[HASH_PREFIX + name] = hashlib.sha256(arrays[name].tobytes()).hexdigest()
        offsets = [offset, offset + size]
        shape = list(arrays[name].shape)
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        offset += size
    header = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    body = b"".join(arrays[name].tobytes() for name in sorted(arrays))
    return len(header).to_bytes(8, "little") + header + body


def read_weights(folder: Path, model: ModelConfig) -> State:
    """Read the weights of a Llama folder, one file or several.

    Args:
        folder: holds model.safetensors, or an index and its files.
        model: the shape that is wanted.

    Returns:
        `param/<name>` float32 tensors.

    Raises:
        InvalidWeights: naming the file or the tensor that is wrong.
        InvalidModel: another family than llama.
    """
    files = {path: _Shard(path) for path in _list_files(folder)}
    found = {name: shard for shard in files.values() for name in shard.entries}
    return _convert(found, model)


def decode_weights(data: bytes, model: ModelConfig) -> State:
    """Read weights from the bytes of one file; see `read_weights`."""
    shard = _Shard(Path(WEIGHTS_FILE), data)
    return _convert(dict.fromkeys(shard.entries, shard), model)


def _convert(found: Mapping[str, "_Shard"], model: ModelConfig) -> State:
    shapes = compute_param_shapes(model)
    names = map_names(model)
    extra = set(found) - set(names.values())
    extra = {name for name in extra if not name.endswith("rotary_emb.inv_freq")}
    if model.tied_head and HEAD in extra:
        extra.remove(HEAD)
        table = found[names["embedding"]].read(names["embedding"], shapes["embedding"])
        if not np.array_equal(found[HEAD].read(HEAD, shapes["embedding"]), table):
            raise InvalidWeights(f"{HEAD} differs from {names['embedding']}, which it is tied to")
    if extra:
        raise InvalidWeights(f"tensor {min(extra)} is not expected")
    params: State = {}
    for name, foreign in names.items():
        if foreign not in found:
            raise InvalidWeights(f"tensor {foreign} is missing")
        params[PARAM_PREFIX + name] = found[foreign].read(foreign, shapes[name])
    return params


def _list_files(folder: Path) -> Iterator[Path]:
    if not (folder / INDEX_FILE).exists():
        yield folder / WEIGHTS_FILE
        return
    index = _read_json(folder / INDEX_FILE)
    names = index.get("weight_map")
    if not isinstance(names, dict):
        raise InvalidWeights(f"{folder / INDEX_FILE} has no weight_map")
    for name in sorted({str(file) for file in names.values()}):
        if Path(name).name != name:
            raise InvalidWeights(f"{folder / INDEX_FILE} names a file outside the folder: {name}")
        yield folder / name


class _Shard:
    """One safetensors file."""

    def __init__(self, path: Path, data: bytes | None = None):
        self._path = path
        self._body = self._open() if data is None else np.frombuffer(data, np.uint8)
        size = int.from_bytes(self._body[:8].tobytes(), "little")
        if len(self._body) < 8 or size > min(len(self._body) - 8, MAX_HEADER_BYTES * 16):
            raise InvalidWeights(f"{path} is truncated or not a safetensors file")
        try:
            self.entries = json.loads(self._body[8 : 8 + size].tobytes())
            self._metadata = self.entries.pop("__metadata__", None) or {}
        except (ValueError, AttributeError, TypeError) as error:
            raise InvalidWeights(f"{path}: the header is not a JSON object") from error
        self._start = 8 + size

    def _open(self) -> np.ndarray:
        try:
            return np.memmap(self._path, np.uint8, mode="r")
        except (OSError, ValueError) as error:
            raise InvalidWeights(f"cannot read {self._path}: {error}") from error

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Read one tensor as float32, checking everything the file says of it."""
        try:
            entry = self.entries[name]
            dtype, given = str(entry["dtype"]), tuple(int(size) for size in entry["shape"])
            start, end = (int(offset) for offset in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidWeights(f"tensor {name}: the header entry is damaged") from error
        if given != shape:
            raise InvalidWeights(f"tensor {name} has shape {list(given)}, not {list(shape)}")
        if dtype not in _DTYPES:
            raise InvalidWeights(f"tensor {name} is {dtype}, supported: {', '.join(_DTYPES)}")
        raw = self._body[self._start + start : self._start + end]
        if start < 0 or len(raw) != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
            raise InvalidWeights(f"tensor {name} is truncated")
        data = raw.tobytes()
        hash_ = self._metadata.get(HASH_PREFIX + name)
        if hash_ is not None and hashlib.sha256(data).hexdigest() != hash_:
            raise InvalidWeights(f"tensor {name} does not have the SHA-256 in the file's metadata")
        values = np.frombuffer(data, _DTYPES[dtype]).reshape(shape)
        if dtype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        array = values.astype(np.float32) + np.float32(0)
        if not np.isfinite(array).all():
            raise InvalidWeights(f"tensor {name} holds a NaN or an infinity")
        return array


# --------------------------------------------------------------------------------- tokenizer
def make_tokenizer() -> dict[str, Any]:
    """Make tokenizer.json of the byte tokenizer: token ids are the bytes of the UTF-8 text.

    The byte-level pre-tokenizer writes every byte as one printable character; the vocabulary maps
    each back to its byte, and there are no merges.
    """
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {**byte_level, "use_regex": False},
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {_get_character(byte): byte for byte in range(BYTE_VOCAB)},
            "merges": [],
        },
    }


def make_tokenizer_config(model: ModelConfig) -> dict[str, Any]:
    """Make tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.context_length,
        "clean_up_tokenization_spaces": False,
    }


def _get_character(byte: int) -> str:
    """Return the printable character of a byte: itself where it is one, else from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    others = [b for b in range(BYTE_VOCAB) if b not in printable]
    return chr(BYTE_VOCAB + others.index(byte))
