"""Whatever is in a message or a question, the answer is a response or a refusal, never an error."""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.pallets.staking.types import BONDED_POOL
from node.runtime.addresses import compute_module_address, encode_account, encode_operator
from node.runtime.errors import ChainError, QueryError
from node.runtime.state import EmptyReader
from tests.pallets.economy.test_machine import build_harness
from tests.pallets.harness import Harness, make_addr, make_text_addr
from tests.pallets.staking.staking_chain import build_create, build_delegate

DSC = 10**6
KEY_BYTES_MAX = 400
NAMES = ("val", "alice", "bob")
MODULE = encode_account(compute_module_address(BONDED_POOL))
GOV = encode_account(compute_module_address("gov"))
ACCOUNTS = (*(make_text_addr(name) for name in NAMES), MODULE, GOV)
OPERATORS = tuple(encode_operator(make_addr(name)) for name in NAMES)
ADDRESSES = (*ACCOUNTS, *OPERATORS)
WHO = ("addr", "grant", "delegator", "voter", "propos", "deposit", "recipient", "key", "owner")
TEXTS = st.one_of(
    st.sampled_from(ADDRESSES),
    st.sampled_from(ADDRESSES),
    st.sampled_from(
        ("", "0", "1", "1000000", "-1", "0.5", "1.0", "udsc", "\u00b2", "v2", "9" * 90)
    ),
    st.text(max_size=12),
    st.just("x" * 5_000),
)
INTEGERS = st.sampled_from(
    (0, 1, 2, 3, 5, 7, 100, 10**6, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
)
SIGNED = st.sampled_from((0, 1, -1, 5, 10**6, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)))
SMALL_SIGNED = st.sampled_from((0, 1, -1, 5, 999_999_999, 2**31 - 1, -(2**31)))
UNSIGNED_32 = (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32)
SIGNED_64 = (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64)
SIGNED_32 = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_ENUM)
CHAIN = build_harness()
CALLS = sorted(CHAIN.runtime.calls)
QUERIES = sorted(CHAIN.runtime.queries)


class StrictReader(EmptyReader):
    """Refuses keys the real store refuses."""

    def get(self, store: str, key: bytes, version: int | None = None) -> bytes | None:
        assert len(key) <= KEY_BYTES_MAX, f"a key of {len(key)} bytes in {store}"
        return None

    def iterate(self, store: str, prefix: bytes = b"", *others: Any, **more: Any) -> Any:
        assert len(prefix) <= KEY_BYTES_MAX, f"a prefix of {len(prefix)} bytes in {store}"
        return iter(())


def make_chain() -> Harness:
    chain = build_harness()
    mint = chain.get_pallet("mint")
    for name in NAMES:
        mint.issue(chain.ctx(), make_addr(name), 1_000 * DSC)
    chain.run(build_create("val", 100 * DSC))
    chain.run(build_delegate("alice", "val", 100 * DSC))
    chain.state._reader = StrictReader()
    return chain


def find_fitting(name: str) -> st.SearchStrategy[str] | None:
    """Find what a text field of a name should hold, so that messages get past the first check."""
    if name == "authority":
        return st.just(GOV)
    if "validator" in name:
        return st.sampled_from(OPERATORS)
    if any(part in name for part in WHO):
        return st.sampled_from(ACCOUNTS)
    if name == "denom":
        return st.just("udsc")
    if name in ("amount", "weight", "rate", "max_rate", "max_change_rate", "shares"):
        return st.sampled_from(("1", "0.5", "1000000", str(10**17), str(10**18)))
    if name in ("msg", "msg_type_url", "allowed_calls", "allowed_messages"):
        return st.sampled_from(CALLS)
    return None


def draw_scalar(data: st.DataObject, field: Any) -> Any:
    """Draw a value of a field that holds no message."""
    if field.type == FieldDescriptor.TYPE_STRING:
        fitting = find_fitting(field.name)
        is_fitting = fitting is not None and data.draw(st.integers(0, 9))
        return data.draw(fitting if fitting is not None and is_fitting else TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return data.draw(st.one_of(st.binary(max_size=40), st.just(b"500000000000000000")))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return data.draw(st.booleans())
    if field.type in SIGNED_64:
        return data.draw(SIGNED)
    if field.type in SIGNED_32:
        return data.draw(SMALL_SIGNED)
    number = data.draw(INTEGERS)
    return number & 0xFFFFFFFF if field.type in UNSIGNED_32 else number


def fill(data: st.DataObject, message: Any, depth: int = 0) -> None:
    """Fill a message with anything."""
    if isinstance(message, any_pb2.Any):
        fill_any(data, message, depth)
        return
    for field in message.DESCRIPTOR.fields:
        if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
            continue
        if field.label == FieldDescriptor.LABEL_REPEATED:
            for _ in range(data.draw(st.integers(0, 2))):
                if field.message_type is None:
                    getattr(message, field.name).append(draw_scalar(data, field))
                elif not field.message_type.GetOptions().map_entry:
                    fill(data, getattr(message, field.name).add(), depth + 1)
        elif field.message_type is None:
            setattr(message, field.name, draw_scalar(data, field))
        elif depth < 4 and data.draw(st.integers(0, 3)):
            part = getattr(message, field.name)
            part.SetInParent()
            fill(data, part, depth + 1)


def fill_any(data: st.DataObject, packed: Any, depth: int) -> None:
    """Pack a call, an authorization, an allowance, or garbage."""
    from cosmos.authz.v1beta1 import authz_pb2
    from cosmos.bank.v1beta1 import authz_pb2 as bank_authz_pb2
    from cosmos.feegrant.v1beta1 import feegrant_pb2

    from proto.descent.authz.v1 import authz_pb2 as own_pb2

    others: list[Any] = [
        authz_pb2.GenericAuthorization,
        bank_authz_pb2.SendAuthorization,
        own_pb2.SessionAuthorization,
        feegrant_pb2.BasicAllowance,
        feegrant_pb2.PeriodicAllowance,
        feegrant_pb2.AllowedMsgAllowance,
    ]
    classes = [*others, *(spec.message_class for spec in CHAIN.runtime.calls.values())]
    chosen = data.draw(st.sampled_from(classes))
    packed.type_url = "/" + chosen.DESCRIPTOR.full_name
    if depth > 3 or data.draw(st.integers(0, 9)) == 0:
        packed.value = data.draw(st.binary(max_size=20))
        return
    message = chosen()
    fill(data, message, depth + 1)
    packed.value = message.SerializeToString()


def is_of_module(spec: Any, message: Any) -> bool:
    """Whether a message is signed by an account that has no key."""
    return any(text in (MODULE, GOV) for text in spec.get_signers(message))


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_calls(data: st.DataObject) -> None:
    chain = make_chain()
    for _ in range(3):
        spec = chain.runtime.calls[data.draw(st.sampled_from(CALLS))]
        message = spec.message_class()
        fill(data, message)
        if not hasattr(message, "authority") and is_of_module(spec, message):
            continue
        try:
            chain.run(message)
        except ChainError:
            continue
    chain.next_block()
    chain.export_genesis()


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_queries(data: st.DataObject) -> None:
    chain = make_chain()
    for _ in range(3):
        path = data.draw(st.sampled_from(QUERIES))
        request = chain.runtime.queries[path].request_class()
        fill(data, request)
        try:
            chain.query(path, request)
        except QueryError:
            continue
