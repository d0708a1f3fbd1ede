"""Find transactions by their events, over the kept blocks.

A query with `tx.hash='..'` is one look-up. Otherwise the blocks within the query's height bounds
are read, less those that the index says lack one of the values asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from node.doors import comet_json as cj
from node.doors.event_query import EventQuery, collect_events
from node.doors.node_view import NodeView

BLOCKS_PER_TURN = 50
RESERVED_KEYS = {"tm.event", "tx.hash", "tx.height", "block.height"}


def parse_hash(text: str) -> bytes:
    """Parse a transaction hash out of a query; text that is not hex matches nothing."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def collect_tx_events(height: int, tx: bytes, result: Any) -> dict[str, list[str]]:
    """Collect the events of a transaction with CometBFT's reserved keys."""
    base = {
        "tm.event": ["Tx"],
        "tx.hash": [cj.format_hex(cj.compute_tx_hash(tx))],
        "tx.height": [str(height)],
    }
    return collect_events(result.events, base)


async def find_txs(
    view: NodeView, query: EventQuery, is_wanted: Callable[[bytes], bool] | None = None
) -> list[tuple[int, int]]:
    """Find (height, index) of the transactions that match, oldest first.

    Args:
        is_wanted: given the bytes of those that match; the others are left out.
    """
    low, high = query.compute_range("tx.height", *view.get_heights())
    text = query.get_text("tx.hash")
    if text is not None:
        place = view.find_tx(parse_hash(text))
        if place is None:
            return []
        low, high = max(low, place[0]), min(high, place[0])
    found: list[tuple[int, int]] = []
    tags = list_tags(query)
    heights = view.iterate_tagged(tags, low, high) if tags else range(low, high + 1)
    async for height in yield_often(heights):
        found.extend((height, index) for index in match_block_txs(view, height, query, is_wanted))
    return found


def list_tags(query: EventQuery) -> list[tuple[str, str]]:
    """List the event values a match must have, which the index of blocks knows."""
    return [
        (condition.key, condition.operand)
        for condition in query.conditions
        if condition.operator == "="
        and isinstance(condition.operand, str)
        and condition.key not in RESERVED_KEYS
    ]


async def yield_often(heights: Iterable[int]) -> AsyncIterator[int]:
    """Pass heights on, letting other requests run in between."""
    for count, height in enumerate(heights, start=1):
        if count % BLOCKS_PER_TURN == 0:
            await asyncio.sleep(0)
        yield height


def match_block_txs(
    view: NodeView, height: int, query: EventQuery, is_wanted: Callable[[bytes], bool] | None = None
) -> list[int]:
    """Match the transactions of one block; indexes of those whose events fit, as `find_txs`."""
    block = view.load_block(height)
    if block is None or not block.data.txs:
        return []
    results = view.load_results(height)
    if results is None:
        return []
    pairs = zip(block.data.txs, results.tx_results, strict=True)
    return [
        index
        for index, (tx, result) in enumerate(pairs)
        if query.is_match(collect_tx_events(height, tx, result))
        and (is_wanted is None or is_wanted(tx))
    ]


async def find_blocks(view: NodeView, query: EventQuery) -> list[int]:
    """Find the heights whose block events match, oldest first."""
    low, high = query.compute_range("block.height", *view.get_heights())
    tags = list_tags(query)
    heights = view.iterate_tagged(tags, low, high, is_block=True) if tags else range(low, high + 1)
    found = []
    async for height in yield_often(heights):
        results = view.load_results(height)
        if results is not None:
            base = {"tm.event": ["NewBlock"], "block.height": [str(height)]}
            if query.is_match(collect_events(results.events, base)):
                found.append(height)
    return found
