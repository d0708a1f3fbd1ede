"""`descent tx`: coins, stake and its rewards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chain_client.address import operator_address
from chain_client.amounts import BASE_DENOM, format_dsc, parse_amount
from chain_client.errors import InvalidInput
from cli.commission_options import (
    CommissionOption,
    MaxCommissionChangeOption,
    MaxCommissionOption,
)
from cli.context import TX, Context, command, new_group
from cli.gov import app as gov_app
from cli.grant import app as grant_app
from cli.output import CommandFailed
from cli.params import parse_fraction
from cli.query_stake import find_operator
from cli.tx_file import app as file_app

app = new_group("Send coins, stake them, vote.")
stake_app = new_group("Become an operator, delegate to one, take stake back.")
app.add_typer(stake_app, name="stake")
app.add_typer(gov_app, name="gov")
app.add_typer(grant_app, name="grant")

KEEP = "[do-not-modify]"

FromArgument = Annotated[str, typer.Argument(metavar="FROM", help="Key that pays and signs.")]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="5DSC or 5000000udsc.")]
OperatorArgument = Annotated[
    str, typer.Argument(metavar="OPERATOR", help="A key, an account or an operator address.")
]


@command(app, "send", needs=TX)
async def send(
    context: Context,
    sender: FromArgument,
    to: Annotated[str, typer.Argument(metavar="TO", help="A key of the home, or an address.")],
    amount: AmountArgument,
) -> Any:
    """Send coins."""
    from cosmos.bank.v1beta1.tx_pb2 import MsgSend

    amount_udsc, to_address = parse_amount(amount), context.address(to)
    key = context.key(sender)
    message = MsgSend(from_address=key.address, to_address=to_address)
    message.amount.add(denom=BASE_DENOM, amount=str(amount_udsc))
    what = f"Send {format_dsc(amount_udsc)} from {sender} to {to}"
    document = await context.submit(key, [message], what)
    return {"from": key.address, "to": to_address, "amount_udsc": amount_udsc, **document}


@command(stake_app, "create-operator", needs=TX)
async def create_operator(
    context: Context,
    sender: FromArgument,
    amount: AmountArgument,
    moniker: Annotated[
        str, typer.Option("--moniker", help="Name shown to people. Default: FROM.")
    ] = "",
    consensus_key: Annotated[
        Path | None,
        typer.Option(
            "--consensus-key",
            help="ed25519 key file as CometBFT writes it, made when absent."
            " Default: <home>/consensus_keys/FROM.json.",
        ),
    ] = None,
    commission: CommissionOption = "0",
    max_commission: MaxCommissionOption = "20%",
    max_commission_change: MaxCommissionChangeOption = "1%",
) -> Any:
    """Become an operator with stake of one's own."""
    from cosmos.crypto.ed25519.keys_pb2 import PubKey
    from cosmos.staking.v1beta1.tx_pb2 import MsgCreateValidator

    from proto.packing import pack_any

    amount_udsc = parse_amount(amount)
    key = context.key(sender)
    path = consensus_key or context.home / "consensus_keys" / f"{sender}.json"
    public_key = _load_consensus_key(path)
    message = MsgCreateValidator(
        min_self_delegation="1",
        delegator_address=key.address,
        validator_address=operator_address(key.address),
        pubkey=pack_any(PubKey(key=public_key)),
    )
    message.description.moniker = moniker or sender
    rates = message.commission
    rates.rate, rates.max_rate = (
        str(parse_fraction(commission)),
        str(parse_fraction(max_commission)),
    )
    rates.max_change_rate = str(parse_fraction(max_commission_change))
    message.value.denom, message.value.amount = BASE_DENOM, str(amount_udsc)
    what = f"Make {sender} an operator with {format_dsc(amount_udsc)}"
    document = await context.submit(key, [message], what)
    return {
        "operator": message.validator_address,
        "consensus_key": str(path),
        "amount_udsc": amount_udsc,
        **document,
    }


def _load_consensus_key(path: Path) -> bytes:
    """Return the 32-byte public key of a file; make key and file when there is none."""
    from node.engine.errors import KeyFileInvalid
    from node.engine.keys import load_validator_key

    try:
        return load_validator_key(path).public_key
    except KeyFileInvalid as error:
        raise CommandFailed(str(error)) from error


