"""The one table of methods that the gRPC, REST and Substrate doors answer from."""

from __future__ import annotations

from node.doors.cosmos_base import BaseServices, CometService
from node.doors.cosmos_tx import TxService
from node.doors.grpc_services import Router
from node.doors.node_view import NodeView
from node.doors.watch import WatchService


def build_router(view: NodeView, moniker: str, requests_per_second: float = 0) -> Router:
    """Build the table of every method the doors answer."""
    tables = [TxService(view).build_table(), CometService(view, moniker).build_table()]
    router = Router(view, [*tables, *BaseServices(view).build_tables()], requests_per_second)
    router.add_table(WatchService(view, router).build_table())
    return router
