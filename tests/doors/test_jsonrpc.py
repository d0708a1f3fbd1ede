"""The JSON-RPC dialect: argument rules, batches, error objects; nothing sent crashes it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.doors.jsonrpc import (
    MAX_BODY_BYTES,
    Call,
    Dispatcher,
    InternalError,
    Kind,
    Param,
    Reply,
    Route,
)


async def echo(call: Call, **arguments: Any) -> Any:
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in arguments.items()
    }


async def refuse(call: Call) -> Any:
    raise InternalError("height 7 is not available, lowest height is 9")


DISPATCHER = Dispatcher(
    {
        "echo": Route(
            echo,
            (
                Param("height", Kind.INT64),
                Param("data", Kind.BYTES, b""),
                Param("hash", Kind.HEX_BYTES, b""),
                Param("path", Kind.STRING, ""),
                Param("prove", Kind.BOOL, False),
            ),
        ),
        "refuse": Route(refuse),
        "subscribe": Route(echo, (Param("query", Kind.STRING, ""),), is_socket_only=True),
    }
)


def read(reply: Reply) -> Any:
    return json.loads(reply.body)


async def post(value: Any) -> Reply:
    return await DISPATCHER.answer_post(json.dumps(value).encode())


def build_call(method: str, params: Any = None, request_id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


async def test_post_named_arguments() -> None:
    arguments = {
        "height": "5",
        "data": base64.b64encode(b"\x01\x02").decode(),
        "hash": "0A0b",
        "path": "/p",
        "prove": True,
    }
    reply = await post(build_call("echo", arguments, "a"))
    assert reply.status == 200
    assert read(reply) == {
        "jsonrpc": "2.0",
        "id": "a",
        "result": {"height": 5, "data": "0102", "hash": "0a0b", "path": "/p", "prove": True},
    }


async def test_post_positional_arguments() -> None:
    reply = await post(build_call("echo", ["5", "", "", "x", False]))
    assert read(reply)["result"]["height"] == 5


async def test_invalid_positional_count() -> None:
    error = read(await post(build_call("echo", ["5"])))["error"]
    assert error["code"] == -32602
    assert "expected 5 parameters ([height data hash path prove]), got 1" in error["data"]


async def test_invalid_number_not_text() -> None:
    error = read(await post(build_call("echo", {"height": 5})))["error"]
    assert error == {
        "code": -32602,
        "message": "Invalid params",
        "data": "error converting json params to arguments: "
        "invalid 64-bit integer encoding 5, expected string",
    }


async def test_uri_arguments() -> None:
    arguments = {"height": "12", "data": '"ab"', "hash": "0xFF", "path": '"/p"', "prove": "true"}
    reply = await DISPATCHER.answer_uri("echo", arguments)
    assert reply.status == 200
    assert read(reply)["id"] == -1
    assert read(reply)["result"] == {
        "height": 12,
        "data": b"ab".hex(),
        "hash": "ff",
        "path": "/p",
        "prove": True,
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"height": "abc"}, "invalid argument"),
        ({"height": "0x10"}, "got a hex string arg, but expected 'int64'"),
        ({"height": "99999999999999999999"}, "out of range"),
        ({"hash": "0xABC"}, "encoding/hex: odd length hex string"),
        ({"hash": "0xZZ"}, "encoding/hex: invalid byte"),
        ({"data": "deadbeef"}, "invalid argument"),
        ({"path": "/store"}, "with quotes around text"),
        ({"prove": "yes"}, "invalid argument"),
    ],
)
async def test_invalid_uri_argument(arguments: dict[str, str], text: str) -> None:
    reply = await DISPATCHER.answer_uri("echo", arguments)
    assert reply.status == 500
    error = read(reply)["error"]
    assert error["code"] == -32602
    assert error["data"].startswith("error converting http params to arguments: ")
    assert text in error["data"]


async def test_route_refusal_is_internal_error() -> None:
    expected = {
        "code": -32603,
        "message": "Internal error",
        "data": "height 7 is not available, lowest height is 9",
    }
    assert read(await post(build_call("refuse")))["error"] == expected
    reply = await DISPATCHER.answer_uri("refuse", {})
    assert (reply.status, read(reply)["error"]) == (500, expected)


async def test_unknown_method() -> None:
    error = read(await post(build_call("nope")))["error"]
    assert error == {"code": -32601, "message": "Method not found"}
    assert (await DISPATCHER.answer_uri("nope", {})).status == 404


async def test_socket_route_over_http() -> None:
    assert read(await post(build_call("subscribe", {"query": "x"})))["error"]["code"] == -32601
    assert (await DISPATCHER.answer_uri("subscribe", {})).status == 404


async def test_batch_of_ten() -> None:
    reply = await post([build_call("echo", {"height": str(i)}, i) for i in range(10)])
    assert [item["result"]["height"] for item in read(reply)] == list(range(10))


async def test_invalid_batch_of_eleven() -> None:
    reply = await post([build_call("echo", None, i) for i in range(11)])
    assert reply.status == 400
    assert read(reply)["error"]["data"] == (
        "maximum JSON-RPC batch size exceeded, got: 11, max: 10"
    )


async def test_notifications_get_no_reply() -> None:
    assert (await post({"jsonrpc": "2.0", "method": "echo"})).body == b""
    reply = await post([{"method": "echo"}, build_call("echo", None, 4)])
    assert read(reply)["id"] == 4


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b"17", b"\xff\xfe\xfd", b'{"id": 1.5}', b'{"id": NaN}', b"[" * 200_000,
     b'{"id": true, "method": "echo"}', b'{"id": 1, "method": 5}', b"9" * 10_000],
)  # fmt: skip
async def test_invalid_body(body: bytes) -> None:
    reply = await DISPATCHER.answer_post(body)
    assert reply.status == 500
    assert read(reply)["error"]["code"] == -32700
    assert "id" not in read(reply)


async def test_invalid_oversize_body() -> None:
    reply = await DISPATCHER.answer_post(b" " * (MAX_BODY_BYTES + 1))
    assert reply.status == 400
    assert read(reply)["error"]["data"].endswith("request body too large")


async def test_empty_body_lists_endpoints() -> None:
    reply = await DISPATCHER.answer_post(b"")
    assert reply.content_type == "text/html"
    assert b"/echo?height=_" in reply.body


async def test_socket_message() -> None:
    message = json.dumps(build_call("subscribe", {"query": "tm.event='Tx'"}, 9))
    reply = await DISPATCHER.answer_socket(message, None, "peer")
    assert json.loads(reply or b"")["result"] == {"query": "tm.event='Tx'"}
    assert await DISPATCHER.answer_socket('{"method": "echo"}', None, "peer") is None
    broken = json.loads(await DISPATCHER.answer_socket("{", None, "peer") or b"")
    assert broken["error"]["code"] == -32700


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ARGUMENT_NAMES = st.sampled_from(["height", "data", "hash", "path", "prove", "other"])


@settings(max_examples=150)
@given(
    st.fixed_dictionaries(
        {"id": st.integers() | st.text() | st.none(), "method": st.sampled_from(["echo", "x"])},
        optional={"params": st.dictionaries(ARGUMENT_NAMES, JSON_VALUES) | JSON_VALUES},
    )
    | JSON_VALUES
)
async def test_any_json_gets_a_well_formed_reply(value: Any) -> None:
    reply = await post(value)
    assert reply.status in (200, 400, 500)
    if reply.body and reply.content_type == "application/json":
        answers = read(reply)
        for answer in answers if isinstance(answers, list) else [answers]:
            assert ("result" in answer) != ("error" in answer)


@settings(max_examples=150)
@given(st.dictionaries(ARGUMENT_NAMES, st.text(max_size=30)))
async def test_any_uri_gets_a_well_formed_reply(arguments: dict[str, str]) -> None:
    reply = await DISPATCHER.answer_uri("echo", arguments)
    assert reply.status in (200, 500)
    answer = read(reply)
    assert ("result" in answer) != ("error" in answer)