@command(stake_app, "register-node", needs=TX)
async def register_node(
    context: Context,
    sender: FromArgument,
    node_home: Annotated[Path, typer.Argument(metavar="NODE_HOME", help="Folder of the node.")],
) -> Any:
    """Let the node of an operator decide blocks; `descent node init` makes its folder."""
    from chain_client.address import decode_address
    from node.onion import OnionError, OnionKeeper, load_seed
    from proto.descent.beacon.v1.beacon_pb2 import MsgRegisterNode

    key = context.key(sender)
    try:
        seed = load_seed(node_home / "config" / "onion_seed")
    except OnionError as error:
        raise CommandFailed(str(error), hint="descent node init makes one") from error
    anchor = OnionKeeper(seed, decode_address(key.address)).first_anchor
    message = MsgRegisterNode(operator_addr=key.address, anchor=anchor)
    document = await context.submit(key, [message], f"Register the node of {sender}")
    return {"operator": key.address, "anchor": anchor.hex(), **document}


@command(stake_app, "delegate", needs=TX)
async def delegate(
    context: Context, sender: FromArgument, operator: OperatorArgument, amount: AmountArgument
) -> Any:
    """Lend stake to an operator."""
    from cosmos.staking.v1beta1.tx_pb2 import MsgDelegate

    return await _move_stake(context, MsgDelegate(), sender, operator, amount, "Delegate")


@command(stake_app, "undelegate", needs=TX)
async def undelegate(
    context: Context, sender: FromArgument, operator: OperatorArgument, amount: AmountArgument
) -> Any:
    """Take stake back; it returns after the unbonding time."""
    from cosmos.staking.v1beta1.tx_pb2 import MsgUndelegate

    return await _move_stake(context, MsgUndelegate(), sender, operator, amount, "Undelegate")


async def _move_stake(
    context: Context, message: Any, sender: str, operator: str, amount: str, verb: str
) -> dict[str, Any]:
    amount_udsc, operator_addr = parse_amount(amount), find_operator(context, operator)
    key = context.key(sender)
    message.delegator_address, message.validator_address = key.address, operator_addr
    message.amount.denom, message.amount.amount = BASE_DENOM, str(amount_udsc)
    document = await context.submit(
        key, [message], f"{verb} {format_dsc(amount_udsc)} of {sender}, operator {operator}"
    )
    return {
        "delegator": key.address,
        "operator": operator_addr,
        "amount_udsc": amount_udsc,
        **document,
    }


@command(stake_app, "redelegate", needs=TX)
async def redelegate(
    context: Context,
    sender: FromArgument,
    operator: OperatorArgument,
    to_operator: Annotated[
        str, typer.Argument(metavar="TO_OPERATOR", help="Who gets it: as OPERATOR.")
    ],
    amount: AmountArgument,
) -> Any:
    """Move stake from one operator to another at once."""
    from cosmos.staking.v1beta1.tx_pb2 import MsgBeginRedelegate

    amount_udsc, source = parse_amount(amount), find_operator(context, operator)
    target, key = find_operator(context, to_operator), context.key(sender)
    message = MsgBeginRedelegate(
        delegator_address=key.address, validator_src_address=source, validator_dst_address=target
    )
    message.amount.denom, message.amount.amount = BASE_DENOM, str(amount_udsc)
    what = f"Move {format_dsc(amount_udsc)} of {sender} from {operator} to {to_operator}"
    document = await context.submit(key, [message], what)
    return {
        "delegator": key.address,
        "from_operator": source,
        "to_operator": target,
        "amount_udsc": amount_udsc,
        **document,
    }


