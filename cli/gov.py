"""`descent tx gov`: propose, deposit, vote."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chain_client.amounts import BASE_DENOM, format_dsc, parse_amount
from chain_client.errors import InvalidInput
from cli.context import TX, Context, command, new_group
from cli.params import fetch_params, find_message_class, make_update, set_param

if TYPE_CHECKING:
    from chain_client.client import ChainClient

app = new_group("Decide together: parameters, upgrades, the community's coins.")

FromArgument = Annotated[str, typer.Argument(metavar="FROM", help="Key that pays and signs.")]
ProposalArgument = Annotated[int, typer.Argument(metavar="PROPOSAL", min=1, help="Number of it.")]
OPTIONS = ("yes", "no", "abstain", "no-with-veto")


@command(app, "propose", needs=TX)
async def propose(
    context: Context,
    sender: FromArgument,
    title: Annotated[str, typer.Option("--title", help="One line.")],
    summary: Annotated[str, typer.Option("--summary", help="Why. Default: the title.")] = "",
    deposit: Annotated[str, typer.Option("--deposit", help="10DSC starts the vote.")] = "10DSC",
    param: Annotated[
        list[str] | None,
        typer.Option("--param", help="PALLET.NAME=VALUE to change; may be repeated."),
    ] = None,
    upgrade: Annotated[str, typer.Option("--upgrade", help="Name of a planned upgrade.")] = "",
    height: Annotated[int, typer.Option("--height", min=0, help="Height of --upgrade.")] = 0,
    cancel_upgrade: Annotated[
        bool, typer.Option("--cancel-upgrade", help="Take the planned upgrade back.")
    ] = False,
    spend: Annotated[
        str, typer.Option("--spend", help="TO=AMOUNT to pay from the community pool.")
    ] = "",
    message: Annotated[
        Path | None,
        typer.Option("--message", help='JSON file: a message with "@type", or a list of them.'),
    ] = None,
    expedited: Annotated[bool, typer.Option("--expedited", help="Half the time, 2/3 yes.")] = False,
) -> Any:
    """Propose changes of parameters, an upgrade, a payment, or any messages."""
    from cosmos.gov.v1.tx_pb2 import MsgSubmitProposal

    from proto.packing import pack_any

    amount_udsc, key = parse_amount(deposit), context.key(sender)
    async with context.client() as client:
        authority = await _find_authority(client)
        messages = await _make_updates(client, authority, param or [])
    messages += _make_upgrade(authority, upgrade, height, cancel_upgrade)
    if spend:
        messages.append(_make_spend(context, authority, spend))
    if message is not None:
        messages += _load_messages(message, authority)
    submit = MsgSubmitProposal(
        messages=[pack_any(item) for item in messages],
        proposer=key.address,
        title=title,
        summary=summary or title,
        expedited=expedited,
    )
    if amount_udsc:
        submit.initial_deposit.add(denom=BASE_DENOM, amount=str(amount_udsc))
    what = f"Propose {title!r} with a deposit of {format_dsc(amount_udsc)}"
    document = await context.submit(key, [submit], what)
    return {**_find_proposal(document), "title": title, **document}


@command(app, "deposit", needs=TX)
async def deposit(
    context: Context,
    sender: FromArgument,
    proposal: ProposalArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="5DSC or 5000000udsc.")],
) -> Any:
    """Add to the deposit of a proposal."""
    from cosmos.gov.v1.tx_pb2 import MsgDeposit

    amount_udsc, key = parse_amount(amount), context.key(sender)
    message = MsgDeposit(proposal_id=proposal, depositor=key.address)
    message.amount.add(denom=BASE_DENOM, amount=str(amount_udsc))
    what = f"Deposit {format_dsc(amount_udsc)} on proposal {proposal}"
    document = await context.submit(key, [message], what)
    return {"proposal": proposal, "amount_udsc": amount_udsc, **document}


@command(app, "vote", needs=TX)
async def vote(
    context: Context,
    sender: FromArgument,
    proposal: ProposalArgument,
    option: Annotated[
        str,
        typer.Argument(
            metavar="OPTION", help=f"{', '.join(OPTIONS)}; or split: yes=0.7,abstain=0.3."
        ),
    ],
) -> Any:
    """Vote with the stake of a key, own and delegated to it."""
    from cosmos.gov.v1.tx_pb2 import MsgVote, MsgVoteWeighted

    from cli.params import format_fraction, parse_fraction

    key = context.key(sender)
    message: Any = MsgVote(proposal_id=proposal, voter=key.address)
    if "=" in option:
        message = MsgVoteWeighted(proposal_id=proposal, voter=key.address)
        for part in option.split(","):
            name, _, weight = part.partition("=")
            message.options.add(
                option=_find_option(name), weight=format_fraction(parse_fraction(weight))
            )
    else:
        message.option = _find_option(option)
    document = await context.submit(key, [message], f"Vote {option} on proposal {proposal}")
    return {"proposal": proposal, "voter": key.address, "option": option, **document}


@command(app, "cancel", needs=TX)
async def cancel(context: Context, sender: FromArgument, proposal: ProposalArgument) -> Any:
    """Take a proposal of one's own back; half of the deposit is burned."""
    from cosmos.gov.v1.tx_pb2 import MsgCancelProposal

    key = context.key(sender)
    message = MsgCancelProposal(proposal_id=proposal, proposer=key.address)
    document = await context.submit(key, [message], f"Cancel proposal {proposal}")
    return {"proposal": proposal, **document}


