"""`chain_*` and `system_*`: blocks, headers, and what the node says of itself."""

from __future__ import annotations

from typing import Any

from node.doors.substrate.blocks import Blocks
from node.doors.substrate.facade import SS58_PREFIX
from node.doors.substrate.rpc import (
    InvalidParams,
    Method,
    Subscribed,
    format_hex,
    parse_hex,
)
from node.doors.substrate.subscriptions import Hub, Session
from node.runtime.application import APP_VERSION
from node.runtime.coins import DISPLAY_DENOM
from node.runtime.substrate.headers import HASH_BYTES

TOKEN_DECIMALS = 6
MAX_HASHES = 1000


def parse_number(value: Any) -> int:
    """Parse a block number: an integer, or hex text.

    Raises: InvalidParams.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.startswith("0x") and len(value) <= 18:
        try:
            return int(value, 16)
        except ValueError:
            pass
    raise InvalidParams("block number: expected an integer or 0x and hex digits")


class ChainMethods:
    """The methods over a node's blocks."""

    def __init__(self, blocks: Blocks, hub: Hub) -> None:
        self.blocks = blocks
        self.hub = hub
        self._told_height = 0
        self._told: dict[str, Any] | None = None

    def list_methods(self) -> dict[str, Method]:
        """List the methods by name."""
        heads = {"NewHeads": "chain_newHead", "NewHead": "chain_newHead"}
        heads |= {"AllHeads": "chain_allHead", "FinalizedHeads": "chain_finalizedHead"}
        heads |= {"FinalisedHeads": "chain_finalizedHead"}
        methods: dict[str, Method] = {}
        for name, notification in heads.items():
            methods[f"chain_subscribe{name}"] = self._build_subscribe(notification)
            methods[f"chain_unsubscribe{name}"] = self.unsubscribe
        methods |= {
            "chain_getBlockHash": self.get_block_hash,
            "chain_getHead": self.get_head,
            "chain_getFinalizedHead": self.get_head,
            "chain_getFinalisedHead": self.get_head,
            "chain_getHeader": self.get_header,
            "chain_getBlock": self.get_block,
            "chain_subscribe_newHead": methods["chain_subscribeNewHead"],
            "chain_unsubscribe_newHead": self.unsubscribe,
        }
        texts = {
            "name": "Descent",
            "version": APP_VERSION,
            "chain": self.blocks.view.chain_id,
            "chainType": "Local",
            "localPeerId": self.blocks.view.node_id,
            "localListenAddresses": [],
            "peers": [],
            "nodeRoles": ["Full"],
        }
        for name, value in texts.items():
            methods[f"system_{name}"] = self._build_constant(value)
        methods["system_properties"] = self.get_properties
        methods["system_health"] = self.get_health
        methods["system_syncState"] = self.get_sync_state
        return methods

    def _build_constant(self, value: Any) -> Method:
        async def answer(session: Session | None) -> Any:
            return value

        return answer

    def _build_subscribe(self, notification: str) -> Method:
        async def subscribe(session: Session | None) -> Subscribed:
            return self.hub.subscribe(session, notification, self.list_told)

        return subscribe

    def get_told(self, height: int) -> Any:
        """Get the header subscribers are told of; built once a block."""
        if self._told_height != height or self._told is None:
            self._told_height = height
            self._told = self.blocks.build_header_json(height)
        return self._told

    def list_told(self, height: int) -> list[Any]:
        """List what subscribers are told of a block; nothing if its state is gone already."""
        told = self.get_told(height)
        return [] if told is None else [told]

    async def unsubscribe(self, session: Session | None, subscription_id: Any) -> bool:
        """End a subscription."""
        return self.hub.unsubscribe(session, subscription_id)

    async def get_block_hash(self, session: Session | None, number: Any = None) -> Any:
        """Answer the hash of a block, of several, or of the newest; null if there is none."""
        if isinstance(number, list):
            if len(number) > MAX_HASHES:
                raise InvalidParams(f"more than {MAX_HASHES} numbers")
            return [await self.get_block_hash(session, item) for item in number]
        height = self.blocks.get_height() if number is None else parse_number(number)
        found = self.blocks.get_hash(height)
        return None if found is None else format_hex(found)

    async def get_head(self, session: Session | None) -> Any:
        """Answer the hash of the newest block, which is final."""
        return await self.get_block_hash(session)

    def _find(self, at: Any) -> int | None:
        if at is None:
            return self.blocks.get_height()
        block_hash = parse_hex(at, "block hash")
        if len(block_hash) != HASH_BYTES:
            raise InvalidParams("block hash: expected 32 bytes")
        return self.blocks.find_height(block_hash)

    async def get_header(self, session: Session | None, at: Any = None) -> Any:
        """Answer a header, null if there is none."""
        height = self._find(at)
        return None if height is None else self.blocks.build_header_json(height)

    async def get_block(self, session: Session | None, at: Any = None) -> Any:
        """Answer a block, null if there is none."""
        height = self._find(at)
        header = None if height is None else self.blocks.build_header_json(height)
        if height is None or header is None:
            return None
        extrinsics = [format_hex(item) for item in self.blocks.list_extrinsics(height)]
        return {"block": {"header": header, "extrinsics": extrinsics}, "justifications": None}

    async def get_properties(self, session: Session | None) -> Any:
        """Answer how to show addresses and amounts."""
        return {
            "ss58Format": SS58_PREFIX,
            "tokenDecimals": TOKEN_DECIMALS,
            "tokenSymbol": DISPLAY_DENOM,
        }

    async def get_health(self, session: Session | None) -> Any:
        """Answer whether the node is well."""
        return {"peers": 0, "isSyncing": False, "shouldHavePeers": False}

    async def get_sync_state(self, session: Session | None) -> Any:
        """Answer how far the node is."""
        oldest, newest = self.blocks.view.get_heights()
        return {"startingBlock": oldest, "currentBlock": newest, "highestBlock": newest}
