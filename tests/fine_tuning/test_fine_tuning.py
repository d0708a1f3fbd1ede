"""A run on existing weights, to the end: a Llama folder in, rounds on a devnet, a folder out."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from cli.devnet.layout import RUN_ID
from exact.state import deserialise
from tests.support.devnet import SPEC, Devnet

pytestmark = pytest.mark.xdist_group("devnet")

# Everything that the llama family can do: the fast recipe, parts, recomputed activations.
CHANGES = """\
init = 'INIT'
num_rounds = 1000
[precision]
operand_max = 127
softmax_max = 32767
"""


def write_weights(folder: Path) -> Path:
    """Write a small Llama as others do, with larger gains so that it can be told apart."""
    torch.manual_seed(3)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=72,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.norm.weight.fill_(1.25)
    model.save_pretrained(folder)
    return folder


def make_spec(text: Path, init: Path) -> str:
    spec = SPEC.replace("TEXT", str(text)).replace("min_miners = 3", "min_miners = 1")
    spec = spec.replace("min_validators = 2", "min_validators = 1").replace("init_seed = 1\n", "")
    spec = spec.replace("interval_steps = 4", "interval_steps = 4\nnum_parts = 2\nrecompute = true")
    for shape in ("d_model = 32", "num_layers = 1", "num_heads = 2"):
        spec = spec.replace(shape + "\n", "")
    return spec.replace("num_rounds = 1000\n", CHANGES.replace("INIT", str(init)))


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    found = Devnet(tmp_path_factory.mktemp("fine-tuning"))
    init = write_weights(found.folder / "llama")
    (found.home / "run.toml").write_text(make_spec(found.text, init))
    try:
        found.up("--miners", "1", "--validators", "1", "--until", "reward")
        yield found
    finally:
        found.close()


def test_the_run_starts_from_the_folder(devnet: Devnet) -> None:
    spec = devnet.type("run", "show", str(RUN_ID))["spec"]
    assert spec["imported_weights"]
    assert spec["model"]["family"] == "llama"
    root = devnet.client.get_checkpoint(RUN_ID, 0).checkpoint.root
    kept = (devnet.home / "data/weights" / f"{root.hex()}.safetensors").read_bytes()
    assert (deserialise(kept)["param/final_norm"] == 1.25).all()


def test_lineage_begins_at_the_folder(devnet: Devnet) -> None:
    report = devnet.type("lineage", "verify", str(RUN_ID), "--from-genesis")
    assert (report["verified"], report["from_seed"], report["from_round"]) == (True, False, 0)


def test_what_comes_out_is_loaded_by_transformers(devnet: Devnet) -> None:
    def has_learnt() -> bool:
        """Three rounds had work: the miner may be late for others."""
        indexes = range(devnet.client.get_current_round(RUN_ID).index)
        return sum(bool(devnet.client.get_round(RUN_ID, i).accepted) for i in indexes) >= 3

    devnet.wait(has_learnt, 120, "three rounds with work")
    target = devnet.folder / "out"
    report = devnet.type("lineage", "export", str(RUN_ID), "--to", str(target))
    assert report["round"] >= 2
    before = AutoModelForCausalLM.from_pretrained(devnet.folder / "llama")
    after = AutoModelForCausalLM.from_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(target)
    text = (devnet.text / "argparse.py").read_text()[:2000]
    tokens = tokenizer(text, return_tensors="pt")["input_ids"].view(-1)[:1984].view(-1, 32)
    with torch.no_grad():
        losses = [float(model(tokens, labels=tokens).loss) for model in (before, after)]
    assert losses[1] < losses[0] - 0.3, losses
    assert devnet.type("lineage", "verify", str(target))["verified"]
    # A tensor changed in the exported file is no longer the chain's.
    change_one_weight(target / "model.safetensors")
    error = devnet.type("lineage", "verify", str(target), code=4)
    assert "model.norm.weight does not have the SHA-256" in error["message"]


def change_one_weight(path: Path) -> None:
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + size])["model.norm.weight"]
    start = 8 + size + entry["data_offsets"][0]
    data[start : start + 4] = np.float32(3.0).tobytes()
    path.write_bytes(bytes(data))
