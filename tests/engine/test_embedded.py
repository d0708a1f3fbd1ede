"""The embedded engine drives the application as CometBFT does."""

from hashlib import sha256
from pathlib import Path

import pytest

from node.engine.blockstore import BlockStore
from node.engine.errors import (
    ApplicationBroken,
    GenesisInvalid,
    HandshakeFailed,
    HomeMismatch,
    NotEnoughPower,
)
from node.engine.hashing import get_time_ns
from node.engine.keys import KeyFileInvalid
from tests.engine.tiny_app import GENESIS_NS, KEY, Node, make_home, run_blocks

NO_HASH = sha256(b"").digest()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


def test_calls_in_order(home: Path) -> None:
    with Node(home) as node:
        node.engine.mempool.add(b"k=v")
        node.engine.mempool.add(b"left=over")
        node.engine.mempool.add(b"once=x")
        node.engine.step()
        assert node.app.calls == [
            "info",
            "init_chain",
            *["check_tx"] * 3,
            "prepare_proposal",
            "process_proposal",
            "extend_vote",
            "finalize_block",
            "commit",
        ]


def test_init_chain_request(home: Path) -> None:
    with Node(home) as node:
        request = node.app.requests[0]
        assert request.chain_id == "tiny-1"
        assert request.initial_height == 1
        assert get_time_ns(request.time) == GENESIS_NS
        assert request.app_state_bytes == b'{"a": "1"}'
        assert request.validators[0].pub_key.ed25519 == KEY.public_key
        assert request.consensus_params.block.max_bytes == 22020096
        assert request.consensus_params.abci.vote_extensions_enable_height == 1


def test_headers_chain(home: Path) -> None:
    with Node(home) as node:
        run_blocks(node, 4)
        blocks = [node.engine.blocks.load_block(height) for height in range(1, 5)]
        ids = [node.engine.blocks.load_block_id(height) for height in range(1, 5)]
        first = blocks[0].header
        assert get_time_ns(first.time) == GENESIS_NS
        assert first.last_commit_hash == first.last_results_hash == first.evidence_hash == NO_HASH
        assert first.proposer_address == KEY.address
        for before, block_id, block in zip(blocks, ids, blocks[1:], strict=False):
            assert block.header.last_block_id == block_id
            assert block.last_commit.block_id == block_id
            assert block.header.time == block.last_commit.signatures[0].timestamp
            assert get_time_ns(block.header.time) > get_time_ns(before.header.time)
            results = node.engine.blocks.load_results(before.header.height)
            assert block.header.app_hash == results.app_hash


def test_vote_extension_reaches_the_next_proposal(home: Path) -> None:
    with Node(home) as node:
        run_blocks(node, 3)
        block = node.engine.blocks.load_block(3)
        assert block.data.txs[0] == b"\x01" + sha256(b"2").digest()
        vote = next(r for r in node.app.requests[::-1] if hasattr(r, "local_last_commit"))
        vote = vote.local_last_commit.votes[0]
        assert vote.validator.address == KEY.address
        assert vote.validator.power == 10
        assert vote.block_id_flag == 2
        assert len(vote.extension_signature) == 64


def test_vote_extension__not_before_its_height(tmp_path: Path) -> None:
    with Node(make_home(tmp_path / "home", extensions=3)) as node:
        run_blocks(node, 4)
        assert node.app.calls.count("extend_vote") == 2
        assert not node.engine.blocks.load_block(3).data.txs[0].startswith(b"\x01")
        assert node.engine.blocks.load_block(4).data.txs[0].startswith(b"\x01")


def test_same_blocks_twice(tmp_path: Path) -> None:
    ids = []
    for name in ("a", "b"):
        with Node(make_home(tmp_path / name)) as node:
            run_blocks(node, 6)
            ids.append(node.engine.state.block_id)
    assert ids[0] == ids[1]


def test_restart_goes_on(home: Path, tmp_path: Path) -> None:
    for last in (3, 7):
        with Node(home) as node:
            run_blocks(node, last)
            assert node.engine.state.height == last
            app_hash = node.engine.state.app_hash
    assert "init_chain" not in node.app.calls
    with Node(make_home(tmp_path / "undisturbed")) as node:
        run_blocks(node, 7)
        # The time of block 4 differs, as the clock of the tests starts again; the rest does not.
        assert node.app.store.get("kv", b"key2") == b"7"
        assert app_hash != b""


