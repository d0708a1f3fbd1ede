"""Keep CometBFT's blocks, with their results, where the doors read them: in our own block store.

The doors read committed blocks straight from LMDB, whichever engine orders them. After each commit
a thread fetches the block from CometBFT's RPC; the results are those the application has just
computed, or CometBFT's when the mirror is behind (after a crash, a restart, a state sync). Nothing
waits for the mirror: it can be removed while the node is down and is filled again from what
CometBFT keeps.
"""

import logging
import threading
from pathlib import Path
from typing import Any

from node.engine.blockstore import BlockStore, EngineState
from node.engine.comet.block_json import (
    extend_commit,
    parse_block,
    parse_block_id,
    parse_commit,
    parse_params,
    parse_results,
    parse_validator_page,
)
from node.engine.comet.client import CometRpc, RpcRefused
from node.engine.errors import EngineUnreachable, HomeMismatch
from node.engine.genesis_doc import GenesisDoc
from node.engine.hashing import get_time_ns
from node.engine.transition import advance_state
from node.engine.validators import ValidatorSet

logger = logging.getLogger(__name__)

KEPT_RESULTS = 64
"""Results remembered for blocks the mirror has not fetched yet; older ones are asked for."""

PAUSE_FIRST_S, PAUSE_MAX_S = 0.02, 1.0
PAGE_SIZE = 100


class BlockMirror:
    """Copies blocks of one CometBFT into one block store, in a thread of its own.

    Args:
        home: the node's folder.
        rpc: used by the thread only.
    """

    def __init__(self, home: Path, genesis: GenesisDoc, rpc: CometRpc) -> None:
        self.blocks = BlockStore.open(home / "data" / "blocks")
        self._genesis = genesis
        self._rpc = rpc
        self._results: dict[int, Any] = {}
        self._committed = 0
        self._retain_height = 0
        self._state = self.blocks.load_state()
        self._changed = threading.Condition()
        self._is_stopping = False
        if self._state is not None and self._state.genesis_digest != genesis.digest:
            self.blocks.close()
            raise HomeMismatch(
                f"the genesis file in {home} is not the one the chain was started from: put the "
                f"old one back, or remove {home / 'data'} to start again"
            )

    # Called by the node's loop

    def stop(self) -> None:
        """Make `run` return."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def close(self) -> None:
        """Let go of store and connection, once `run` returned."""
        self._rpc.close()
        self.blocks.close()

    def note_results(self, height: int, results: Any) -> None:
        """Remember what a block did."""
        with self._changed:
            self._results[height] = results
            if len(self._results) > KEPT_RESULTS:
                del self._results[min(self._results)]

    def note_commit(self, height: int, retain_height: int) -> None:
        """Tell that the state of a height is committed."""
        with self._changed:
            self._committed, self._retain_height = height, retain_height
            self._changed.notify()

    # The thread

    def run(self) -> None:
        """Copy blocks until `stop`.

        Raises:
            StoreError: the block store cannot be written.
            ApplicationBroken: updates that ABCI does not allow.
        """
        pause_s = PAUSE_FIRST_S
        while (height := self._wait_for_work()) is not None:
            try:
                self._copy(height)
                pause_s = PAUSE_FIRST_S
            except (EngineUnreachable, RpcRefused) as error:
                logger.debug("block %d is not there yet: %s", height, error)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_stopping, pause_s)
                pause_s = min(PAUSE_MAX_S, 2 * pause_s)

    def _wait_for_work(self) -> int | None:
        """Wait for a block to copy; None when stopping."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopping or self._committed > self._get_height()
            )
            return None if self._is_stopping else self._get_height() + 1

    def _get_height(self) -> int:
        return 0 if self._state is None else self._state.height

    def _copy(self, height: int) -> None:
        """Fetch one block and keep it.

        Raises:
            EngineUnreachable, RpcRefused: not now.
        """
        state = self._state
        if state is None:
            state = self._begin()
            self.blocks.save_genesis(state)
            height = state.height + 1
        try:
            answer = self._rpc.call("block", height=str(height))
        except RpcRefused:
            # CometBFT pruned it, or was itself brought up by a state sync.
            if self._load_earliest() <= height:
                raise
            self._state = None
            return
        if answer["block"] is None:
            raise RpcRefused(f"block {height} is not kept yet")
        block, block_id = parse_block(answer["block"]), parse_block_id(answer["block_id"])
        signed = self._rpc.call("commit", height=str(height))["signed_header"]
        with self._changed:
            results = self._results.pop(height, None)
        if results is None:
            results = parse_results(self._rpc.call("block_results", height=str(height)))
        state = advance_state(state, block, block_id, results)
        self.blocks.save_block(block, block_id, extend_commit(parse_commit(signed["commit"])))
        self.blocks.save_results(results, block.data.txs, state)
        self._state = state
        if self._retain_height > 0:
            self.blocks.prune(self._retain_height)

    def _begin(self) -> EngineState:
        """Make the state before the first block CometBFT keeps."""
        genesis = self._genesis
        first = max(self._load_earliest(), genesis.initial_height)
        answer = self._rpc.call("block", height=str(first))
        if answer["block"] is None:
            raise RpcRefused(f"block {first} is not kept yet")
        header = parse_block(answer["block"]).header
        params = self._rpc.call("consensus_params", height=str(first))["consensus_params"]
        return EngineState(
            chain_id=genesis.chain_id,
            genesis_digest=genesis.digest,
            initial_height=genesis.initial_height,
            height=first - 1,
            block_id=header.last_block_id,
            block_time_ns=get_time_ns(header.time),
            app_hash=header.app_hash,
            results_hash=header.last_results_hash,
            app_version=header.version.app,
            validators=self._load_validators(first),
            next_validators=self._load_validators(first + 1),
            params=parse_params(params),
        )

    def _load_earliest(self) -> int:
        earliest = int(self._rpc.call("status")["sync_info"]["earliest_block_height"])
        if not earliest:
            raise RpcRefused("there is no block yet")
        return earliest

    def _load_validators(self, height: int) -> ValidatorSet:
        items: list[Any] = []
        while True:
            page = str(len(items) // PAGE_SIZE + 1)
            answer = self._rpc.call(
                "validators", height=str(height), page=page, per_page=str(PAGE_SIZE)
            )
            items += answer["validators"]
            if len(items) >= int(answer["total"]) or not answer["validators"]:
                return parse_validator_page(items)
