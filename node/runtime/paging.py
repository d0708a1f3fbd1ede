"""Pages of a query answer, as `cosmos.base.query.v1beta1` has them.

`next_key` is the raw key of the first entry of the next page and empty at the end: a client that
pages until it is empty must stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cosmos.base.query.v1beta1 import pagination_pb2

from node.runtime.context import Context
from node.runtime.errors import QueryInvalid
from node.runtime.storage import KeySet, Map

K = TypeVar("K")
V = TypeVar("V")
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000


def paginate(
    ctx: Context,
    storage: Map[K, V],
    request: Any,
    prefix: Any = None,
    keep: Callable[[K, V], bool] | None = None,
) -> tuple[list[tuple[K, V]], Any]:
    """Take one page of a map.

    Args:
        request: `PageRequest` (key or offset, limit, count_total, reverse).
        prefix: first component(s) of a composite key.
        keep: entries that count; others are skipped.
    Returns: the entries and the `PageResponse`.
    Raises: QueryInvalid.
    """
    if request.key and request.offset:
        raise QueryInvalid("invalid request, either offset or key is expected, got both")
    limit = min(request.limit or DEFAULT_LIMIT, MAX_LIMIT)
    raw_prefix = storage.encode_key_prefix(prefix)
    start = bytes(request.key) or None
    if start is not None and not start.startswith(raw_prefix):
        raise QueryInvalid("invalid request, page key does not belong to this query")
    entries: list[tuple[K, V]] = []
    num_seen, next_key = 0, b""
    for raw_key, raw in storage.scan(ctx, raw_prefix, start, request.reverse):
        key, value = storage.decode_key(raw_key), storage.value_codec.decode(raw)
        if keep is not None and not keep(key, value):
            continue
        num_seen += 1
        if num_seen <= request.offset:
            continue
        if len(entries) < limit:
            entries.append((key, value))
            continue
        next_key = next_key or raw_key
        if not request.count_total:
            break
    response = pagination_pb2.PageResponse(next_key=next_key)
    if request.count_total and start is None:
        response.total = num_seen
    return entries, response


def paginate_keys(
    ctx: Context, storage: KeySet[K], request: Any, prefix: Any = None
) -> tuple[list[K], Any]:
    """Take one page of a key set; as `paginate`."""
    if request.key and request.offset:
        raise QueryInvalid("invalid request, either offset or key is expected, got both")
    limit = min(request.limit or DEFAULT_LIMIT, MAX_LIMIT)
    start = bytes(request.key) or None
    keys: list[K] = []
    num_seen, next_key = 0, b""
    raw_prefix = storage.encode_key_prefix(prefix)
    for raw_key, _ in storage.scan(ctx, raw_prefix, start, request.reverse):
        num_seen += 1
        if num_seen <= request.offset:
            continue
        if len(keys) == limit:
            next_key = raw_key
            break
        keys.append(storage.decode_key(raw_key))
    return keys, pagination_pb2.PageResponse(next_key=next_key)
