"""Checks a genesis document by importing it, as the node will, before anything is started.

What it says: duplicate or malformed entries with pallet and element, negative amounts, a supply
that does not add up, unknown pallets, devnet keys where they have no business.
"""

from __future__ import annotations

from typing import Any

from genesis.devnet import list_devnet_addrs
from genesis.document import GenesisError, encode_document
from node.chain import Chain, build_chain
from node.engine.errors import GenesisInvalid
from node.engine.genesis_doc import GenesisDoc
from node.runtime.context import BlockInfo, Context
from node.runtime.runtime import explain_genesis
from node.runtime.state import EmptyReader, Overlay
from node.runtime.storage import GenesisDataError


def check_document(document: dict[str, Any]) -> Context:
    """Check a genesis document.

    Returns: a context over the imported state, for further questions.
    Raises: GenesisError.
    """
    try:
        parsed = GenesisDoc.parse(encode_document(document))
    except GenesisInvalid as error:
        raise GenesisError(str(error)) from error
    state = document.get("app_state")
    if not isinstance(state, dict) or not isinstance(state.get("pallets"), dict):
        raise GenesisError("app_state.pallets is missing: build the genesis with `genesis`")
    unknown = sorted(set(state) - {"devnet", "pallets"})
    if unknown:
        raise GenesisError(f"app_state has an unknown entry {', '.join(unknown)}")
    chain = build_chain()
    block = BlockInfo(parsed.chain_id, parsed.initial_height - 1, parsed.time_ns)
    ctx = Context(Overlay(EmptyReader()), block)
    try:
        chain.runtime.import_genesis(ctx, state["pallets"])
        with explain_genesis():
            chain.runtime.check_invariants(ctx)
            powers = chain.staking.compute_powers(ctx)
    except GenesisDataError as error:
        raise GenesisError(str(error)) from error
    if parsed.validators.powers and dict(parsed.validators.powers) != powers:
        raise GenesisError(
            "the validators are not the operators whose nodes are registered, with their power: "
            "`descent genesis collect` writes them"
        )
    if state.get("devnet") is not True:
        ensure_no_devnet_keys(chain, ctx)
    return ctx


def ensure_no_devnet_keys(chain: Chain, ctx: Context) -> None:
    """Refuse accounts whose keys are published.

    Raises: GenesisError.
    """
    for addr, name in list_devnet_addrs().items():
        if chain.accounts.get_account(ctx, addr) is not None:
            raise GenesisError(
                f"the devnet account {name} has a published key and is in a genesis that is not "
                'marked "devnet": true'
            )
