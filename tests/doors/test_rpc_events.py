"""Subscribers: limits, and one that does not read."""

import asyncio
import json
from pathlib import Path

import pytest

from node.doors.event_query import parse_query
from node.doors.jsonrpc import Call, InternalError
from node.doors.node_view import NodeView
from node.doors.rpc_events import MAX_SOCKETS, MAX_SUBSCRIPTIONS, QUEUE_MESSAGES, EventHub
from tests.support.devnet_node import DevnetNode


def test_slow_client_is_told_and_dropped(devnet_node: DevnetNode) -> None:
    with NodeView.open(Path(devnet_node.home)) as view:
        hub = EventHub(view)
        session = hub.open_session("slow")
        session.subscriptions["q"] = (parse_query("tm.event='NewBlock'"), 5)
        for _ in range(QUEUE_MESSAGES + 1):
            session.push(b"{}")
        assert session.is_slow
        told = json.loads(session.queue.get_nowait() or b"")
        assert told["id"] == 5
        assert told["error"]["data"] == "subscription was canceled (reason: slow client)"
        assert session.queue.get_nowait() is None
        session.push(b"{}")
        assert session.queue.empty()


async def test_limits(devnet_node: DevnetNode) -> None:
    with NodeView.open(Path(devnet_node.home)) as view:
        hub = EventHub(view)
        session = hub.open_session("greedy")
        for number in range(MAX_SUBSCRIPTIONS):
            call = Call(number, socket=session)
            await hub.subscribe(call, f"tm.event='Tx' AND tx.height={number}")
        with pytest.raises(InternalError, match="max_subscriptions_per_client 5 reached"):
            await hub.subscribe(Call(9, socket=session), "tm.event='NewBlock'")
        await hub.unsubscribe_all(Call(10, socket=session))
        with pytest.raises(InternalError, match="subscription not found"):
            await hub.unsubscribe_all(Call(11, socket=session))
        others = [hub.open_session(str(number)) for number in range(MAX_SOCKETS - 1)]
        with pytest.raises(InternalError, match="max_subscription_clients 100 reached"):
            hub.open_session("late")
        hub.close_session(others[0])
        hub.open_session("in time")


async def test_hub_follows_every_block(devnet_node: DevnetNode) -> None:
    with NodeView.open(Path(devnet_node.home)) as view:
        hub = EventHub(view)
        session = hub.open_session("reader")
        session.subscriptions["q"] = (parse_query("tm.event='NewBlockEvents'"), 1)
        task = asyncio.create_task(hub.run())
        heights = []
        for _ in range(3):
            message = json.loads(await asyncio.wait_for(session.queue.get(), 30) or b"")
            heights.append(int(message["result"]["data"]["value"]["height"]))
        task.cancel()
        assert heights == list(range(heights[0], heights[0] + 3))
