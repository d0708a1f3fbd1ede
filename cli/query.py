"""`descent query`: questions to the chain."""

from typing import Annotated, Any

import typer

from cli.context import CHAIN, QUERY, Context, command, new_group
from cli.grant import list_grants
from cli.params import format_fraction
from cli.query_gov import app as gov_app
from cli.query_gov import show_params
from cli.query_routes import add_routes
from cli.query_stake import distribution_app, mint_app, slashing_app
from cli.tx_file import show_tx

app = new_group("Ask the chain: balances, staking, rewards, proposals, transactions, blocks.")
bank_app = new_group("Balances and supply.")
staking_app = new_group("Operators, delegations, unbonding.")
app.add_typer(bank_app, name="bank")
app.add_typer(staking_app, name="staking")
app.add_typer(distribution_app, name="distribution")
app.add_typer(slashing_app, name="slashing")
app.add_typer(gov_app, name="gov")
app.add_typer(mint_app, name="mint")
GROUPS = {
    "bank": bank_app,
    "staking": staking_app,
    "distribution": distribution_app,
    "slashing": slashing_app,
    "gov": gov_app,
    "mint": mint_app,
}
add_routes(app, GROUPS)

WhoArgument = Annotated[
    str, typer.Argument(metavar="NAME|ADDRESS", help="A key of the home, or an address.")
]


@command(bank_app, "balance", needs=QUERY)
async def balance(context: Context, who: WhoArgument) -> Any:
    """Show what an account holds."""
    address = context.address(who)
    async with context.client() as client:
        document = {"address": address, "balance_udsc": await client.get_balance(address)}
    return document if who == address else {"name": who, **document}


@command(bank_app, "supply", needs=QUERY)
async def supply(context: Context) -> Any:
    """Show how much there is."""
    async with context.client() as client:
        return {"supply_udsc": await client.get_supply()}


@command(staking_app, "validators", needs=QUERY)
async def validators(context: Context) -> Any:
    """List the operators with their stake."""
    async with context.client() as client:
        return [_operator(item) for item in await client.get_operators()]


@command(staking_app, "delegations", needs=QUERY)
async def delegations(context: Context, who: WhoArgument) -> Any:
    """List what an account has delegated."""
    address = context.address(who)
    async with context.client() as client:
        return [
            {
                "operator": item.delegation.validator_address,
                "amount_udsc": int(item.balance.amount or 0),
            }
            for item in await client.get_delegations(address)
        ]


@command(staking_app, "unbonding", needs=QUERY)
async def unbonding(context: Context, who: WhoArgument) -> Any:
    """List what an account will get back, and when."""
    address = context.address(who)
    async with context.client() as client:
        return [
            {
                "operator": item.validator_address,
                "amount_udsc": int(entry.balance),
                "created_height": entry.creation_height,
                "completion_time": entry.completion_time.ToJsonString(),
            }
            for item in await client.get_unbondings(address)
            for entry in item.entries
        ]


@command(staking_app, "redelegations", needs=QUERY)
async def redelegations(context: Context, who: WhoArgument) -> Any:
    """List stake an account moved that still answers for the operator it came from."""
    from cosmos.staking.v1beta1 import query_pb2

    request = query_pb2.QueryRedelegationsRequest(delegator_addr=context.address(who))
    request.pagination.limit = 1_000
    async with context.client() as client:
        found = await client.query(
            "/cosmos.staking.v1beta1.Query/Redelegations",
            request,
            query_pb2.QueryRedelegationsResponse,
        )
    return [
        {
            "from_operator": item.redelegation.validator_src_address,
            "to_operator": item.redelegation.validator_dst_address,
            "amount_udsc": int(entry.balance),
            "completion_time": entry.redelegation_entry.completion_time.ToJsonString(),
        }
        for item in found.redelegation_responses
        for entry in item.entries
    ]


@command(app, "grants", needs=QUERY)
async def grants(context: Context, who: WhoArgument) -> Any:
    """List what an account was granted: sessions, calls, fees."""
    return await list_grants(context, who)


@command(app, "params", needs=QUERY)
async def params(
    context: Context,
    pallet: Annotated[str, typer.Argument(metavar="[PALLET]", help="Default: all.")] = "",
) -> Any:
    """Show parameters; `descent tx gov propose --param` changes them."""
    return await show_params(context, pallet)


@command(app, "tx", needs=CHAIN)
async def tx(
    context: Context,
    tx_hash: Annotated[str, typer.Argument(metavar="HASH", help="64 hex digits.")],
) -> Any:
    """Show a transaction that is in a block."""
    return await show_tx(context, tx_hash)


@command(app, "block", needs=CHAIN)
async def block(
    context: Context,
    height: Annotated[int, typer.Argument(metavar="[HEIGHT]", min=0, help="0: newest.")] = 0,
) -> Any:
    """Show one block."""
    async with context.client() as client:
        found = await client.get_block(height)
    header = found.sdk_block.header
    return {
        "chain_id": header.chain_id,
        "height": header.height,
        "time": header.time.ToJsonString(),
        "hash": found.block_id.hash,
        "app_hash": header.app_hash,
        "proposer": header.proposer_address,
        "tx_hashes": [_sha256(raw) for raw in found.sdk_block.data.txs],
    }


def _sha256(raw: bytes) -> str:
    import hashlib

    return hashlib.sha256(raw).hexdigest()


def _operator(item: Any) -> dict[str, Any]:
    from cosmos.staking.v1beta1.staking_pb2 import BondStatus

    return {
        "moniker": item.description.moniker,
        "operator": item.operator_address,
        "status": BondStatus.Name(item.status).removeprefix("BOND_STATUS_").lower(),
        "is_jailed": item.jailed,
        "stake_udsc": int(item.tokens or 0),
        "commission": format_fraction(int(item.commission.commission_rates.rate or 0)),
    }
