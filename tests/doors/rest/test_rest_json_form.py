"""Messages as JSON and back: the SDK's form, and nothing lost on the way."""

import json
import random
from typing import Any

import pytest
from cosmos.auth.v1beta1 import auth_pb2
from cosmos.authz.v1beta1 import tx_pb2 as authz_tx
from cosmos.bank.v1beta1 import query_pb2 as bank_query
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx
from cosmos.base.v1beta1 import coin_pb2
from cosmos.gov.v1 import gov_pb2 as gov_v1
from cosmos.gov.v1beta1 import gov_pb2
from cosmos.slashing.v1beta1 import slashing_pb2
from cosmos.staking.v1beta1 import staking_pb2
from cosmos.staking.v1beta1 import tx_pb2 as staking_tx
from cosmos.tx.v1beta1 import service_pb2, tx_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from node.doors.rest.decimals import DecimalError, format_decimal, parse_decimal
from node.doors.rest.json_form import MAX_DEPTH, FormError, format_message, parse_message
from proto.descent.runs.v1 import runs_pb2
from proto.packing import pack_any

RANDOM_MESSAGES = (
    tx_pb2.Tx,
    service_pb2.GetTxResponse,
    staking_pb2.Validator,
    gov_pb2.TallyParams,
    gov_v1.Proposal,
    runs_pb2.RunSpec,
    slashing_pb2.Params,
)


def test_names_numbers_bytes_and_nulls() -> None:
    page = bank_query.QueryAllBalancesResponse(
        balances=[coin_pb2.Coin(denom="udsc", amount="5")],
        pagination={"next_key": b"\xff\x01", "total": 2**64 - 1},
    )
    assert format_message(page) == {
        "balances": [{"denom": "udsc", "amount": "5"}],
        "pagination": {"next_key": "/wE=", "total": "18446744073709551615"},
    }
    assert format_message(bank_query.QueryAllBalancesResponse()) == {
        "balances": [],
        "pagination": None,
    }
    page.pagination.next_key = b""
    assert format_message(page)["pagination"]["next_key"] is None


def test_any_enum_and_times() -> None:
    validator = staking_pb2.Validator(status=3, tokens="7", delegator_shares="1" + "0" * 18)
    built = format_message(validator)
    assert built["status"] == "BOND_STATUS_BONDED"
    assert built["delegator_shares"] == "1.000000000000000000"
    assert built["unbonding_time"] == "0001-01-01T00:00:00Z"
    assert built["consensus_pubkey"] is None
    assert built["commission"]["commission_rates"]["rate"] == "0.000000000000000000"
    account = auth_pb2.BaseAccount(address="descent1", sequence=3)
    built = format_message(pack_any(account))
    assert built["@type"] == "/cosmos.auth.v1beta1.BaseAccount"
    assert (built["sequence"], built["pub_key"]) == ("3", None)


def test_oneof_shows_the_member_that_is_set() -> None:
    info = tx_pb2.ModeInfo(single={"mode": 1})
    assert format_message(info) == {"single": {"mode": "SIGN_MODE_DIRECT"}}
    assert format_message(tx_pb2.ModeInfo()) == {}


def test_decimals_by_customtype_only() -> None:
    old = gov_pb2.TallyParams(quorum=b"334000000000000000")
    assert format_message(old)["quorum"] == "0.334000000000000000"
    new = gov_v1.TallyParams(quorum="0.334")
    assert format_message(new)["quorum"] == "0.334"


def test_any_of_an_unknown_type_is_bytes() -> None:
    unknown = AnyMessage(type_url="/ibc.core.client.v1.Height", value=b"\x08\x01")
    assert format_message(unknown) == {"@type": unknown.type_url, "value": "CAE="}
    broken = AnyMessage(type_url="/cosmos.bank.v1beta1.MsgSend", value=b"\xff")
    assert format_message(broken) == {"@type": broken.type_url, "value": "/w=="}


def test_deep_nesting_ends_in_bytes() -> None:
    message = pack_any(bank_tx.MsgSend())
    for _ in range(3 * MAX_DEPTH):
        message = pack_any(authz_tx.MsgExec(grantee="descent1", msgs=[message]))
    text = json.dumps(format_message(message))
    assert text.count("@type") < 2 * MAX_DEPTH


