"""`descent query distribution|slashing|mint`: rewards, who was away, how much is minted."""

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chain_client.address import OPERATOR_PREFIX, decode_address, encode_address, operator_address
from cli.context import QUERY, Context, command, new_group
from cli.params import format_fraction

if TYPE_CHECKING:
    from chain_client.client import ChainClient

distribution_app = new_group("Rewards of delegators and operators.")
slashing_app = new_group("Who was away, who is jailed.")
mint_app = new_group("How much is minted.")
CONSENSUS_PREFIX = "descentvalcons"
DISTRIBUTION = "/cosmos.distribution.v1beta1.Query"

WhoArgument = Annotated[
    str, typer.Argument(metavar="NAME|ADDRESS", help="A key of the home, or an address.")
]
OperatorArgument = Annotated[
    str, typer.Argument(metavar="OPERATOR", help="A key, an account or an operator address.")
]


def find_operator(context: Context, text: str) -> str:
    """Return the operator address a person meant."""
    if text.startswith(OPERATOR_PREFIX + "1"):
        decode_address(text, OPERATOR_PREFIX)
        return text
    return operator_address(context.address(text))


@command(distribution_app, "rewards", needs=QUERY)
async def rewards(context: Context, who: WhoArgument) -> Any:
    """List what an account has earned with its delegations and not withdrawn."""
    from cosmos.distribution.v1beta1 import query_pb2

    request = query_pb2.QueryDelegationTotalRewardsRequest(delegator_address=context.address(who))
    async with context.client() as client:
        found = await client.query(
            f"{DISTRIBUTION}/DelegationTotalRewards",
            request,
            query_pb2.QueryDelegationTotalRewardsResponse,
        )
    return [
        {"operator": item.validator_address, "reward_udsc": _amount(item.reward)}
        for item in found.rewards
    ]


@command(distribution_app, "operator", needs=QUERY)
async def operator(context: Context, who: OperatorArgument) -> Any:
    """Show what an operator can withdraw, and what is held for it and its delegators."""
    from cosmos.distribution.v1beta1 import query_pb2

    address = find_operator(context, who)
    async with context.client() as client:
        info = await client.query(
            f"{DISTRIBUTION}/ValidatorDistributionInfo",
            query_pb2.QueryValidatorDistributionInfoRequest(validator_address=address),
            query_pb2.QueryValidatorDistributionInfoResponse,
        )
        held = await client.query(
            f"{DISTRIBUTION}/ValidatorOutstandingRewards",
            query_pb2.QueryValidatorOutstandingRewardsRequest(validator_address=address),
            query_pb2.QueryValidatorOutstandingRewardsResponse,
        )
    return {
        "operator": address,
        "commission_udsc": _amount(info.commission),
        "own_reward_udsc": _amount(info.self_bond_rewards),
        "outstanding_udsc": _amount(held.rewards.rewards),
    }


@command(distribution_app, "community-pool", needs=QUERY)
async def community_pool(context: Context) -> Any:
    """Show what the community has."""
    from cosmos.distribution.v1beta1 import query_pb2

    async with context.client() as client:
        found = await client.query(
            f"{DISTRIBUTION}/CommunityPool",
            query_pb2.QueryCommunityPoolRequest(),
            query_pb2.QueryCommunityPoolResponse,
        )
    return {"community_pool_udsc": _amount(found.pool)}


@command(slashing_app, "signing-infos", needs=QUERY)
async def signing_infos(context: Context) -> Any:
    """List the consensus keys that have voted: blocks missed of the window, jail."""
    from cosmos.slashing.v1beta1 import query_pb2

    request = query_pb2.QuerySigningInfosRequest()
    request.pagination.limit = 1_000
    async with context.client() as client:
        found = await client.query(
            "/cosmos.slashing.v1beta1.Query/SigningInfos",
            request,
            query_pb2.QuerySigningInfosResponse,
        )
        operators = await _list_operators(client)
    return [
        {
            "moniker": operators.get(info.address, ("", ""))[0],
            "operator": operators.get(info.address, ("", ""))[1],
            "consensus_address": info.address,
            "missed_blocks": info.missed_blocks_counter,
            "start_height": info.start_height,
            "jailed_until": info.jailed_until.ToJsonString(),
            "is_tombstoned": info.tombstoned,
        }
        for info in found.info
    ]


@command(slashing_app, "evidence", needs=QUERY)
async def evidence(context: Context) -> Any:
    """List who was caught signing two blocks of one height."""
    from cosmos.evidence.v1beta1 import evidence_pb2, query_pb2

    async with context.client() as client:
        found = await client.query(
            "/cosmos.evidence.v1beta1.Query/AllEvidence",
            query_pb2.QueryAllEvidenceRequest(),
            query_pb2.QueryAllEvidenceResponse,
        )
        operators = await _list_operators(client)
    entries = [evidence_pb2.Equivocation.FromString(item.value) for item in found.evidence]
    return [
        {
            "operator": operators.get(entry.consensus_address, ("", ""))[1],
            "consensus_address": entry.consensus_address,
            "height": entry.height,
            "time": entry.time.ToJsonString(),
            "power": entry.power,
        }
        for entry in entries
    ]


@command(mint_app, "emission", needs=QUERY)
async def emission(context: Context) -> Any:
    """Show where the emission schedule stands."""
    from proto.descent.mint.v1 import mint_pb2

    async with context.client() as client:
        found = await client.query(
            "/descent.mint.v1.Query/Emission",
            mint_pb2.QueryEmissionRequest(),
            mint_pb2.QueryEmissionResponse,
        )
    return {
        "issued_udsc": found.issued_udsc,
        "block_emission_udsc": found.block_emission_udsc,
        "consensus_emission_udsc": found.consensus_emission_udsc,
        "num_halvings": found.num_halvings,
    }


async def _list_operators(client: "ChainClient") -> dict[str, tuple[str, str]]:
    """Return moniker and operator address by consensus address."""
    from cosmos.crypto.ed25519.keys_pb2 import PubKey

    found = {}
    for item in await client.get_operators():
        key = PubKey.FromString(item.consensus_pubkey.value).key
        address = encode_address(hashlib.sha256(key).digest()[:20], CONSENSUS_PREFIX)
        found[address] = (item.description.moniker, item.operator_address)
    return found


def _amount(coins: Any) -> str:
    """Return the udsc of decimal coins as text, fractions included."""
    return format_fraction(sum(int(coin.amount) for coin in coins))
