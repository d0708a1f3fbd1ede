"""The next version of the node: `python -m tests.support.upgraded_node ...` as `node.process`.

It knows the upgrade `v2`, which changes storage: slashing looks at another number of blocks, and
the beacon forgets its old values.
"""

from __future__ import annotations

import sys

import node.chain
from node.chain import build_chain
from node.pallets.slashing.types import SlashingParams
from node.process import main
from node.runtime.context import Context

NAME = "v2"
WINDOW_BLOCKS = 777
NUM_KEPT_VALUES = 5


def migrate(ctx: Context) -> None:
    """Bring state into the form of `v2`."""
    chain = build_chain()
    chain.slashing.storage.params.set(ctx, SlashingParams(signed_blocks_window=WINDOW_BLOCKS))
    values = chain.beacon.storage.values
    for height in list(values.keys(ctx)):
        if height < ctx.height - NUM_KEPT_VALUES:
            values.delete(ctx, height)


if __name__ == "__main__":
    node.chain.MIGRATIONS[NAME] = migrate
    sys.exit(main())
