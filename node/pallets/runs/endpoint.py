"""Where a participant serves: the one form of an endpoint that is accepted."""

from __future__ import annotations

import ipaddress
import re

from node.pallets.runs.errors import InvalidEndpoint
from node.pallets.runs.types import RunsParams
from node.runtime.errors import ensure

HOST_PATTERN = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9-]+)*")
MAX_PORT = 65_535


def ensure_endpoint(endpoint: str, params: RunsParams) -> None:
    """Refuse what is not `host:port`, `a.b.c.d:port` or `[ipv6]:port`.

    Raises: InvalidEndpoint.
    """
    size, limit = len(endpoint.encode()), params.max_endpoint_bytes
    ensure(size <= limit, InvalidEndpoint, f"{size} bytes, the limit is {limit}")
    host, _, port = endpoint.rpartition(":")
    is_port = port.isascii() and port.isdigit() and port == str(int(port))
    ensure(
        is_port and 0 < int(port) <= MAX_PORT,
        InvalidEndpoint,
        f"{endpoint!r} has no port from 1 to {MAX_PORT}",
    )
    is_host = HOST_PATTERN.fullmatch(host) is not None
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
            is_host = True
        except ValueError:
            is_host = False
    ensure(is_host, InvalidEndpoint, f"{endpoint!r} has no host name or address")
