"""First weights that a seed makes, and that nobody serves."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from exact.state import checkpoint_root
from miner.errors import CheckpointUnavailable, InitialRootMismatch
from tests.support.tiny_run import ScriptedChain, make_setup, open_follower


class Chain(ScriptedChain):
    """Nobody worked: every checkpoint has the first one's root."""

    def __init__(self, root: bytes) -> None:
        super().__init__()
        self.root = root

    async def get_checkpoint(self, _run_id: int, _round_index: int) -> SimpleNamespace:
        return SimpleNamespace(checkpoint=SimpleNamespace(root=self.root))


@pytest.mark.parametrize("round_index", [0, 5])
async def test_made_from_the_seed(tmp_path: Path, round_index: int) -> None:
    setup = make_setup(tmp_path / "setup")
    root = setup.spec.initial_root = checkpoint_root(setup.make_initial_params())
    async with open_follower(setup, tmp_path / "a", 0, Chain(root)) as follower:
        assert checkpoint_root(await follower.get_checkpoint(round_index)) == root


async def test_seed_that_gives_others(tmp_path: Path) -> None:
    setup = make_setup(tmp_path / "setup")
    root = setup.spec.initial_root = b"\x01" * 32
    async with open_follower(setup, tmp_path / "a", 0, Chain(root)) as follower:
        with pytest.raises(InitialRootMismatch, match="run `descent exact probe`"):
            await follower.get_checkpoint(0)
    async with open_follower(setup, tmp_path / "b", 1, Chain(b"\x02" * 32)) as follower:
        with pytest.raises(CheckpointUnavailable, match="no peer served checkpoint 5"):
            await follower.get_checkpoint(5)
