"""Block ids of a small chain, as CometBFT v0.39.4 computes them.

The nine blocks were given to CometBFT's own Go code (types.Block, PartSet, ValidatorSet,
ExtendedCommit, ConsensusParams, abci results): it accepts each block and commit, verifies the
signatures of votes and vote extensions, makes the same bytes and finds the ids below.
"""

import json
from pathlib import Path

from tests.engine.tiny_app import Node, make_home, run_blocks

GOLDEN = Path(__file__).with_name("golden.json")


def test_block_ids(tmp_path: Path) -> None:
    with Node(make_home(tmp_path / "home")) as node:
        run_blocks(node, 3)
        for tx in (b"power=2", b"gas=1000", b"fail", b"big=" + b"x" * 200_000):
            node.engine.mempool.add(tx)
        node.engine.step()
        run_blocks(node, 9)
        ids = [node.engine.blocks.load_block_id(height) for height in range(1, 10)]
    found = [
        {
            "hash": block_id.hash.hex().upper(),
            "num_parts": block_id.part_set_header.total,
            "parts_hash": block_id.part_set_header.hash.hex().upper(),
        }
        for block_id in ids
    ]
    assert found == json.loads(GOLDEN.read_text())