def test_deep_json_is_refused() -> None:
    document: Any = {}
    for _ in range(200):
        document = {"@type": "/cosmos.authz.v1beta1.MsgExec", "msgs": [document]}
    with pytest.raises(FormError):
        parse_message({"body": {"messages": [document]}}, tx_pb2.Tx)


def test_transaction_there_and_back() -> None:
    create = staking_tx.MsgCreateValidator(
        commission={"rate": "1" + "0" * 17, "max_rate": "2" + "0" * 17},
        value=coin_pb2.Coin(denom="udsc", amount="1"),
        pubkey=pack_any(auth_pb2.BaseAccount(address="x")),
    )
    tx = tx_pb2.Tx(
        body={"messages": [pack_any(create)], "memo": "\u00e9<>&"}, signatures=[b"", b"\x01"]
    )
    built = format_message(tx)
    assert built["body"]["messages"][0]["commission"]["rate"] == "0.100000000000000000"
    assert built["signatures"] == ["", "AQ=="]
    assert format_message(parse_message(json.loads(json.dumps(built)), tx_pb2.Tx)) == built


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {"unknown": 1},
        {"body": []},
        {"body": {"messages": [{}]}},
        {"body": {"messages": [{"@type": "/no.such.Type"}]}},
        {"body": {"messages": [{"@type": 5}]}},
        {"body": {"messages": ["x"]}},
        {"body": {"timeout_height": "x"}},
        {"body": {"timeout_height": -1}},
        {"body": {"timeout_height": 2**64}},
        {"signatures": ["***", 3]},
        {"auth_info": {"signer_infos": [{"mode_info": {"single": {"mode": "NO_SUCH"}}}]}},
        {"body": {"messages": [{"@type": "/cosmos.base.v1beta1.DecCoin", "amount": "1.x"}]}},
    ],
)
def test_invalid_json(document: Any) -> None:
    with pytest.raises(FormError):
        parse_message(document, tx_pb2.Tx)


def fill(rng: random.Random, message: Any, depth: int = 0) -> Any:
    """Fill a message at random, every field type that occurs."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.5 or (field.message_type and depth > 3):
            continue
        value: Any
        if field.message_type is not None:
            repeated = field.label == field.LABEL_REPEATED
            target = getattr(message, field.name)
            target = target.add() if repeated else target
            target.SetInParent()
            if field.message_type.full_name == "google.protobuf.Any":
                inner = fill(rng, rng.choice((bank_tx.MsgSend, coin_pb2.DecCoin))(), depth + 1)
                target.CopyFrom(pack_any(inner))
            elif field.message_type.full_name.startswith("google.protobuf."):
                target.seconds, target.nanos = rng.randrange(2**31), rng.randrange(10**9)
            else:
                fill(rng, target, depth + 1)
            continue
        if field.cpp_type == field.CPPTYPE_STRING:
            number = str(rng.randrange(-(10**30), 10**30))
            value = number.encode() if field.type == field.TYPE_BYTES else number
        elif field.cpp_type == field.CPPTYPE_ENUM:
            value = rng.choice(field.enum_type.values).number
        else:
            value = (
                rng.randrange(2) if field.cpp_type == field.CPPTYPE_BOOL else rng.randrange(2**31)
            )
        if field.label == field.LABEL_REPEATED:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.sampled_from(RANDOM_MESSAGES))
def test_any_message_there_and_back(rng: random.Random, message_class: Any) -> None:
    message = fill(rng, message_class())
    built = json.loads(json.dumps(format_message(message)))
    again = parse_message(built, message_class)
    assert format_message(again) == format_message(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["body", "messages", "@type", "value", "signatures", "fee", "amount", "auth_info"]
            )
            | st.text(max_size=5),
            inner | st.just("/cosmos.tx.v1beta1.Tx") | st.just("/google.protobuf.Any"),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(JSON)
def test_any_json_is_parsed_or_refused(document: Any) -> None:
    try:
        message = parse_message(document, tx_pb2.Tx)
    except FormError:
        return
    format_message(message)


@given(st.integers(-(10**60), 10**60))
def test_decimals_there_and_back(units: int) -> None:
    assert parse_decimal(format_decimal(str(units))) == str(units)


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".5", "1e3", "1." + "0" * 19, "+1", " 1", "\u0661"]
)
def test_invalid_decimal(text: str) -> None:
    with pytest.raises(DecimalError):
        parse_decimal(text)
