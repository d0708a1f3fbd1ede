"""Cosmos gRPC on its usual port, with reflection and health.

A process of its own: `python -m node.doors.grpc_door --home H --port 9090`. It reads the node's
LMDB and hands transactions to the engine's control socket. Pallet queries come from the runtime's
registry; what belongs to no pallet is in `cosmos_tx.py`, `cosmos_base.py` and `watch.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from node.doors.node_view import NodeView
from node.doors.process import add_door_arguments, add_rate_argument, run_door
from node.doors.reflection import build_handlers
from node.doors.services import build_router
from node.doors.watch import MAX_WAITING

DEFAULT_PORT = 9090
MAX_REQUEST_BYTES = 4 * 2**20
MAX_RESPONSE_BYTES = 64 * 2**20
MAX_CONCURRENT_CALLS = 256 + MAX_WAITING
STOP_GRACE_S = 0.5


async def start(
    view: NodeView, host: str, port: int, moniker: str, requests_per_second: float = 0
) -> tuple[Any, int]:
    """Start the server; returns it and the port it got (`port` 0 takes a free one)."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
            ("grpc.so_reuseport", 0),
            # Clients with several nodes ask every few seconds whether this one still lives.
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
        ],
        maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
    )
    router = build_router(view, moniker, requests_per_second)
    names = router.list_service_names()
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    reflection = build_handlers([*names, health.SERVICE_NAME])
    server.add_generic_rpc_handlers((*reflection, router))
    bound = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    for name in ("", *names):
        await checker.set(name, health_pb2.HealthCheckResponse.SERVING)
    return server, bound


async def serve(
    view: NodeView,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    moniker: str = "descent",
    requests_per_second: float = 0,
) -> None:
    """Serve until cancelled or told to stop by a signal.

    Args:
        view: the node's home, read-only.
        host, port: address to listen on.
        requests_per_second: of one client address; 0 for no limit.
    """
    server, _ = await start(view, host, port, moniker, requests_per_second)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, NotImplementedError):
            loop.add_signal_handler(number, stopping.set)
    try:
        await stopping.wait()
    finally:
        view.stop_waiting()
        await server.stop(STOP_GRACE_S)


def main() -> None:
    """Run the door as a process."""
    parser = argparse.ArgumentParser(prog="python -m node.doors.grpc_door", description=__doc__)
    add_door_arguments(parser, DEFAULT_PORT)
    add_rate_argument(parser, default_per_second=0)
    arguments = parser.parse_args()

    async def run(view: NodeView) -> None:
        await serve(
            view,
            arguments.host,
            arguments.port,
            moniker=arguments.moniker,
            requests_per_second=arguments.max_requests_per_second,
        )

    run_door(arguments, run)


if __name__ == "__main__":
    main()