async def _find_authority(client: "ChainClient") -> str:
    from cosmos.upgrade.v1beta1 import query_pb2

    path = "/cosmos.upgrade.v1beta1.Query/Authority"
    request = query_pb2.QueryAuthorityRequest()
    return str((await client.query(path, request, query_pb2.QueryAuthorityResponse)).address)


async def _make_updates(client: "ChainClient", authority: str, texts: list[str]) -> list[Any]:
    """Return one update a pallet: every parameter as it is but those named."""
    changed: dict[str, Any] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        pallet, dot, name = target.partition(".")
        if not equals or not dot:
            raise InvalidInput(f"--param {text!r} is not PALLET.NAME=VALUE")
        if pallet not in changed:
            changed[pallet] = await fetch_params(client, pallet)
        set_param(pallet, changed[pallet], name, value)
    return [make_update(pallet, authority, params) for pallet, params in changed.items()]


def _make_upgrade(authority: str, name: str, height: int, is_cancel: bool) -> list[Any]:
    from cosmos.upgrade.v1beta1.tx_pb2 import MsgCancelUpgrade, MsgSoftwareUpgrade

    if bool(name) != bool(height):
        raise InvalidInput("--upgrade NAME and --height HEIGHT go together")
    messages: list[Any] = [MsgCancelUpgrade(authority=authority)] if is_cancel else []
    if name:
        plan = MsgSoftwareUpgrade(authority=authority)
        plan.plan.name, plan.plan.height = name, height
        messages.append(plan)
    return messages


def _make_spend(context: Context, authority: str, text: str) -> Any:
    from cosmos.distribution.v1beta1.tx_pb2 import MsgCommunityPoolSpend

    to, equals, amount = text.partition("=")
    if not equals:
        raise InvalidInput(f"--spend {text!r} is not TO=AMOUNT")
    message = MsgCommunityPoolSpend(authority=authority, recipient=context.address(to))
    message.amount.add(denom=BASE_DENOM, amount=str(parse_amount(amount)))
    return message


def _load_messages(path: Path, authority: str) -> list[Any]:
    """Read messages from JSON; an absent `authority` is governance's."""
    from google.protobuf import json_format

    try:
        loaded = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read messages from {path}: {error}") from None
    messages = []
    for item in loaded if isinstance(loaded, list) else [loaded]:
        fields = dict(item) if isinstance(item, dict) else {}
        name = str(fields.pop("@type", "")).removeprefix("/")
        try:
            message_class = find_message_class(name)
            if message_class is None:
                raise InvalidInput(f"{path}: {name!r} is not a message of this chain")
            message = json_format.ParseDict(fields, message_class())
        except json_format.ParseError as error:
            raise InvalidInput(f"{path}: message {name!r}: {error}") from None
        if "authority" in message.DESCRIPTOR.fields_by_name and not message.authority:
            message.authority = authority
        messages.append(message)
    return messages


def _find_option(name: str) -> int:
    from cosmos.gov.v1.gov_pb2 import VoteOption

    if name not in OPTIONS:
        raise InvalidInput(f"{name!r} is no vote: one of {', '.join(OPTIONS)}")
    return int(VoteOption.Value("VOTE_OPTION_" + name.upper().replace("-", "_")))


def _find_proposal(document: dict[str, Any]) -> dict[str, Any]:
    """Return the number of a proposal that was just made."""
    result = document.get("_result")
    for event in result.events if result is not None else ():
        pairs = dict(event.pairs)
        if event.type == "submit_proposal" and "proposal_id" in pairs:
            return {"proposal": int(pairs["proposal_id"])}
    return {}
