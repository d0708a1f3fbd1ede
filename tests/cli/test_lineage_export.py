"""The exported folder: what `transformers` loads, and what is read back for verification."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.ordinary_llama import OrdinaryLlama
from cli.lineage.bundle import Bundle, LineageMismatch, Record, make_checkpoint_key, make_run_key
from cli.lineage.export import read_folder, write_folder
from cli.lineage.verify import Report
from exact import state
from exact.config import ModelConfig
from exact.families import init_params
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.runs.v1 import runs_pb2


def make_bundle(family: str) -> tuple[Bundle, state.State]:
    """Make a bundle of one checkpoint, its records not proved."""
    model = runs_pb2.ModelSpec(
        family=family,
        vocab_size=256,
        context_length=16,
        d_model=32,
        num_layers=2,
        num_heads=4,
        mlp_ratio=2,
    )
    if family == "llama":
        model.num_kv_heads = 2
    spec = runs_pb2.RunSpec(name="try", model=model)
    rng = np.random.default_rng(1)
    params = {
        name: rng.standard_normal(tensor.shape).astype(np.float32)
        for name, tensor in init_params(ModelConfig.from_spec(spec), 1).items()
    }
    root = state.checkpoint_root(params)
    run = runs_pb2.Run(id=1, spec=spec.SerializeToString(deterministic=True))
    checkpoint = lineage_pb2.Checkpoint(run_id=1, round=0, root=root)
    bundle = Bundle(
        chain_id="descent-devnet-1",
        height=5,
        app_hash=b"\x01" * 32,
        run=Record("runs", make_run_key(1), run.SerializeToString(), b""),
        checkpoints=[
            Record("lineage", make_checkpoint_key(1, 0), checkpoint.SerializeToString(), b"")
        ],
        weights=state.serialise(params),
    )
    return bundle, params


def export(family: str, folder: Path) -> tuple[Bundle, state.State]:
    bundle, params = make_bundle(family)
    root = bundle.parse_checkpoints()[0].root
    write_folder(bundle, Report(1, 0, 0, root, True, 0, bundle.app_hash, 5), folder)
    return bundle, params


def test_a_llama_is_loaded_by_transformers(tmp_path: Path) -> None:
    bundle, params = export("llama", tmp_path / "m")
    foreign = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    tokens = AutoTokenizer.from_pretrained(tmp_path / "m")("import numpy", return_tensors="pt")
    with torch.no_grad():
        logits = foreign(**tokens).logits.numpy()
        model = ModelConfig.from_spec(runs_pb2.RunSpec.FromString(bundle.parse_run().spec))
        ours = OrdinaryLlama(model, params)._compute_logits(tokens["input_ids"]).numpy()
    np.testing.assert_allclose(ours, logits, rtol=0, atol=1e-5 * np.abs(logits).max())
    assert "library_name: transformers" in (tmp_path / "m/README.md").read_text()


@pytest.mark.parametrize("family", ["gpt", "llama"])
def test_the_weights_are_read_back_in_canonical_form(family: str, tmp_path: Path) -> None:
    bundle, _ = export(family, tmp_path / "m")
    assert read_folder(tmp_path / "m").weights == bundle.weights


def test_a_gpt_says_that_it_has_no_counterpart(tmp_path: Path) -> None:
    export("gpt", tmp_path / "m")
    card = (tmp_path / "m/README.md").read_text()
    assert "no architecture in" in card
    assert "library_name: descent" in card
    assert not (tmp_path / "m/config.json").exists()


def test_a_changed_llama_tensor_is_named(tmp_path: Path) -> None:
    export("llama", tmp_path / "m")
    path = tmp_path / "m/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LineageMismatch, match=r"tensor model\.norm\.weight does not have"):
        read_folder(tmp_path / "m")


def test_a_run_record_that_is_no_run(tmp_path: Path) -> None:
    export("llama", tmp_path / "m")
    path = tmp_path / "m/lineage.json"
    document = json.loads(path.read_text())
    document["run"]["value"] = "ff"
    path.write_text(json.dumps(document))
    with pytest.raises(LineageMismatch, match="damaged"):
        read_folder(tmp_path / "m")