def test_initial_height(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", initial_height="100")
    for last in (101, 103):
        with Node(home) as node:
            run_blocks(node, last)
            assert node.engine.blocks.base == 100
            assert node.engine.blocks.height == last
    assert len(node.engine.genesis.digest) == 32


def test_validators_and_params_change(home: Path) -> None:
    with Node(home) as node:
        node.engine.mempool.add(b"power=2")
        node.engine.mempool.add(b"gas=25")
        for _ in range(3):
            node.engine.step()
        blocks = node.engine.blocks
        assert [len(blocks.load_validators(h).validators) for h in range(1, 6)] == [1, 1, 2, 2, 2]
        assert [blocks.load_params(h).block.max_gas for h in (1, 2, 9)] == [-1, 25, 25]
        one, two = (blocks.load_block(h).header for h in (2, 3))
        assert one.next_validators_hash == two.validators_hash != one.validators_hash
        assert [s.block_id_flag for s in blocks.load_commit(3).signatures] == [2, 1]
        for i in range(5):
            node.engine.mempool.add(b"k%d=" % i)
        committed = node.engine.step()  # 10 gas each, 25 in a block
        assert list(committed.block.data.txs)[1:] == [b"k0=", b"k1="]


def test_invalid_power_lost(home: Path) -> None:
    with Node(home) as node:
        node.engine.mempool.add(b"power=9")
        node.engine.step()
        node.engine.step()
        with pytest.raises(NotEnoughPower, match="10 of 19 consensus power at height 3"):
            node.engine.step()


def test_genesis_without_validators(tmp_path: Path) -> None:
    with Node(make_home(tmp_path / "home", validators=[])) as node:
        node.engine.step()
        assert node.engine.state.validators.powers == ((KEY.public_key, 10),)


def test_invalid_own_proposal_rejected(home: Path) -> None:
    with Node(home) as node:
        node.engine.mempool.add(b"reject=block")
        with pytest.raises(ApplicationBroken, match="rejects its own proposal for height 1"):
            node.engine.step()


def test_invalid_other_genesis(home: Path) -> None:
    with Node(home) as node:
        run_blocks(node, 2)
    path = home / "config" / "genesis.json"
    kept = path.read_text()
    path.write_text(kept.replace("tiny-1", "tiny-2"))
    with pytest.raises(HomeMismatch, match="holds chain tiny-1, the genesis file is of chain tin"):
        Node(home)
    path.write_text(kept.replace('"a": "1"', '"a": "2"'))
    with pytest.raises(HomeMismatch, match="not the one the chain was started from"):
        Node(home)
    path.write_text(kept)
    Node(home).close()


def test_invalid_state_without_blocks(home: Path) -> None:
    with Node(home) as node:
        run_blocks(node, 2)
    for file in (home / "data" / "blocks").iterdir():
        file.unlink()
    with pytest.raises(HandshakeFailed, match="height 2 but there are no blocks"):
        Node(home)


def test_state_lost_is_rebuilt_from_blocks(home: Path) -> None:
    with Node(home) as node:
        run_blocks(node, 6)
        app_hash = node.app.store.app_hash
    for file in (home / "data" / "state").iterdir():
        file.unlink()
    with Node(home) as node:
        assert node.app.store.version == 6
        assert node.app.store.app_hash == app_hash
        assert node.app.calls.count("finalize_block") == 6


def test_blocks_are_pruned(home: Path) -> None:
    with Node(home) as node:
        run_blocks(node, 5)
        early = node.engine.blocks.load_block(3)
        assert node.engine.blocks.find_tx(sha256(early.data.txs[1]).digest()) == (3, 1)
        node.engine.mempool.add(b"retain=5")
        node.engine.step()
        blocks = node.engine.blocks
        assert (blocks.base, blocks.height) == (5, 6)
        assert blocks.load_block(4) is None
        assert blocks.find_tx(sha256(early.data.txs[1]).digest()) is None
        node.engine.step()
    with Node(home) as node:
        assert node.engine.step().height == 8


def test_blocks_are_found(home: Path) -> None:
    with Node(home) as node:
        run_blocks(node, 9)
        with BlockStore.open(home / "data" / "blocks", readonly=True) as blocks:
            assert (blocks.base, blocks.height, blocks.block_height) == (1, 9, 9)
            assert blocks.find_block_height(blocks.load_block_id(7).hash) == 7
            assert blocks.find_block_height(b"") is None
            assert blocks.load_block(10) is None
            tags = [("kv.key", b"key2".hex())]
            assert list(blocks.iterate_tagged(tags, 1, 99)) == [3, 7]
            assert list(blocks.iterate_tagged(tags, 4, 6)) == []
            parity = [("block.parity", "0")]
            assert list(blocks.iterate_tagged(parity, 3, 9, is_block=True)) == [4, 6, 8]
            commit = blocks.load_commit(9)
            assert commit.block_id == blocks.load_block_id(9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", ""),
        ("genesis_time", "yesterday"),
        ("initial_height", "-3"),
        ("validators", [{"pub_key": {"type": "x", "value": ""}, "power": "1"}]),
        ("consensus_params", {"block": {"max_bytes": "0"}}),
        ("app_hash", "zz"),
    ],
)
def test_invalid_genesis(tmp_path: Path, field: str, value: object) -> None:
    home = make_home(tmp_path / "home", **{field: value})
    with pytest.raises(GenesisInvalid, match=field):
        Node(home)


def test_invalid_genesis_missing_or_not_json(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    path = home / "config" / "genesis.json"
    path.write_text("{")
    with pytest.raises(GenesisInvalid, match="not a JSON object"):
        Node(home)
    path.unlink()
    with pytest.raises(GenesisInvalid, match="initialise the home first"):
        Node(home)


def test_invalid_key_file(home: Path) -> None:
    path = home / "config" / "priv_validator_key.json"
    text = path.read_text()
    for damaged in (text[: len(text) // 2], text.replace('"value": "AAEC', '"value": "BAEC')):
        path.write_text(damaged)
        with pytest.raises(KeyFileInvalid, match="restore it from a backup"):
            Node(home)
