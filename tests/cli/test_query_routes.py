"""Every query route of the chain has a command, and each command of the table answers."""

from __future__ import annotations

import pytest

from cli.output import to_table
from cli.query_routes import COSMOS, DESCENT, list_paths
from node.chain import build_chain
from tests.cli.walk import iterate_commands
from tests.support.typed import Typed

# Routes that commands of their own ask.
WRITTEN = {
    "bank balance": "cosmos.bank.v1beta1.Query/Balance",
    "bank supply": "cosmos.bank.v1beta1.Query/TotalSupply",
    "distribution community-pool": "cosmos.distribution.v1beta1.Query/CommunityPool",
    "distribution rewards": "cosmos.distribution.v1beta1.Query/DelegationTotalRewards",
    "distribution operator": "cosmos.distribution.v1beta1.Query/ValidatorDistributionInfo",
    "gov deposits": "cosmos.gov.v1.Query/Deposits",
    "gov proposal": "cosmos.gov.v1.Query/Proposal",
    "gov proposals": "cosmos.gov.v1.Query/Proposals",
    "gov votes": "cosmos.gov.v1.Query/Votes",
    "mint emission": "descent.mint.v1.Query/Emission",
    "slashing evidence": "cosmos.evidence.v1beta1.Query/AllEvidence",
    "slashing signing-infos": "cosmos.slashing.v1beta1.Query/SigningInfos",
    "staking delegations": "cosmos.staking.v1beta1.Query/DelegatorDelegations",
    "staking redelegations": "cosmos.staking.v1beta1.Query/Redelegations",
    "staking unbonding": "cosmos.staking.v1beta1.Query/DelegatorUnbondingDelegations",
    "staking validators": "cosmos.staking.v1beta1.Query/Validators",
}
# Of the same answers in another shape: `distribution operator` asks both of the first, `bank
# denom` is the second; and an answer that is always empty.
BESIDE = {
    "/cosmos.distribution.v1beta1.Query/ValidatorOutstandingRewards",
    "/cosmos.bank.v1beta1.Query/DenomMetadataByQueryString",
    "/cosmos.bank.v1beta1.Query/SendEnabled",
}
# Spellings for older clients of what has a command.
LEGACY = ("/cosmos.gov.v1beta1.", "/cosmos.params.v1beta1.")
ARGUMENTS = {
    "address": "owner",
    "delegator_addr": "validator-0",
    "delegator_address": "validator-0",
    "validator_addr": "validator-0",
    "validator_address": "validator-0",
    "granter": "owner",
    "grantee": "miner-0",
    "voter": "owner",
    "depositor": "owner",
    "account_id": "0",
    "name": "gov",
    "denom": "udsc",
    "cons_address": "00" * 20,
    "root": "00" * 32,
    "hash": "00" * 32,
    "height": "2",
}
EMPTY = {  # nothing of the kind is on this chain: the node says so
    *("gov deposit", "gov vote", "gov tally", "slashing evidence-of", "slashing signing-info"),
    *("staking unbonding-from", "feegrant between"),
    *(r.words for r in DESCENT if "run_id" in r.fields or r.words == "lineage by-root"),
}


def test_every_route_has_a_command() -> None:
    words = {" ".join(found[1:]) for found, _ in iterate_commands() if found[:1] == ("query",)}
    assert set(WRITTEN) | set(list_paths()) <= words
    asked = {f"/{path}" for path in WRITTEN.values()} | set(list_paths().values()) | BESIDE
    routes = set(build_chain().runtime.queries)
    assert asked <= routes
    left = {path for path in routes - asked if not path.startswith(LEGACY)}
    assert {path for path in left if not path.endswith(".Query/Params")} == set()


@pytest.mark.parametrize("route", [*COSMOS, *DESCENT], ids=lambda route: route.words)
def test_route(typed: Typed, route: object) -> None:
    assert isinstance(route, type(COSMOS[0]))
    needed = [name for name in route.fields.split() if not name.endswith("?")]
    arguments = [ARGUMENTS.get(name, "1") for name in needed]
    words = ["query", *route.words.split(), *arguments]
    if route.words in EMPTY:
        found = typed(*words, code=None)
        if "error" in found:
            assert found["error"]["codespace"] == "client", found
            assert "internal" not in found["error"]["message"]
    else:
        typed(*words)


def test_amounts_and_fractions(typed: Typed) -> None:
    shown = typed("query", "staking", "operator", "validator-0")
    assert int(shown["tokens_udsc"]) >= 10**9
    assert shown["commission"]["commission_rates"]["max_rate"] == "0.2"
    assert shown["consensus_pubkey"]["type"] == "/cosmos.crypto.ed25519.PubKey"
    assert shown["status"] == "bonded"
    pool = typed("query", "staking", "pool")
    assert int(pool["bonded_tokens_udsc"]) >= int(shown["tokens_udsc"])
    (held,) = typed("query", "staking", "delegators", "validator-1")
    assert int(held["balance_udsc"]) >= 10**9
    everyone = typed("query", "accounts", "list")
    assert len(everyone) > 40
    assert typed("query", "accounts", "show", "faucet")["account_number"] == 0


def test_height(typed: Typed) -> None:
    """What was: before and after a transfer."""
    sent = typed("tx", "send", "faucet", "miner-0", "5udsc")
    words = ("query", "bank", "balance", "miner-0", "--height")
    before = typed(*words, str(sent["height"] - 1))["balance_udsc"]
    after = typed(*words, str(sent["height"]))["balance_udsc"]
    assert int(after) == int(before) + 5
    old = typed("query", "accounts", "show", "faucet", "--height", str(sent["height"] - 1))
    new = typed("query", "accounts", "show", "faucet", "--height", str(sent["height"]))
    assert int(new["sequence"]) == int(old["sequence"]) + 1
    assert "height" in typed(*words, "99999999", code=1)["message"]


def test_decimals_have_a_unit() -> None:
    """Rewards have decimals of a udsc; a table shows them as DSC."""
    assert to_table({"reward_udsc": "1250000.5"}) == "reward  1.2500005 DSC"
    assert to_table([{"reward_udsc": "12"}]).split()[1:] == ["0.000012", "DSC"]
    assert to_table({"stake_udsc": "100000000"}) == "stake  100 DSC"
