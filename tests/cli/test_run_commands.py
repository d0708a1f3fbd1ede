"""`run sample`, `halt` and `fund` against a real node and a real blob server."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chain_client.blob.address import KIND_STATE
from chain_client.blob.server import BlobServer
from chain_client.blob.store import BlobStore
from cli.main import run
from exact import state
from exact.addresses import ADDRESS_FUNCTIONS
from exact.backends import load_backend
from exact.config import ModelConfig, OptimiserConfig
from exact.families import build_program, init_params
from tests.support.typed import Typed

SEED = 5
MODEL = ModelConfig(d_model=16, num_layers=1, num_heads=2, context_length=16)
SPEC = f"""
name = "small"
init_seed = {SEED}
[model]
d_model = 16
num_layers = 1
num_heads = 2
context_length = 16
[data]
dataset_root = "{"ab" * 32}"
num_train_bytes = 100_000
num_heldout_bytes = 50_000
[membership]
max_participants = 8
max_accepted = 8
[timeline]
commit_blocks = 1
attest_blocks = 1
judge_commit_blocks = 1
judge_reveal_blocks = 1
"""


@contextmanager
def serve(store: BlobStore) -> Iterator[str]:
    """Serve a store on a thread of its own; yields host:port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = BlobServer([store], "127.0.0.1:0")
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# First weights that participants have to give: no seed says what they are.
IMPORTED = f"""
imported_weights = true
initial_root = "{state.checkpoint_root(init_params(MODEL, SEED)).hex()}"
"""


def create_run(typed: Typed, folder: Path, *options: str, more: str = "") -> str:
    spec = folder / "spec.toml"
    spec.write_text(more + SPEC)
    return str(typed("run", "create", str(spec), *options)["run_id"])


def start_run(typed: Typed, folder: Path, endpoint: str, more: str = IMPORTED) -> str:
    """Start a run in which nobody trains, so that every checkpoint has the first one's root."""
    run_id = create_run(typed, folder, more=more)
    options = ("--key", "validator-0", "--role", "validator", "--endpoint", endpoint)
    typed("run", "register", run_id, *options)
    typed("run", "register", run_id, "--key", "miner-0")
    deadline = time.monotonic() + 60
    while typed("run", "show", run_id)["current_round"] < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return run_id


def write_expected(prompt: bytes, num_tokens: int, seed: int, top_k: int) -> bytes:
    program = build_program(MODEL, OptimiserConfig(), 1)
    params = init_params(MODEL, SEED)
    return load_backend("numpy").generate(program, params, prompt, num_tokens, seed, top_k)


def test_sample(typed: Typed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = BlobStore(tmp_path / "served", ADDRESS_FUNCTIONS)
    root = store.put(state.serialise(init_params(MODEL, SEED)), KIND_STATE)
    with serve(store) as endpoint:
        run_id = start_run(typed, tmp_path, endpoint)
        sample = ("run", "sample", run_id, "--prompt", "def ", "--tokens", "12")
        found = typed(*sample, "--backend", "numpy", "--checkpoint", "1")
        expected = write_expected(b"def ", 12, 0, 40)
        assert (found["checkpoint"], found["root"]) == (1, root.hex())
        assert (found["prompt"], found["text_bytes"]) == ("def ", expected.hex())
        assert typed(*sample)["text_bytes"] == expected.hex()  # the newest, and the torch twin
        greedy = typed(*sample, "--backend", "numpy", "--top-k", "1", "--seed", "9")
        assert bytes.fromhex(greedy["text_bytes"]) == write_expected(b"def ", 12, 9, 1)
        assert run([*sample, "--backend", "numpy", "--home", str(typed.home)]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("def ")
        assert f"of run {run_id} (small)" in err
        error = typed(*sample, "--checkpoint", "0", "--backend", "abacus", code=1)
        assert "abacus" in error["message"]
    error = typed(*sample, "--checkpoint", "1", code=1)
    assert f"nobody serves checkpoint 1 of run {run_id}" in error["message"]
    assert endpoint in error["message"]
    error = typed(*sample, "--checkpoint", "9999", code=1)
    assert f"run {run_id} has no checkpoint 9999" in error["message"]


def test_sample__first_weights(typed: Typed, tmp_path: Path) -> None:
    """Made from the seed, also when rounds without work have passed: nobody has to serve them."""
    run_id = start_run(typed, tmp_path, "127.0.0.1:9", more="")
    for index in ("0", "1"):
        found = typed("run", "sample", run_id, "--tokens", "3", "--checkpoint", index)
        assert bytes.fromhex(found["text_bytes"]) == write_expected(b"", 3, 0, 40)


def test_sample__from_a_participant_of_this_home(typed: Typed, tmp_path: Path) -> None:
    run_id = start_run(typed, tmp_path, "127.0.0.1:9")
    folder = typed.home / "participants" / "miner-0" / f"run-{run_id}" / "blobs"
    store = BlobStore(folder, ADDRESS_FUNCTIONS)
    store.put(state.serialise(init_params(MODEL, SEED)), KIND_STATE)
    found = typed("run", "sample", run_id, "--tokens", "3", "--backend", "numpy")
    assert found["checkpoint"] >= 1
    assert bytes.fromhex(found["text_bytes"]) == write_expected(b"", 3, 0, 40)


def test_invalid_sample(typed: Typed, tmp_path: Path) -> None:
    error = typed("run", "sample", "77", code=1)
    assert error["message"] == "there is no run 77"
    run_id = create_run(typed, tmp_path)
    error = typed("run", "sample", run_id, code=1)
    assert error["message"] == f"run {run_id} has no checkpoint yet: it is pending"


def test_fund_and_halt(typed: Typed, tmp_path: Path) -> None:
    run_id = create_run(typed, tmp_path, "--bounty", "2DSC")
    funded = typed("run", "fund", run_id, "3DSC", "--key", "faucet")
    assert (funded["amount_udsc"], funded["bounty_udsc"]) == ("3000000", "5000000")
    assert typed("run", "show", run_id)["bounty_udsc"] == "5000000"
    assert "run" in typed("run", "halt", run_id, "--key", "faucet", code=1)["message"]
    planned = typed("run", "halt", run_id, "--dry-run")
    assert planned["messages"][0]["type"] == "/descent.runs.v1.MsgHaltRun"
    before = int(typed("query", "bank", "balance", "owner")["balance_udsc"])
    halted = typed("run", "halt", run_id)
    assert halted["returned_udsc"] == "5000000"
    after = int(typed("query", "bank", "balance", "owner")["balance_udsc"])
    assert after == before + 5_000_000 - int(halted["fee_udsc"])
    assert typed("run", "show", run_id)["status"] == "halted"
    for arguments in (["halt", run_id], ["fund", run_id, "1DSC"]):
        error = typed("run", *arguments, code=1)
        assert error["codespace"] == "runs"
        assert f"run {run_id} is halted" in json.dumps(error)
    assert typed("run", "fund", "77", "1DSC", code=1)["codespace"] == "runs"
    assert typed("run", "fund", run_id, "lots", code=1)["codespace"] == "client"
