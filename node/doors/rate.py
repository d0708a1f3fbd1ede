"""How many requests a second a door takes of one client address."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_CLIENTS = 10_000
IPV6_PREFIX_BITS = 64  # what one subscriber is given
BURST_S = 2.0


class RateLimiter:
    """A bucket of tokens a client address: so many requests a second, and a burst of two seconds'.

    Args:
        per_second: requests; 0 for no limit.
    """

    def __init__(self, per_second: float, get_time: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._burst = max(1.0, per_second * BURST_S)
        self._get_time = get_time
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def limit(self) -> str:
        """The limit in words, for who is refused."""
        return f"more than {self.per_second:g} requests a second"

    def take(self, host: str) -> float:
        """Take a token; the seconds until there is one if there is none, else 0."""
        if not self.per_second:
            return 0.0
        key, now = compute_client_key(host), self._get_time()
        tokens, then = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self.per_second)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self.per_second
        self._buckets[key] = (tokens if wait_s else tokens - 1, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait_s


def compute_client_key(host: str) -> str:
    """Compute what counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in host:
        return host
    try:
        network = ipaddress.ip_network((host.partition("%")[0], IPV6_PREFIX_BITS), strict=False)
    except ValueError:
        return host
    return str(network)
