"""What is left when the devnet is down: a lineage that verifies, and blocks that replay."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cosmos.tx.v1beta1 import tx_pb2

from cli.devnet.layout import RUN_ID
from node.chain import build_chain
from node.engine.blockstore import BlockStore
from node.engine.embedded import EmbeddedEngine, EngineOptions
from node.store.state import StateStore
from proto.descent.rounds.v1 import rounds_pb2
from tests.support.devnet import Devnet

PSEUDO_TX = b"\x01"


@pytest.fixture(scope="module")
def exported(devnet: Devnet) -> Path:
    """A checkpoint's folder, written while the chain was up, and then everything is stopped."""
    folder = devnet.folder / "exported"
    devnet.type("lineage", "export", str(RUN_ID), "--to", str(folder))
    error = devnet.type("lineage", "export", str(RUN_ID), "--to", str(folder), code=1)
    assert str(folder) in error["message"]
    for name in list(devnet.joined):
        devnet.leave(name)
    assert devnet.list_living()
    devnet.type("devnet", "down")
    return folder


def test_down_leaves_no_process(devnet: Devnet, exported: Path) -> None:
    assert devnet.list_living() == []
    error = devnet.type("status", code=3)
    assert devnet.grpc in error["message"]
    devnet.type("devnet", "down")


def test_verify_with_the_chain_down(devnet: Devnet, exported: Path) -> None:
    report = devnet.type("lineage", "verify", str(exported))
    assert (report["verified"], report["from_round"], report["from_seed"]) == (True, 0, True)
    assert report["round"] >= 1
    assert {"model.safetensors", "lineage.json", "README.md"} <= {
        p.name for p in exported.iterdir()
    }
    again = devnet.type("lineage", "verify", str(exported), "--app-hash", report["app_hash"])
    assert again["root"] == report["root"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("model.safetensors", "weights"), ("payloads", "payload")],
)
def test_verify__damaged(
    devnet: Devnet, exported: Path, tmp_path: Path, name: str, message: str
) -> None:
    """One flipped bit is found, and what it is in is named."""
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    path = copy / name
    path = sorted(path.iterdir())[0] if path.is_dir() else path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    error = devnet.type("lineage", "verify", str(copy), code=4)
    assert message in error["message"]


def test_verify__truncated(devnet: Devnet, exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    error = devnet.type("lineage", "verify", str(copy), code=4)
    assert "weights" in error["message"]


def test_replay_gives_the_same_app_hashes(devnet: Devnet, exported: Path, tmp_path: Path) -> None:
    """A node that was never disturbed executes the same blocks to the same states."""
    home, source = tmp_path / "undisturbed", devnet.home / "node"
    shutil.copytree(source / "config", home / "config")
    shutil.copytree(source / "data" / "blocks", home / "data" / "blocks")
    replayed: dict[int, bytes] = {}
    with StateStore.open(home / "data" / "state") as store:

        def note(step: str, height: int) -> None:
            if step == "app_committed":
                replayed[height] = store.app_hash

        application = build_chain().open_application(store)
        engine = EmbeddedEngine(home, application, options=EngineOptions(on_step=note))
        try:
            engine.start()
        finally:
            engine.close()
    with (
        BlockStore.open(source / "data" / "blocks", readonly=True) as blocks,
        StateStore.open(source / "data" / "state", readonly=True) as state,
    ):
        heights = range(1, blocks.height + 1)
        assert replayed == {height: blocks.load_results(height).app_hash for height in heights}
        assert replayed[state.version] == state.app_hash
        for height in heights[1:]:
            assert blocks.load_block(height).header.app_hash == replayed[height - 1]


def test_work_done_again_is_the_same_work(devnet: Devnet, exported: Path) -> None:
    """A participant that was killed and sends a round's message again sends the same roots."""
    sent: dict[tuple[Any, ...], set[tuple[bytes, ...]]] = defaultdict(set)
    for message in iterate_messages(devnet.home / "node" / "data" / "blocks"):
        key = (type(message).__name__, message.hotkey, message.round)
        if isinstance(message, rounds_pb2.MsgCommitPayload):
            roots = (message.trace_root, message.optimiser_root_in, message.optimiser_root_out)
            sent[key].add((message.payload_hash, *roots))
        else:
            sent[key].add((message.result_root,))
    assert len(sent) > 10
    assert [key for key, contents in sent.items() if len(contents) > 1] == []
    roots = defaultdict(set)
    for (kind, _, index), contents in sent.items():
        if kind == "MsgAttestState":
            roots[index] |= contents
    assert all(len(found) == 1 for found in roots.values())


def iterate_messages(folder: Path) -> Iterator[Any]:
    """Yield every commitment and state attestation of all blocks."""
    kinds = {
        f"/{kind.DESCRIPTOR.full_name}": kind
        for kind in (rounds_pb2.MsgCommitPayload, rounds_pb2.MsgAttestState)
    }
    with BlockStore.open(folder, readonly=True) as blocks:
        for height in range(1, blocks.height + 1):
            for raw in blocks.load_block(height).data.txs:
                if raw.startswith(PSEUDO_TX):
                    continue
                body = tx_pb2.TxBody.FromString(tx_pb2.TxRaw.FromString(raw).body_bytes)
                for packed in body.messages:
                    if packed.type_url in kinds:
                        yield kinds[packed.type_url].FromString(packed.value)


def test_up_goes_on_where_it_was(devnet: Devnet, exported: Path) -> None:
    with BlockStore.open(devnet.home / "node" / "data" / "blocks", readonly=True) as blocks:
        height = blocks.height
    devnet.up()
    index = devnet.client.get_current_round(RUN_ID).index
    assert devnet.client.height() > height
    devnet.wait_round(lambda current: current.index > index, "the next round")
    devnet.type("devnet", "down")


def test_reset(devnet: Devnet, exported: Path) -> None:
    devnet.type("devnet", "reset")
    assert not devnet.home.exists()
    error = devnet.type("devnet", "status", code=1)
    assert "no devnet in" in error["message"]
