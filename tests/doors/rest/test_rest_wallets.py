"""The routes that wallets (Keplr, Leap) and explorers (ping.pub, Mintscan) call, all answered."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.devnet_node import DevnetNode
from tests.support.rest_client import Rest

ANSWERED, MISSING = (
    [line for line in part.splitlines() if line.startswith("/")]
    for part in Path(__file__).with_name("wallet_routes.txt").read_text().split("\n\n")
)


@pytest.fixture(scope="module")
def names(devnet_node: DevnetNode) -> dict[str, str]:
    """What stands for the letters in braces."""
    rest = Rest(devnet_node.rest_port)
    tx_hash = rest.broadcast(devnet_node.build_send("faucet", "miner-6", 3))
    validators = rest.get("/cosmos/staking/v1beta1/validators")["validators"]
    by_moniker = {item["description"]["moniker"]: item for item in validators}
    sets = rest.get("/cosmos/base/tendermint/v1beta1/validatorsets/latest")
    operator = by_moniker["validator-0"]["operator_address"]
    rest.http.close()
    return {
        "a": devnet_node.get_address("miner-6"),
        "o": devnet_node.get_address("validator-0"),
        "f": devnet_node.get_address("faucet"),
        "v": operator,
        "w": operator[:-8] + "qqqqqqqq",
        "c": sets["validators"][0]["address"],
        "h": tx_hash,
    }


@pytest.mark.parametrize("path", ANSWERED)
def test_answered(rest: Rest, names: dict[str, str], path: str) -> None:
    response = rest.ask(path.format(**names))
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("path", MISSING)
def test_missing(rest: Rest, names: dict[str, str], path: str) -> None:
    status, code, _ = rest.refused(path.format(**names))
    assert (status, code) in ((404, 5), (400, 3))


def test_what_wallets_read(rest: Rest, names: dict[str, str]) -> None:
    """The members Keplr and ping.pub take out of the answers."""

    def get(path: str) -> Any:
        return rest.get(path.format(**names))

    account = get("/cosmos/auth/v1beta1/accounts/{f}")["account"]
    assert account["@type"] == "/cosmos.auth.v1beta1.BaseAccount"
    assert account["pub_key"]["@type"] == "/cosmos.crypto.secp256k1.PubKey"
    assert int(account["sequence"]) >= 1
    validator = get("/cosmos/staking/v1beta1/validators/{v}")["validator"]
    assert validator["status"] == "BOND_STATUS_BONDED"
    assert validator["consensus_pubkey"]["@type"] == "/cosmos.crypto.ed25519.PubKey"
    assert float(validator["commission"]["commission_rates"]["rate"]) < 1
    delegation = get("/cosmos/staking/v1beta1/validators/{v}/delegations/{o}")
    assert delegation["delegation_response"]["balance"]["denom"] == "udsc"
    assert "." in delegation["delegation_response"]["delegation"]["shares"]
    rewards = get("/cosmos/distribution/v1beta1/delegators/{o}/rewards")
    assert rewards["rewards"][0]["validator_address"] == names["v"]
    assert all("." in coin["amount"] for coin in rewards["total"])
    info = get("/cosmos/slashing/v1beta1/signing_infos/{c}")["val_signing_info"]
    assert (info["address"], info["tombstoned"]) == (names["c"], False)
    params = get("/cosmos/mint/v1beta1/params")["params"]
    assert params["mint_denom"] == "udsc"
    assert float(params["inflation_rate"]) > 0
    assert float(get("/cosmos/mint/v1beta1/inflation")["inflation"]) > 0
    tally = get("/cosmos/gov/v1beta1/params/tallying")["tally_params"]
    assert 0 < float(tally["quorum"]) < 1
    node = get("/cosmos/base/tendermint/v1beta1/node_info")["application_version"]
    assert node["cosmos_sdk_version"].startswith("0.53")
    block = get("/cosmos/base/tendermint/v1beta1/blocks/latest")
    assert block["sdk_block"]["header"]["proposer_address"].startswith("descentvalcons1")
    assert int(block["block"]["header"]["height"]) > 1
