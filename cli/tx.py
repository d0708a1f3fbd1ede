"""`descent tx`: coins and stake."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chain_client.address import OPERATOR_PREFIX, decode_address, operator_address
from chain_client.amounts import BASE_DENOM, format_dsc, parse_amount
from cli.context import TX, Context, command, new_group

app = new_group("Send coins, and stake them.")
stake_app = new_group("Become an operator, delegate to one, take stake back.")
app.add_typer(stake_app, name="stake")

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
) -> Any:
    """Become an operator with stake of one's own."""
    from cosmos.crypto.ed25519.keys_pb2 import PubKey
    from cosmos.staking.v1beta1.tx_pb2 import MsgCreateValidator

    from chain_client.tx import pack_any
    from cli.consensus_key import load_public_key

    amount_udsc = parse_amount(amount)
    key = context.key(sender)
    path = consensus_key or context.home / "consensus_keys" / f"{sender}.json"
    public_key = load_public_key(path)
    message = MsgCreateValidator(
        min_self_delegation="1",
        delegator_address=key.address,
        validator_address=operator_address(key.address),
        pubkey=pack_any(PubKey(key=public_key)),
    )
    message.description.moniker = moniker or sender
    message.commission.rate = message.commission.max_rate = "0"
    message.commission.max_change_rate = "0"
    message.value.denom, message.value.amount = BASE_DENOM, str(amount_udsc)
    what = f"Make {sender} an operator with {format_dsc(amount_udsc)}"
    document = await context.submit(key, [message], what)
    return {
        "operator": message.validator_address,
        "consensus_key": str(path),
        "amount_udsc": amount_udsc,
        **document,
    }


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
    amount_udsc, operator_addr = parse_amount(amount), _find_operator(context, operator)
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


def _find_operator(context: Context, text: str) -> str:
    if text.startswith(OPERATOR_PREFIX + "1"):
        decode_address(text, OPERATOR_PREFIX)
        return text
    return operator_address(context.address(text))
