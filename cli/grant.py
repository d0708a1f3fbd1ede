"""`descent tx grant` and `descent query grants`: session keys, and fees paid for others."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chain_client.amounts import BASE_DENOM, format_dsc, parse_amount
from chain_client.errors import InvalidInput
from cli.context import TX, Context, command, new_group
from cli.params import find_message_class

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

app = new_group("Let another key act for an account, or pay its fees.")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MINER_CALLS = (
    "/descent.rounds.v1.MsgCommitPayload",
    "/descent.runs.v1.MsgSetEndpoint",
)
VALIDATOR_CALLS = (
    "/descent.rounds.v1.MsgAttestAvailability",
    "/descent.rounds.v1.MsgAttestState",
    "/descent.runs.v1.MsgSetEndpoint",
    "/descent.weights.v1.MsgCommitWeights",
    "/descent.weights.v1.MsgRevealWeights",
)
SESSION_URL = "/descent.authz.v1.SessionAuthorization"

FromArgument = Annotated[str, typer.Argument(metavar="FROM", help="Key that grants and signs.")]
GranteeArgument = Annotated[
    str, typer.Argument(metavar="GRANTEE", help="A key of the home, or an address.")
]
ForOption = Annotated[
    str, typer.Option("--for", help="How long: 90s, 30m, 12h, 7d. Default: ever.")
]


@command(app, "session", needs=TX)
async def session(
    context: Context,
    sender: FromArgument,
    grantee: GranteeArgument,
    call: Annotated[
        list[str] | None,
        typer.Option("--call", help="Type URL of a call, `miner`, or `validator`; repeatable."),
    ] = None,
    spend: Annotated[str, typer.Option("--spend", help="What the calls may take in all.")] = "0DSC",
    duration: ForOption = "",
) -> Any:
    """Let another key make some calls, taking so much in all, for some time."""
    from cosmos.authz.v1beta1.tx_pb2 import MsgGrant

    from proto.descent.authz.v1.authz_pb2 import SessionAuthorization
    from proto.packing import pack_any

    key, other = context.key(sender), context.address(grantee)
    calls = _find_calls(call or [])
    limit_udsc = parse_amount(spend)
    authorization = SessionAuthorization(allowed_calls=calls, spend_limit_udsc=limit_udsc)
    message = MsgGrant(granter=key.address, grantee=other)
    message.grant.authorization.CopyFrom(pack_any(authorization))
    if duration:
        message.grant.expiration.CopyFrom(_find_end(duration))
    what = f"Let {grantee} make {len(calls)} calls for {sender}, taking {format_dsc(limit_udsc)}"
    document = await context.submit(key, [message], what)
    return {"granter": key.address, "grantee": other, "calls": calls, **document}


@command(app, "fees", needs=TX)
async def fees(
    context: Context,
    sender: FromArgument,
    grantee: GranteeArgument,
    limit: Annotated[
        str, typer.Option("--limit", help="At most so much in all. Default: any.")
    ] = "",
    duration: ForOption = "",
) -> Any:
    """Pay the fees of another key."""
    from cosmos.feegrant.v1beta1.feegrant_pb2 import BasicAllowance
    from cosmos.feegrant.v1beta1.tx_pb2 import MsgGrantAllowance

    from proto.packing import pack_any

    key, other = context.key(sender), context.address(grantee)
    allowance = BasicAllowance()
    if limit:
        allowance.spend_limit.add(denom=BASE_DENOM, amount=str(parse_amount(limit)))
    if duration:
        allowance.expiration.CopyFrom(_find_end(duration))
    message = MsgGrantAllowance(granter=key.address, grantee=other, allowance=pack_any(allowance))
    document = await context.submit(key, [message], f"Pay the fees of {grantee} from {sender}")
    return {"granter": key.address, "grantee": other, **document}


@command(app, "revoke", needs=TX)
async def revoke(
    context: Context,
    sender: FromArgument,
    grantee: GranteeArgument,
    is_fees: Annotated[bool, typer.Option("--fees", help="Its fees, not its session.")] = False,
    call: Annotated[
        str, typer.Option("--call", help="A grant for this call alone. Default: the session.")
    ] = SESSION_URL,
) -> Any:
    """Take a grant back."""
    from cosmos.authz.v1beta1.tx_pb2 import MsgRevoke
    from cosmos.feegrant.v1beta1.tx_pb2 import MsgRevokeAllowance

    key, other = context.key(sender), context.address(grantee)
    message: Any = MsgRevoke(granter=key.address, grantee=other, msg_type_url=call)
    if is_fees:
        message = MsgRevokeAllowance(granter=key.address, grantee=other)
    document = await context.submit(key, [message], f"Take back what {sender} granted {grantee}")
    return {"granter": key.address, "grantee": other, **document}


async def list_grants(context: Context, who: str) -> list[dict[str, Any]]:
    """List what an account was granted: sessions, calls, fees."""
    from cosmos.authz.v1beta1 import query_pb2 as authz_pb2
    from cosmos.feegrant.v1beta1 import query_pb2 as feegrant_pb2

    address = context.address(who)
    async with context.client() as client:
        grants = await client.query(
            "/cosmos.authz.v1beta1.Query/GranteeGrants",
            authz_pb2.QueryGranteeGrantsRequest(grantee=address),
            authz_pb2.QueryGranteeGrantsResponse,
        )
        allowances = await client.query(
            "/cosmos.feegrant.v1beta1.Query/Allowances",
            feegrant_pb2.QueryAllowancesRequest(grantee=address),
            feegrant_pb2.QueryAllowancesResponse,
        )
    rows = [_describe(grant.granter, grant.authorization, _time(grant)) for grant in grants.grants]
    return rows + [_describe(grant.granter, grant.allowance, "") for grant in allowances.allowances]


def _describe(granter: str, packed: Any, expiration: str) -> dict[str, Any]:
    from google.protobuf import json_format

    kind = find_message_class(packed.type_url)
    fields: dict[str, Any] = {}
    if kind is not None:
        opened = kind.FromString(packed.value)
        fields = json_format.MessageToDict(opened, preserving_proto_field_name=True)
    name = packed.type_url.rpartition(".")[2]
    return {"granter": granter, "kind": name, "expiration": expiration, "grant": fields}


def _time(grant: Any) -> str:
    return str(grant.expiration.ToJsonString()) if grant.HasField("expiration") else ""


def _find_calls(texts: list[str]) -> list[str]:
    calls: list[str] = []
    for text in texts:
        known = {"miner": MINER_CALLS, "validator": VALIDATOR_CALLS}.get(text, (text,))
        calls += [url for url in known if url not in calls]
    if not calls or not all(url.startswith("/") for url in calls):
        raise InvalidInput("--call: miner, validator, or type URLs such as " + MINER_CALLS[0])
    return calls


def _find_end(duration: str) -> "Timestamp":
    from google.protobuf.timestamp_pb2 import Timestamp

    number, unit = duration[:-1], duration[-1:]
    if not number.isdigit() or unit not in UNITS:
        raise InvalidInput(f"{duration!r} is not a time: 90s, 30m, 12h, 7d")
    return Timestamp(seconds=int(time.time()) + int(number) * UNITS[unit])
