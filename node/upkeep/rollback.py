"""One block back: the state of the application and of the engine before the newest block.

For a block that was executed wrongly: the program is changed, the node is rolled back, and when it
starts it executes the block again. With `remove_block` the block is forgotten as well: a node of a
network fetches it from the others, the embedded engine makes another one.

The application goes back no further than the engine, so a kill in between loses nothing: starting
the node replays, rolling back again finishes.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from node.chain import build_chain
from node.engine.blockstore import BlockStore
from node.engine.comet.process import build_command
from node.engine.keys import read_key
from node.runtime.context import BlockInfo, Context
from node.runtime.state import Overlay
from node.store.errors import VersionUnavailable
from node.store.state import StateStore
from node.upkeep.home import StoppedHome, UpkeepRefused, has_comet, open_stopped_home

COMET_TIMEOUT_S = 60.0
_COMET_ANSWER = re.compile(r"Rolled back (?:both state and block|state) to height (\d+)")


@dataclass(frozen=True)
class RolledBack:
    """Where a node stands after it: height and app hash of the newest state."""

    height: int
    app_hash: bytes


def rollback_home(home: Path, *, remove_block: bool = False) -> RolledBack:
    """Take a stopped node one block back.

    Args:
        remove_block: forget the block itself, too.
    Raises:
        UpkeepRefused: the node runs, or the height before is not kept.
        EngineMissing: the node's blocks are CometBFT's, and there is no CometBFT here.
        StoreError: the files are damaged.
    """
    with open_stopped_home(home) as stopped:
        if has_comet(home):
            return _rollback_comet(stopped, remove_block)
        state = stopped.blocks.load_state()
        if state is None:
            raise UpkeepRefused(f"{home} holds no block")
        target = state.height - 1
        _check(stopped, target)
        before = stopped.blocks.load_state_before(state.height)
        if before is None:
            raise UpkeepRefused(f"block {target} is not kept: the engine cannot go back to it")
        rolled = _rollback_state(stopped.state, target)
        stopped.blocks.rollback(before, remove_blocks=remove_block)
        return rolled


def _rollback_comet(stopped: StoppedHome, remove_block: bool) -> RolledBack:
    """CometBFT first, keeping its block: asked again it names the same height."""
    _check(stopped, stopped.state.version - 1)
    if remove_block and _decides_alone(stopped):
        raise UpkeepRefused(
            "this node alone decides blocks, and its signer never signs another block of a height: "
            "without --hard the block is executed again"
        )
    target = _call_comet(stopped.path)
    rolled = _rollback_state(stopped.state, target)
    # The mirror fetches the block again once CometBFT has replayed it.
    _rollback_mirror(stopped.blocks, target)
    if remove_block:
        _call_comet(stopped.path, "--hard")
    return rolled


def _decides_alone(stopped: StoppedHome) -> bool:
    """Tell whether no other validator could have the newest block."""
    ctx = Context(Overlay(stopped.state), BlockInfo("", 0, 0))
    own = read_key(stopped.path / "config" / "priv_validator_key.json").public_key
    return list(build_chain().staking.list_consensus_set(ctx)) == [own]


def _call_comet(home: Path, *flags: str) -> int:
    """Have CometBFT roll its own state back; return the height it is at."""
    command = build_command(home, "rollback", *flags)
    done = subprocess.run(
        command, cwd=home, capture_output=True, text=True, timeout=COMET_TIMEOUT_S, check=False
    )
    found = _COMET_ANSWER.search(done.stdout)
    if done.returncode or found is None:
        text = (done.stderr or done.stdout).strip().splitlines()
        raise UpkeepRefused(f"CometBFT cannot roll back: {text[0] if text else done.returncode}")
    return int(found[1])


def _check(stopped: StoppedHome, target: int) -> None:
    """Refuse before anything is changed."""
    if target < stopped.state.oldest_version:
        raise UpkeepRefused(
            f"the state of height {target} is not kept: the oldest is that of "
            f"{stopped.state.oldest_version}; a node that prunes keeps at least two heights"
        )


def _rollback_state(state: StateStore, target: int) -> RolledBack:
    try:
        while state.version > target:
            state.rollback()
    except VersionUnavailable as error:
        raise UpkeepRefused(str(error)) from error
    return RolledBack(state.version, state.app_hash)


def _rollback_mirror(blocks: BlockStore, target: int) -> None:
    """Have the mirror forget what CometBFT will tell it again."""
    state = blocks.load_state()
    if state is None or state.height <= target:
        return
    before = blocks.load_state_before(target + 1)
    if before is not None:
        blocks.rollback(before, remove_blocks=True)
