"""Genesis documents: what they hold, what is refused, and the round trip of a running state."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from tendermint.abci import types_pb2 as abci

from genesis.check import check_document
from genesis.devnet import (
    OperatorKeys,
    build_devnet,
    get_account,
    init_devnet_home,
    list_accounts,
    write_node_homes,
)
from genesis.document import (
    GenesisError,
    compute_hash,
    encode_document,
    load_document,
)
from genesis.export import export_document
from node.chain import CHAIN_ID, build_chain
from node.engine.embedded import EmbeddedEngine
from node.engine.errors import HomeMismatch
from node.engine.genesis_doc import format_params, parse_params
from node.engine.process import open_engine
from node.process import load_extender
from node.runtime.options import NodeOptions
from node.store.state import StateStore

TIME_NS = 1_700_000_000 * 10**9
SEED = b"\x05" * 32


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_devnet(
        [OperatorKeys(b"\x01" * 32, b"\x02" * 32)],
        time_ns=TIME_NS,
    )


def test_devnet(document: dict[str, Any]) -> None:
    ctx = check_document(document)
    chain = build_chain()
    assert chain.staking.get_bonded_stake(ctx, get_account("validator-1").addr) == 10**9
    assert chain.bank.get_balance(ctx, get_account("faucet").addr) == 10**12
    assert chain.beacon.get_anchor(ctx, get_account("validator-0").addr).current == b"\x02" * 32
    supply = chain.bank.get_supply(ctx)
    assert chain.mint.storage.issued_udsc.get(ctx) == supply


def test_canonical(document: dict[str, Any]) -> None:
    shuffled = dict(reversed(list(document.items())))
    assert encode_document(shuffled) == encode_document(document)
    assert compute_hash(shuffled) == compute_hash(document)


def test_consensus_params_round_trip() -> None:
    params = parse_params({"block": {"max_bytes": "1000", "max_gas": "7"}})
    assert parse_params(format_params(params)) == params


def edit_duplicate_account(pallets: dict[str, Any]) -> None:
    pallets["accounts"]["accounts"].append(pallets["accounts"]["accounts"][0])


def edit_negative_amount(pallets: dict[str, Any]) -> None:
    pallets["bank"]["balances"][0]["value"] = "-5"


def edit_supply(pallets: dict[str, Any]) -> None:
    pallets["bank"]["supply"][0]["value"] = "5"


def edit_balance(pallets: dict[str, Any]) -> None:
    pallets["bank"]["balances"][0]["value"] = "123"


def edit_unknown_pallet(pallets: dict[str, Any]) -> None:
    pallets["wasm"] = {}


def edit_unknown_entry(pallets: dict[str, Any]) -> None:
    pallets["bank"]["vaults"] = []


def edit_address(pallets: dict[str, Any]) -> None:
    pallets["bank"]["balances"][0]["key"][0] = "cosmos1zzz"


def edit_params(pallets: dict[str, Any]) -> None:
    pallets["staking"]["params"]["max_entries"] = 0


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (edit_duplicate_account, "accounts.accounts: duplicate entry for 'descent1"),
        (edit_negative_amount, "bank.balances: negative amount -5"),
        (edit_supply, "is not the sum of balances"),
        (edit_balance, "is not the sum of balances"),
        (edit_unknown_pallet, "unknown pallet wasm"),
        (edit_unknown_entry, "bank: unknown entry vaults"),
        (edit_address, "bank.balances: "),
        (edit_params, "max_entries = 0 is outside 1..100"),
    ],
)
def test_invalid(document: dict[str, Any], edit: Any, text: str) -> None:
    broken = copy.deepcopy(document)
    edit(broken["app_state"]["pallets"])
    with pytest.raises(GenesisError, match=text):
        check_document(broken)


def test_invalid_devnet_keys(document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    broken["app_state"]["devnet"] = False
    with pytest.raises(GenesisError, match=r"the devnet account .* has a published key"):
        check_document(broken)


def test_invalid_file(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    with pytest.raises(GenesisError, match="is not there"):
        load_document(path)
    path.write_text("{")
    with pytest.raises(GenesisError, match="is not JSON"):
        load_document(path)


def test_a_running_state_exports_and_imports_to_the_same_app_hash(tmp_path: Path) -> None:
    home = tmp_path / "home"
    init_devnet_home(home, time_ns=TIME_NS, onion_seed=SEED)
    chain = build_chain()
    with StateStore.open(home / "data" / "state") as store:
        application = chain.open_application(store, NodeOptions(), load_extender(home))
        engine = EmbeddedEngine(home, application)
        engine.start()
        for _ in range(5):
            engine.step()
        engine.close()
        exported = export_document(chain, store, 5, is_devnet=True)
        expected = store.app_hash
    assert (exported["chain_id"], exported["initial_height"]) == (CHAIN_ID, "6")
    check_document(exported)
    other = tmp_path / "other"
    (other / "config").mkdir(parents=True)
    for name in ("priv_validator_key.json", "onion_seed", "operator"):
        (other / "config" / name).write_bytes((home / "config" / name).read_bytes())
    (other / "config" / "genesis.json").write_bytes(encode_document(exported))
    with StateStore.open(other / "data" / "state") as store:
        extend = load_extender(other)
        application = build_chain().open_application(store, NodeOptions(), extend)
        engine = EmbeddedEngine(other, application)
        engine.start()
        assert engine.state.app_hash == expected
        engine.step()
        engine.step()
        info = application.info(abci.RequestInfo())
        assert info.last_block_height == 7
        engine.close()


def test_home_of_another_chain_is_refused(tmp_path: Path) -> None:
    init_devnet_home(tmp_path, time_ns=TIME_NS, onion_seed=SEED)
    path = tmp_path / "config" / "genesis.json"
    with open_engine(tmp_path, extend=load_extender(tmp_path)) as engine:
        engine.step()
    document = json.loads(path.read_bytes())
    document["chain_id"] = "descent-other-1"
    path.write_bytes(encode_document(document))
    with pytest.raises(HomeMismatch, match="use another home"), open_engine(tmp_path):
        pass


def test_devnet_home_is_made_once(tmp_path: Path) -> None:
    addresses = {account.name: account.address for account in list_accounts()}
    write_node_homes([tmp_path], addresses, TIME_NS)
    before = (tmp_path / "config" / "genesis.json").read_bytes()
    check_document(json.loads(before))
    write_node_homes([tmp_path], addresses, TIME_NS + 1)
    assert (tmp_path / "config" / "genesis.json").read_bytes() == before
    with pytest.raises(ValueError, match="the keyring has"):
        write_node_homes([tmp_path / "other"], {"faucet": "descent1other"}, TIME_NS)
