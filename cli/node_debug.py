"""`descent node debug`: compare states, check them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import CHAIN, HOME, Context, command, new_group
from cli.output import CommandFailed, VerificationFailed

app = new_group("Compare nodes.")


@command(app, "app-hash", needs=CHAIN)
async def app_hash(
    context: Context,
    height: Annotated[int, typer.Option("--height", min=0, help="0: newest.")] = 0,
    offline: Annotated[
        bool, typer.Option("--offline", help="Read the folder --home instead of asking a node.")
    ] = False,
) -> Any:
    """Show the hash of the state after a block; two nodes of a chain must agree on it."""
    if offline:
        return _read_app_hash(context.home, height)
    async with context.client() as client:
        status = await client.node_status()
        if height in (0, status.height):
            return {"height": status.height, "app_hash": status.app_hash}
        # A header carries the state before its own block.
        found = await client.get_block(height + 1)
    return {"height": height, "app_hash": found.sdk_block.header.app_hash}


def _read_app_hash(home: Path, height: int) -> dict[str, Any]:
    from node.store.errors import StoreError
    from node.store.state import StateStore

    try:
        with (
            StateStore.open(home / "data" / "state", readonly=True) as store,
            store.view(height or None) as view,
        ):
            return {"height": view.version, "app_hash": view.app_hash.hex()}
    except StoreError as error:
        raise CommandFailed(str(error)) from error


@command(app, "invariants", needs=HOME)
def invariants(
    context: Context,
    height: Annotated[int, typer.Option("--height", min=0, help="0: newest.")] = 0,
) -> Any:
    """Check every invariant of the state in a node's folder, which --home names."""
    from node.chain import build_chain
    from node.runtime.context import BlockInfo
    from node.runtime.context import Context as StateContext
    from node.runtime.errors import InvariantBroken
    from node.runtime.state import Overlay, VersionReader
    from node.store.errors import StoreError
    from node.store.state import StateStore

    chain, rows = build_chain(), []
    try:
        with StateStore.open(context.home / "data" / "state", readonly=True) as store:
            at = height or store.version
            if not store.oldest_version <= at <= store.version:
                kept = f"kept are {store.oldest_version} to {store.version}"
                raise CommandFailed(f"there is no state of height {at}: {kept}")
            reader = VersionReader(store, at)
            block = chain.consensus.get_last_block(
                StateContext(Overlay(reader), BlockInfo("", 0, 0))
            )
            for name, pallet in chain.runtime.pallets.items():
                for check in pallet.list_invariants():
                    check(StateContext(Overlay(reader), block))
                    doc = (check.__doc__ or "").strip()
                    rows.append({"pallet": name, "invariant": doc, "height": at})
    except StoreError as error:
        raise CommandFailed(str(error)) from error
    except InvariantBroken as error:
        raise VerificationFailed(str(error)) from error
    return rows


@command(app, "diff", needs=HOME)
def diff(
    context: Context,
    home_a: Annotated[Path, typer.Argument(metavar="HOME_A", help="Folder of a node.")],
    home_b: Annotated[Path, typer.Argument(metavar="HOME_B", help="Folder of another.")],
    height: Annotated[
        int, typer.Option("--height", min=0, help="0: the newest that both have.")
    ] = 0,
) -> Any:
    """Find the first key in which the states of two nodes differ; they may be running."""
    from node.store.errors import StoreError
    from node.upkeep.diff import compare_homes
    from node.upkeep.home import UpkeepRefused

    try:
        found = compare_homes(home_a, home_b, height)
    except (UpkeepRefused, StoreError) as error:
        raise CommandFailed(str(error)) from error
    first = found.first
    if first is None:
        return {"height": found.height, "app_hash": found.app_hashes[0].hex(), "is_equal": True}
    item = f"{first.pallet}.{first.item or 'unknown item'}"
    raise VerificationFailed(
        f"the states of height {found.height} differ in {', '.join(found.pallets)}; first in "
        f"{item}, key {_show(first.key)} (0x{first.raw_key.hex()}): "
        f"{_show(first.values[0])} in {home_a}, {_show(first.values[1])} in {home_b}",
        hint="the node whose app hash is not the chain's starts afresh: state sync, or a snapshot",
    )


def _show(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, sort_keys=True)
