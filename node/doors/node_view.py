"""A door's view of its node: committed state, kept blocks, and the engine's control socket.

Both databases are read-only here. Heights shown are those whose state is committed, so that a
client that sees its transaction in a block also sees what the transaction did.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tendermint.abci import types_pb2 as abci

from node.chain import Chain, build_chain
from node.doors.snapshot import Snapshot
from node.engine.blockstore import BlockStore
from node.engine.control import AsyncControlClient, EngineClient, get_socket_path
from node.engine.errors import EngineUnreachable
from node.engine.genesis_doc import GenesisDoc
from node.engine.keys import load_node_id
from node.runtime.ante import GasPrice
from node.runtime.application import Application
from node.runtime.coins import BASE_DENOM
from node.runtime.options import NodeOptions
from node.runtime.runtime import Runtime
from node.store.state import StateStore
from node.store.view import StateView

COMETBFT_VERSION = "0.39.4"  # whose RPC the doors speak
POLL_S = 0.1  # how often to look for a new height while the engine does not tell of it


class NodeView:
    """Everything the doors read and the one thing they write to. A context manager."""

    def __init__(
        self,
        home: Path,
        state: StateStore,
        blocks: BlockStore,
        engine: EngineClient,
        chain: Chain,
        options: NodeOptions,
    ) -> None:
        self.home = home
        self.engine = engine
        self.minimum_gas_price = format_gas_price(options.min_gas_price)
        self._state = state
        self._blocks = blocks
        self._chain = chain
        self._options = options
        self._news = asyncio.Event()
        self._is_stopping = False
        self._follower: asyncio.Task[None] | None = None
        self._genesis_path = home / "config" / "genesis.json"
        genesis = GenesisDoc.load(self._genesis_path)
        self.chain_id = genesis.chain_id
        self.genesis_time_ns = genesis.time_ns
        self.node_id = load_node_id(home / "config" / "node_key.json")

    @staticmethod
    def open(
        home: Path, options: NodeOptions | None = None, engine: EngineClient | None = None
    ) -> NodeView:
        """Open a node's home.

        Args:
            engine: who takes transactions; the embedded engine's control socket unless given.
        Raises:
            StoreError: there is no chain data yet, or it is damaged.
            EngineError: the genesis or key file is not usable.
        """
        data = home / "data"
        state = StateStore.open(data / "state", readonly=True)
        try:
            blocks = BlockStore.open(data / "blocks", readonly=True)
        except BaseException:
            state.close()
            raise
        engine = engine or AsyncControlClient(get_socket_path(home))
        return NodeView(home, state, blocks, engine, build_chain(), options or NodeOptions())

    def __enter__(self) -> NodeView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of both databases."""
        self._blocks.close()
        self._state.close()

    @property
    def runtime(self) -> Runtime:
        """The pallets: registries of queries and messages."""
        return self._chain.runtime

    @property
    def chain(self) -> Chain:
        """The pallets, by name."""
        return self._chain

    # Heights

    def get_heights(self) -> tuple[int, int]:
        """Get the oldest kept block and the newest committed one; 0 before the first."""
        return self._blocks.base, min(self._blocks.height, self._state.version)

    def get_state_heights(self) -> tuple[int, int]:
        """Get the oldest and the newest height whose state can be read."""
        with self._state.view() as view:
            return view.oldest, view.latest

    async def wait_for_height(self, height: int) -> int:
        """Wait until a height is committed; returns the newest one.

        Raises:
            EngineUnreachable: the door is told to stop.
        """
        while (latest := self.get_heights()[1]) < height:
            if self._is_stopping:
                raise EngineUnreachable("this node is stopping: ask again once it is up")
            if self._follower is None or self._follower.done():
                self._follower = asyncio.create_task(self._follow())
            await self._news.wait()
        return latest

    async def _follow(self) -> None:
        """Wake those who wait for a height, after every commit the engine tells of."""
        while True:
            with contextlib.suppress(EngineUnreachable):
                async for _ in self.engine.follow_heights():
                    self._wake()
            self._wake()
            await asyncio.sleep(POLL_S)

    def stop_waiting(self) -> None:
        """Let go of those who wait for a height: none will come."""
        self._is_stopping = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # Blocks

    def load_block(self, height: int) -> Any:
        """Load a tendermint.types.Block, None where it is not kept."""
        return self._blocks.load_block(height)

    def load_block_id(self, height: int) -> Any:
        """Load the BlockID of a kept block."""
        return self._blocks.load_block_id(height)

    def load_commit(self, height: int) -> Any:
        """Load the Commit that decided a block, None where it is not kept."""
        return self._blocks.load_commit(height)

    def load_results(self, height: int) -> Any:
        """Load the ResponseFinalizeBlock of a block, None where it is not kept."""
        return self._blocks.load_results(height)

    def load_validators(self, height: int) -> list[Any]:
        """Load the consensus set in force at a height."""
        found = self._blocks.load_validators(height)
        return [] if found is None else list(found.validators)

    def load_consensus_params(self, height: int) -> Any:
        """Load the ConsensusParams in force at a height."""
        return self._blocks.load_params(height)

    def find_block_height(self, block_hash: bytes) -> int | None:
        """Find the height of a block by its hash."""
        height = self._blocks.find_block_height(block_hash)
        return height if height is not None and height <= self.get_heights()[1] else None

    def find_tx(self, tx_hash: bytes) -> tuple[int, int] | None:
        """Find (height, index) of a transaction in a committed block."""
        place = self._blocks.find_tx(tx_hash)
        return place if place is not None and place[0] <= self.get_heights()[1] else None

    def iterate_tagged(
        self, tags: Iterable[tuple[str, str]], low: int, high: int, *, is_block: bool = False
    ) -> Iterator[int]:
        """Iterate the heights that may have all of these event values; see `BlockStore`."""
        return self._blocks.iterate_tagged(tags, low, high, is_block=is_block)

    def read_genesis(self) -> bytes:
        """Read the genesis file."""
        return self._genesis_path.read_bytes()

    # State

    def open_state(self, height: int) -> StateView:
        """Open the state after a block; the caller closes it.

        Raises:
            VersionUnavailable: not written yet, or pruned.
        """
        return self._state.view(height)

    def open_application(self, snapshot: Snapshot) -> Application:
        """Put the chain on a snapshot: reads and simulations only."""
        return self._chain.open_application(snapshot, self._options)

    def query_pallet(self, path: str, request: bytes, height: int) -> bytes:
        """Answer `/package.Service/Method` at a height.

        Raises:
            QueryError: refused.
            HeightUnavailable: state of that height is not kept.
        """
        with Snapshot(self._state) as snapshot:
            return self.open_application(snapshot).query_method(path, request, height)

    def abci_query(self, path: str, data: bytes, height: int, is_proved: bool) -> Any:
        """Answer an ABCI query; refusals are answers with a code."""
        request = abci.RequestQuery(path=path, data=data, height=height, prove=is_proved)
        with Snapshot(self._state) as snapshot:
            return self.open_application(snapshot).query(request)

    def abci_info(self) -> Any:
        """Answer what the application says of itself: last height and app hash."""
        with Snapshot(self._state) as snapshot:
            return self.open_application(snapshot).info(abci.RequestInfo())

    def simulate(self, tx: bytes) -> Any:
        """Run a transaction without fee, gas limit or signature and drop what it wrote."""
        with Snapshot(self._state) as snapshot:
            return self.open_application(snapshot).simulate(tx)

    def load_app_hash(self) -> bytes:
        """Load the app hash of the newest committed height."""
        return self._state.app_hash


def format_gas_price(price: GasPrice) -> str:
    """Format a gas price as the SDK's decimal coin."""
    whole, fraction = divmod(price.udsc_per_million_gas, 1_000_000)
    return f"{whole}.{fraction:06d}000000000000{BASE_DENOM}"
