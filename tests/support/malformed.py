"""Malformed requests for the doors of a node, and peers that send them fast.

An answer is a problem when it shows an internal fault: gRPC INTERNAL, an HTTP 5xx that stands for
none of the chain's own refusals, text that is no JSON, or none at all.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, quote_from_bytes

TIMEOUT_S = 60.0
INTERNAL, UNKNOWN, UNIMPLEMENTED = 13, 2, 12
TEXTS = (
    *("", "0", "-1", "1", "1.5", "1e9", "9" * 25, str(2**63), str(2**64), "0x", "0xzz", "null"),
    *("true", "udsc", "\u0661", "\u00e9" * 40, "\x00", "%", "'", '"', "a='b", "tx.height>", "=="),
    *("..", "/", "*", "{}", "[]", "descent1", "descentvaloper1x", "A" * 3_000, "ab" * 32, "Ag=="),
    *("tx.height=1 AND message.sender='x'", "tx.height>0", "BOND_STATUS_BONDED", "ORDER_BY_DESC"),
)
NAMES = (
    *("pagination.key", "pagination.limit", "pagination.offset", "pagination.reverse"),
    *("pagination.count_total", "pagination", "query", "events", "order_by", "page", "limit"),
    *("height", "denom", "status", "proposal_status", "path", "data", "prove", "hash", "tx"),
    *("minHeight", "maxHeight", "per_page", "chunk", "", "a.b.c.d.e.f.g.h.i.j.k", "__class__"),
)


class Malformer:
    """Makes requests from a seed.

    Args:
        tx: a signed transaction to start from.
        templates: of REST paths, by HTTP method.
        methods: gRPC paths.
        routes: names of RPC methods.
    """

    def __init__(
        self,
        seed: int,
        tx: bytes,
        templates: Sequence[tuple[str, str]],
        methods: Sequence[str],
        routes: Sequence[str],
    ) -> None:
        self.rng = random.Random(seed)
        self.tx = tx
        self.templates, self.methods, self.routes = templates, methods, routes

    def make_text(self) -> str:
        """Make a text that may be anything."""
        rng = self.rng
        if rng.random() < 0.7:
            return rng.choice(TEXTS)
        return "".join(chr(rng.randrange(1, 0x2FF)) for _ in range(rng.randrange(30)))

    def mutate(self, data: bytes) -> bytes:
        """Change some bytes: flipped, cut out, doubled, cut off, or something else altogether."""
        rng, built = self.rng, bytearray(data)
        if rng.random() < 0.1:
            return rng.randbytes(rng.randrange(200))
        for _ in range(rng.randrange(1, 4)):
            at, size = rng.randrange(len(built) + 1), rng.randrange(1, 9)
            kind = rng.randrange(5)
            if kind == 0 and at < len(built):
                built[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                del built[at : at + size]
            elif kind == 2:
                built[at:at] = built[at : at + 8 * size]
            elif kind == 3:
                built[at:at] = rng.choice((b"\xff" * 9 + b"\x01", b"\x00", b"\x0a\xff\xff\x03"))
            elif rng.random() < 0.3:
                del built[at:]
        return bytes(built)

    def make_json(self, depth: int = 0) -> Any:
        """Make a JSON value that may be anything."""
        rng = self.rng
        kind = rng.randrange(8 if depth < 3 else 6)
        if kind < 2:
            return self.make_text()
        if kind < 6:
            return rng.choice((None, True, -1, 0, 2**70, 1.5, -1e300, {}, []))
        if kind == 6:
            return [self.make_json(depth + 1) for _ in range(rng.randrange(4))]
        return {self.make_text(): self.make_json(depth + 1) for _ in range(rng.randrange(4))}

    def mutate_json(self, value: Any) -> Any:
        """Change one place of a JSON value."""
        rng = self.rng
        if isinstance(value, dict) and value and rng.random() < 0.85:
            key = rng.choice(sorted(value))
            changed = {**value, key: self.mutate_json(value[key])}
            if rng.random() < 0.1:
                changed[self.make_text()] = changed.pop(key)
            return changed
        if isinstance(value, list) and value and rng.random() < 0.85:
            at = rng.randrange(len(value))
            return [*value[:at], self.mutate_json(value[at]), *value[at + 1 :]]
        return self.make_json()

    # HTTP

    def make_target(self, text: str) -> bytes:
        """Make part of a request target, escaped or nearly."""
        if self.rng.random() < 0.9:
            return quote(text, safe="").encode()
        return quote_from_bytes(self.mutate(text.encode()), safe="%'/&=?").encode()

    def make_query(self) -> bytes:
        """Make a query string."""
        count = self.rng.choice((0, 1, 1, 2, 5))
        pairs = [
            self.make_target(self.rng.choice(NAMES)) + b"=" + self.make_target(self.make_text())
            for _ in range(count)
        ]
        return b"?" + b"&".join(pairs) if pairs else b""

    def make_http(self, method: str, target: bytes, body: bytes | None) -> bytes:
        """Make a well-framed HTTP request."""
        head = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: localhost"]
        if self.rng.random() < 0.2:
            height = self.rng.choice(("0", "1", "2", "-1", "x", "9" * 30, "\t1", "1 "))
            head.append(b"x-cosmos-block-height: " + height.encode())
        if body is not None:
            head.append(b"Content-Length: " + str(len(body)).encode())
        return b"\r\n".join(head) + b"\r\n\r\n" + (body or b"")

    def make_rest(self) -> bytes:
        """Make a request of the REST door."""
        method, template = self.rng.choice(self.templates)
        parts = [
            self.make_target(self.make_text()) if part.startswith("{") else part.encode()
            for part in template.split("/")
        ]
        if self.rng.random() < 0.1:
            parts[self.rng.randrange(len(parts))] = self.make_target(self.make_text())
        body = None
        if method == "POST":
            tx = base64.b64encode(self.mutate(self.tx)).decode()
            document = {"tx_bytes": tx, "mode": self.rng.choice(("BROADCAST_MODE_SYNC", 2, "x"))}
            if self.rng.random() < 0.5:
                document = self.mutate_json({**document, "tx": {"body": {"messages": []}}})
            body = json.dumps(document).encode()
            body = self.mutate(body) if self.rng.random() < 0.3 else body
        return self.make_http(method, b"/".join(parts) + self.make_query(), body)

    def make_call(self) -> Any:
        """Make a JSON-RPC request, more or less."""
        params = {self.rng.choice(NAMES): self.make_text() for _ in range(self.rng.randrange(4))}
        if self.rng.random() < 0.3:
            params["tx"] = base64.b64encode(self.mutate(self.tx)).decode()
        call = {"jsonrpc": "2.0", "id": 1, "method": self.rng.choice(self.routes)}
        document = {**call, "params": params}
        return self.mutate_json(document) if self.rng.random() < 0.5 else document

    def make_rpc(self) -> bytes:
        """Make a request of the CometBFT RPC: by URI, by POST, or a batch."""
        kind = self.rng.random()
        if kind < 0.4:
            target = b"/" + self.rng.choice(self.routes).encode() + self.make_query()
            if self.rng.random() < 0.2:
                target += b"&tx=0x" + self.mutate(self.tx).hex().encode()
            return self.make_http("GET", target, None)
        document = self.make_call()
        if kind > 0.9:
            document = [self.make_call() for _ in range(self.rng.randrange(13))]
        body = json.dumps(document).encode()
        return self.make_http("POST", b"/", self.mutate(body) if kind > 0.8 else body)

    def make_garbage(self) -> bytes:
        """Make bytes that are hardly HTTP."""
        start = self.make_rest() if self.rng.random() < 0.8 else b""
        return self.mutate(start) + self.rng.choice((b"\r\n\r\n", b"", b"\x00" * 20_000))

    # gRPC

    def make_grpc(self) -> tuple[str, bytes, tuple[tuple[str, str], ...]]:
        """Make a gRPC call: path, request, metadata."""
        path = self.rng.choice(self.methods)
        request = self.mutate(self.rng.choice((b"\x0a\x05hello\x10\x01", self.tx, b"")))
        if "tx.v1beta1" in path and self.rng.random() < 0.7:
            tx = self.mutate(self.tx)
            request = b"\x0a" + encode_varint(len(tx)) + tx + b"\x10\x02"
        metadata = ()
        if self.rng.random() < 0.2:
            height = self.rng.choice(("0", "1", "-1", "x", "9" * 30))
            metadata = (("x-cosmos-block-height", height),)
        return path, request, metadata


def encode_varint(number: int) -> bytes:
    """Encode a length as protobuf does."""
    built = bytearray()
    while number > 0x7F:
        built.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*built, number])


class HttpPeer:
    """One connection that is opened again when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body."""
        async with asyncio.timeout(TIMEOUT_S):
            for is_last in (False, True):
                is_new = self._writer is None
                if self._writer is None or self._reader is None:
                    self._reader, self._writer = await asyncio.open_connection(
                        "127.0.0.1", self._port
                    )
                try:
                    self._writer.write(request)
                    return await self._read(self._reader)
                except (ConnectionError, asyncio.IncompleteReadError):
                    # An idle connection may have been closed by the server meanwhile.
                    self.close()
                    if is_last or is_new:
                        raise
        raise AssertionError("unreachable")

    async def _read(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or b"0")
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ")[1]), body

    async def throw(self, data: bytes) -> None:
        """Send bytes that may be no request, and leave."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(TIMEOUT_S):
                await reader.read(65536)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def close(self) -> None:
        """End the connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def find_rest_problem(status: int, body: bytes) -> str:
    """Find what shows an internal fault in an answer of the REST door; empty if nothing does."""
    if status == 200 and body.startswith(b"<!doctype html>"):
        return ""  # a target that became the page's
    try:
        document = json.loads(body) if body else None
    except ValueError:
        return f"{status}: no JSON: {body[:200]!r}"
    if status < 400:
        return ""
    code = document.get("code") if isinstance(document, dict) else None
    fits = status < 500 or (status, code) in ((500, UNKNOWN), (501, UNIMPLEMENTED))
    return "" if fits and code not in (None, INTERNAL) else f"{status}: {body[:200]!r}"


def find_rpc_problem(status: int, body: bytes) -> str:
    """Find what shows an internal fault in an answer of the RPC door."""
    if status in (404, 405) or body.startswith(b"<html>"):
        return ""
    try:
        document = json.loads(body) if body else None
    except ValueError:
        return f"{status}: no JSON: {body[:200]!r}"
    for item in document if isinstance(document, list) else [document]:
        data = (item or {}).get("error", {}).get("data", "")
        if "Error in '" in data or "Exception in '" in data:
            return f"{status}: {data[:200]}"
    return ""
