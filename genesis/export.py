"""The state of a node's folder as the genesis a new chain goes on from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from genesis.builder import list_validators
from genesis.document import GenesisError, build_document, load_document
from node.chain import Chain, build_chain
from node.runtime.context import BlockInfo, Context
from node.runtime.state import KeyValueReader, Overlay, VersionReader
from node.store.state import StateStore
from node.upkeep.home import ensure_data


def export_home(home: Path, height: int = 0, chain_id: str = "") -> dict[str, Any]:
    """Export the committed state of a height.

    The new chain has the same accounts, stake and consensus set and starts at the height after;
    its operators keep their keys.

    Args:
        height: 0 for the newest.
        chain_id: of the new chain, that of the old one if empty.
    Raises:
        UpkeepRefused: the folder holds no data.
        VersionUnavailable: that height is not kept.
        GenesisError: the folder's own genesis cannot be read.
    """
    ensure_data(home)
    is_devnet = _is_devnet(load_document(home / "config" / "genesis.json"))
    chain = build_chain()
    with StateStore.open(home / "data" / "state", readonly=True) as store:
        with store.view(height or None) as view:
            at = view.version
        if not at:
            raise GenesisError(f"{home} has no committed height yet")
        return export_document(chain, store, at, is_devnet=is_devnet, chain_id=chain_id)


def export_document(
    chain: Chain, reader: KeyValueReader, height: int, *, is_devnet: bool, chain_id: str = ""
) -> dict[str, Any]:
    """Export committed state; under the same chain id it imports to the same app hash."""
    state = Overlay(VersionReader(reader, height))
    block = chain.consensus.get_last_block(Context(state, BlockInfo("", 0, 0)))
    ctx = Context(state, replace(block, chain_id=chain_id or block.chain_id))
    chain.consensus.record_block(ctx)
    return build_document(chain, ctx, is_devnet=is_devnet, validators=list_validators(chain, ctx))


def _is_devnet(document: dict[str, Any]) -> bool:
    state = document.get("app_state")
    if isinstance(state, str):
        state = json.loads(state)
    return isinstance(state, dict) and state.get("devnet") is True
