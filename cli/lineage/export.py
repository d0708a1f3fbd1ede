"""A folder that shows how a model came to be, and its reading back.

    model.safetensors   the weights; for family llama with the names of `transformers`
    config.json, tokenizer.json, tokenizer_config.json
                        family llama: what `AutoModelForCausalLM.from_pretrained` reads
    base.safetensors    the first weights, where no seed makes them
    lineage.json        records with proofs, the height and app hash they were read at
    payloads/<sha256>   every contribution
    README.md           model card

Everything but README.md and the three files of `transformers` takes part in verification. The
folder is written beside its place and renamed, so a folder that exists is whole.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from cli.lineage.bundle import Bundle, LineageMismatch, Record
from cli.lineage.verify import Report
from exact import huggingface, state
from exact.config import ModelConfig
from exact.errors import ExactError
from proto.descent.runs.v1 import runs_pb2

VERSION = 1
MAX_LINEAGE_BYTES = 1 << 30
NANONATS_PER_BIT = 693_147_181


def write_folder(bundle: Bundle, report: Report, target: Path) -> None:
    """Write a verified bundle.

    Args:
        bundle: with its weights.
        report: of its verification.
        target: must not exist, or be an empty folder.

    Raises:
        FileExistsError: there is something at the target.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} is not empty: choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _fill(bundle, report, partial)
        partial.chmod(0o755)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_folder(folder: Path) -> Bundle:
    """Read a folder back, checking nothing but its form.

    Raises:
        LineageMismatch: a file is missing or damaged; the text names it.
    """
    path = folder / "lineage.json"
    document = _read_json(path)
    try:
        if document["version"] != VERSION:
            raise LineageMismatch(f"{path} has version {document['version']}, this reads {VERSION}")
        bundle = Bundle(
            chain_id=str(document["chain_id"]),
            height=int(document["height"]),
            app_hash=bytes.fromhex(document["app_hash"]),
            run=_decode_record(document["run"]),
            checkpoints=[_decode_record(item) for item in document["checkpoints"]],
            judgements={
                int(index): _decode_record(item) for index, item in document["judgements"].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LineageMismatch(f"{path} is damaged: {error!r}") from error
    bundle.weights = _read_weights(folder, bundle)
    if (folder / "base.safetensors").exists():
        bundle.base = _read_bytes(folder / "base.safetensors")
    for payload in sorted((folder / "payloads").glob("*")):
        try:
            bundle.payloads[bytes.fromhex(payload.name)] = _read_bytes(payload)
        except ValueError as error:
            raise LineageMismatch(f"{payload} is not named by a hash") from error
    return bundle


def _fill(bundle: Bundle, report: Report, folder: Path) -> None:
    if bundle.weights is None:
        raise ValueError("the bundle has no weights: verify it first")
    for name, data in _encode_model(bundle, bundle.weights).items():
        _write(folder / name, data)
    if bundle.base is not None:
        _write(folder / "base.safetensors", bundle.base)
    (folder / "payloads").mkdir()
    for address, data in sorted(bundle.payloads.items()):
        _write(folder / "payloads" / address.hex(), data)
    document = {
        "version": VERSION,
        "chain_id": bundle.chain_id,
        "height": bundle.height,
        "app_hash": bundle.app_hash.hex(),
        "run": _encode_record(bundle.run),
        "checkpoints": [_encode_record(record) for record in bundle.checkpoints],
        "judgements": {
            str(index): _encode_record(record)
            for index, record in sorted(bundle.judgements.items())
        },
    }
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    _write(folder / "lineage.json", text.encode())
    _write(folder / "README.md", make_card(bundle, report).encode())


def _get_model(bundle: Bundle) -> ModelConfig:
    return ModelConfig.from_spec(runs_pb2.RunSpec.FromString(bundle.parse_run().spec))


def _encode_model(bundle: Bundle, weights: bytes) -> dict[str, bytes]:
    """Return file name -> content: the weights, and what makes them a model elsewhere."""
    model = _get_model(bundle)
    if model.family != "llama":
        return {huggingface.WEIGHTS_FILE: weights}
    documents = {huggingface.CONFIG_FILE: huggingface.make_config(model)}
    if model.vocab_size == huggingface.BYTE_VOCAB:
        documents["tokenizer.json"] = huggingface.make_tokenizer()
        documents["tokenizer_config.json"] = huggingface.make_tokenizer_config(model)
    files = {name: (json.dumps(d, indent=1) + "\n").encode() for name, d in documents.items()}
    params = state.deserialise(weights)
    return {huggingface.WEIGHTS_FILE: huggingface.encode_weights(model, params), **files}


def _read_weights(folder: Path, bundle: Bundle) -> bytes:
    """Return the weights in canonical form, whatever names they are stored under."""
    data = _read_bytes(folder / huggingface.WEIGHTS_FILE)
    try:
        model = _get_model(bundle)
        if model.family != "llama":
            return data
        return state.serialise(huggingface.decode_weights(data, model))
    except ExactError as error:
        raise LineageMismatch(f"{folder / huggingface.WEIGHTS_FILE}: {error}") from error
    except DecodeError as error:
        raise LineageMismatch(f"the run's record is damaged: {error}") from error


def make_card(bundle: Bundle, report: Report) -> str:
    """Write the model card: what it is, how it came to be, how to check that."""
    run = bundle.parse_run()
    spec = runs_pb2.RunSpec.FromString(run.spec)
    last = bundle.parse_checkpoints()[-1]
    model = spec.model
    judgements = bundle.parse_judgements()
    losses = [
        (index - 1, judgement.base_heldout_loss_nanonats / NANONATS_PER_BIT)
        for index, judgement in sorted(judgements.items())
        if judgement.base_heldout_loss_nanonats > 0
    ]
    lines = [
        "---",
        f"library_name: {'transformers' if model.family == 'llama' else 'descent'}",
        "tags:",
        "- descent",
        f"- {bundle.chain_id}",
        "---",
        "",
        f"# {spec.name}, checkpoint {last.round}",
        "",
        f"A {model.family} of {model.num_layers} layers, width {model.d_model}, {model.num_heads} "
        f"heads, context {model.context_length}, vocabulary {model.vocab_size}, trained by many on "
        f"the chain `{bundle.chain_id}`.",
        "",
        "| | |",
        "|---|---|",
        f"| run | {run.id}, spec `{run.spec_hash.hex()}` |",
        f"| checkpoint | {last.round}, tensor root `{last.root.hex()}` |",
        f"| dataset | root `{spec.data.dataset_root.hex()}` |",
        f"| records read at | height {bundle.height}, app hash `{bundle.app_hash.hex()}` |",
        f"| payloads applied | {report.num_payloads} |",
        "",
        "Verify, with the chain switched off (the app hash from a source you trust):",
        "",
        f"    descent lineage verify . --app-hash {bundle.app_hash.hex()}",
        "",
    ]
    lines += _describe_use(model)
    if losses:
        lines += ["| checkpoint | held-out loss, bits a byte |", "|---|---|"]
        lines += [f"| {index} | {loss:.4f} |" for index, loss in losses]
        lines.append("")
    return "\n".join(lines)


def _describe_use(model: runs_pb2.ModelSpec) -> list[str]:
    if model.family != "llama":
        return [
            "The gpt family (ReLU^2, no gains, rotary attention) has no architecture in",
            "`transformers`: `model.safetensors` has Descent's own names, and `descent run sample`",
            "runs the model.",
            "",
        ]
    lines = [
        "Use it with `transformers`:",
        "",
        '    model = AutoModelForCausalLM.from_pretrained(".")',
    ]
    if model.vocab_size == huggingface.BYTE_VOCAB:
        lines += [
            '    tokenizer = AutoTokenizer.from_pretrained(".")   # token ids are UTF-8 bytes'
        ]
    return [*lines, ""]


def _encode_record(record: Record) -> dict[str, str]:
    return {
        "store": record.store,
        "key": record.key.hex(),
        "value": record.value.hex(),
        "proof": record.proof.hex(),
    }


def _decode_record(item: dict[str, Any]) -> Record:
    return Record(
        store=str(item["store"]),
        key=bytes.fromhex(item["key"]),
        value=bytes.fromhex(item["value"]),
        proof=bytes.fromhex(item["proof"]),
    )


def _read_json(path: Path) -> dict[str, Any]:
    data = _read_bytes(path)
    if len(data) > MAX_LINEAGE_BYTES:
        raise LineageMismatch(f"{path} is over {MAX_LINEAGE_BYTES} bytes")
    try:
        document = json.loads(data)
    except ValueError as error:
        raise LineageMismatch(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise LineageMismatch(f"{path} is not a JSON object")
    return document


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LineageMismatch(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