@command(stake_app, "edit-operator", needs=TX)
async def edit_operator(
    context: Context,
    sender: FromArgument,
    moniker: Annotated[str | None, typer.Option("--moniker", help="Name for people.")] = None,
    identity: Annotated[str | None, typer.Option("--identity", help="Keybase or other.")] = None,
    website: Annotated[str | None, typer.Option("--website", help="Where to read more.")] = None,
    contact: Annotated[str | None, typer.Option("--contact", help="Security contact.")] = None,
    details: Annotated[str | None, typer.Option("--details", help="A few words.")] = None,
    commission: Annotated[
        str | None, typer.Option("--commission", help="New commission, e.g. 5%; once a day.")
    ] = None,
    min_self_delegation: Annotated[
        str | None, typer.Option("--min-self-delegation", help="Can only be raised.")
    ] = None,
) -> Any:
    """Change what an operator says of itself, its commission, its minimum stake."""
    from cosmos.staking.v1beta1.tx_pb2 import MsgEditValidator

    key = context.key(sender)
    message = MsgEditValidator(validator_address=operator_address(key.address))
    for field, value in {
        "moniker": moniker,
        "identity": identity,
        "website": website,
        "security_contact": contact,
        "details": details,
    }.items():
        setattr(message.description, field, KEEP if value is None else value)
    if commission is not None:
        message.commission_rate = str(parse_fraction(commission))
    if min_self_delegation is not None:
        message.min_self_delegation = str(parse_amount(min_self_delegation))
    document = await context.submit(key, [message], f"Change the operator {sender}")
    return {"operator": message.validator_address, **document}


@command(stake_app, "unjail", needs=TX)
async def unjail(context: Context, sender: FromArgument) -> Any:
    """Come back from jail when the time is over."""
    from cosmos.slashing.v1beta1.tx_pb2 import MsgUnjail

    key = context.key(sender)
    message = MsgUnjail(validator_addr=operator_address(key.address))
    document = await context.submit(key, [message], f"Unjail the operator {sender}")
    return {"operator": message.validator_addr, **document}


@command(app, "withdraw-rewards", needs=TX)
async def withdraw_rewards(
    context: Context,
    sender: FromArgument,
    operator: Annotated[
        str, typer.Option("--operator", help="Only from this one. Default: from all.")
    ] = "",
    commission: Annotated[
        bool, typer.Option("--commission", help="The commission of FROM's operator too.")
    ] = False,
) -> Any:
    """Take what stake has earned."""
    from cosmos.distribution.v1beta1.tx_pb2 import (
        MsgWithdrawDelegatorReward,
        MsgWithdrawValidatorCommission,
    )

    key = context.key(sender)
    if operator:
        operators = [find_operator(context, operator)]
    else:
        async with context.client() as client:
            found = await client.get_delegations(key.address)
        operators = [item.delegation.validator_address for item in found]
    messages: list[Any] = [
        MsgWithdrawDelegatorReward(delegator_address=key.address, validator_address=address)
        for address in operators
    ]
    if commission:
        messages.append(
            MsgWithdrawValidatorCommission(validator_address=operator_address(key.address))
        )
    if not messages:
        raise InvalidInput(f"{sender} has delegated to nobody")
    document = await context.submit(key, messages, f"Withdraw the rewards of {sender}")
    return {**_sum_withdrawn(document), "operators": operators, **document}


@command(app, "set-withdraw-address", needs=TX)
async def set_withdraw_address(
    context: Context,
    sender: FromArgument,
    to: Annotated[str, typer.Argument(metavar="TO", help="A key of the home, or an address.")],
) -> Any:
    """Have the rewards of a key paid to another account."""
    from cosmos.distribution.v1beta1.tx_pb2 import MsgSetWithdrawAddress

    key, to_address = context.key(sender), context.address(to)
    message = MsgSetWithdrawAddress(delegator_address=key.address, withdraw_address=to_address)
    document = await context.submit(key, [message], f"Pay the rewards of {sender} to {to}")
    return {"from": key.address, "to": to_address, **document}


app.registered_commands += file_app.registered_commands


def _sum_withdrawn(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a withdrawal paid, from its events."""
    result = document.get("_result")
    if result is None:
        return {}
    texts = [
        dict(event.pairs)["amount"]
        for event in result.events
        if event.type in ("withdraw_rewards", "withdraw_commission")
    ]
    return {"withdrawn_udsc": sum(int(text.removesuffix(BASE_DENOM)) for text in texts)}
