"""Texts of paths and query strings into request messages."""

import pytest
from cosmos.bank.v1beta1 import query_pb2 as bank_query
from cosmos.gov.v1beta1 import query_pb2 as gov_query
from cosmos.mint.v1beta1 import mint_pb2
from cosmos.slashing.v1beta1 import slashing_pb2
from cosmos.tx.v1beta1 import service_pb2
from hypothesis import given
from hypothesis import strategies as st

from node.doors.rest.parameters import ParameterError, set_parameter


def test_nested_repeated_enum_and_bytes() -> None:
    request = service_pb2.GetTxsEventRequest()
    set_parameter(request, "pagination.key", ["_wE="])
    set_parameter(request, "pagination.countTotal", ["true"])
    set_parameter(request, "pagination.limit", ["5", "6"])
    set_parameter(request, "events", ["a='b'", "c='d'"])
    set_parameter(request, "orderBy", ["ORDER_BY_DESC"])
    set_parameter(request, "page", ["18446744073709551615"])
    assert request.pagination.key == b"\xff\x01"
    assert (request.pagination.count_total, request.pagination.limit) == (True, 5)
    assert list(request.events) == ["a='b'", "c='d'"]
    assert (request.order_by, request.page) == (service_pb2.ORDER_BY_DESC, 2**64 - 1)


def test_decimals() -> None:
    params = slashing_pb2.Params()
    set_parameter(params, "min_signed_per_window", ["0.5"])
    assert params.min_signed_per_window == b"500000000000000000"
    mint = mint_pb2.Params()
    set_parameter(mint, "inflation_rate", ["2"])
    assert mint.inflation_rate == "2" + "0" * 18


@pytest.mark.parametrize("name", ["unknown", "pagination.unknown", "address.x", "a.b.c", "", "."])
def test_unknown_names_are_passed_over(name: str) -> None:
    request = bank_query.QueryAllBalancesRequest()
    set_parameter(request, name, ["x"])
    assert request == bank_query.QueryAllBalancesRequest()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pagination", "x"),
        ("pagination.limit", ""),
        ("pagination.limit", "-1"),
        ("pagination.limit", "1.0"),
        ("pagination.limit", str(2**64)),
        ("pagination.limit", "9" * 30),
        ("pagination.limit", "\u0661"),
        ("pagination.key", "***"),
        ("pagination.reverse", "yes"),
    ],
)
def test_invalid_text(name: str, text: str) -> None:
    with pytest.raises(ParameterError):
        set_parameter(bank_query.QueryAllBalancesRequest(), name, [text])


def test_enum_by_number() -> None:
    request = gov_query.QueryProposalsRequest()
    set_parameter(request, "proposal_status", ["2"])
    assert request.proposal_status == 2
    for text in ("99", "NO_SUCH", "-1"):
        with pytest.raises(ParameterError):
            set_parameter(request, "proposal_status", [text])


@given(
    st.sampled_from(["page", "limit", "events", "order_by", "pagination.key", "query"])
    | st.text(max_size=20),
    st.text(max_size=40),
)
def test_any_text(name: str, text: str) -> None:
    request = service_pb2.GetTxsEventRequest()
    try:
        set_parameter(request, name, [text])
    except ParameterError:
        return
    request.SerializeToString()
