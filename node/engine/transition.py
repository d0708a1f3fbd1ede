"""From the state before a block to the state after it, as every engine computes it.

Source: CometBFT state/execution.go `updateState`.
"""

from dataclasses import replace
from typing import Any, Protocol

from node.engine.blockstore import EngineState
from node.engine.errors import ApplicationBroken
from node.engine.genesis_doc import ensure_params
from node.engine.hashing import get_time_ns, hash_results


class Application(Protocol):
    """The ABCI 2.0 methods; requests and responses are `tendermint.abci` messages."""

    def info(self, request: Any) -> Any: ...
    def init_chain(self, request: Any) -> Any: ...
    def check_tx(self, request: Any) -> Any: ...
    def prepare_proposal(self, request: Any) -> Any: ...
    def process_proposal(self, request: Any) -> Any: ...
    def extend_vote(self, request: Any) -> Any: ...
    def verify_vote_extension(self, request: Any) -> Any: ...
    def finalize_block(self, request: Any) -> Any: ...
    def commit(self, request: Any) -> Any: ...


def advance_state(state: EngineState, block: Any, block_id: Any, results: Any) -> EngineState:
    """Compute the state after a block.

    Args:
        results: the block's ResponseFinalizeBlock.
    Raises:
        ApplicationBroken: updates that ABCI does not allow.
    """
    params = state.params
    if results.HasField("consensus_param_updates"):
        params = merge_params(params, results.consensus_param_updates)
    return replace(
        state,
        height=block.header.height,
        block_id=block_id,
        block_time_ns=get_time_ns(block.header.time),
        app_hash=results.app_hash,
        results_hash=hash_results(results.tx_results),
        app_version=params.version.app or state.app_version,
        validators=state.next_validators,
        next_validators=state.next_validators.apply(results.validator_updates),
        params=params,
    )


def merge_params(params: Any, updates: Any) -> Any:
    """Replace the parts of ConsensusParams that are present in an update.

    Raises:
        ApplicationBroken: limits that CometBFT would refuse.
    """
    merged = type(params)()
    merged.CopyFrom(params)
    for name in ("block", "evidence", "validator", "version", "abci"):
        if updates.HasField(name):
            getattr(merged, name).CopyFrom(getattr(updates, name))
    try:
        ensure_params(merged)
    except ValueError as error:
        raise ApplicationBroken(f"consensus parameters: {error}") from error
    return merged
