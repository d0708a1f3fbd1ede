"""What governance decides reaches the engine: consensus parameters, a planned upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cosmos.consensus.v1 import tx_pb2 as consensus_tx_pb2
from cosmos.upgrade.v1beta1 import upgrade_pb2

from node.chain import build_chain
from node.runtime.addresses import encode_account
from node.runtime.context import Context
from node.runtime.errors import InvalidAuthority, InvalidRequest, UpgradeHalt
from node.runtime.pallet import AUTHORITY_ADDR
from node.store.state import StateStore
from tests.pallets.harness import Harness, make_text_addr
from tests.runtime.chain_driver import ChainDriver, Key
from tests.runtime.test_transactions import build_send

AUTHORITY = encode_account(AUTHORITY_ADDR)


def build_harness() -> Harness:
    return Harness(*build_chain().runtime.pallets.values())


def build_update(chain: Harness, **fields: Any) -> Any:
    params = chain.get_pallet("consensus").get_params(chain.ctx())
    message = consensus_tx_pb2.MsgUpdateParams(
        authority=AUTHORITY,
        block=params.block,
        evidence=params.evidence,
        validator=params.validator,
    )
    for name, value in fields.items():
        part, _, field = name.partition("__")
        setattr(getattr(message, part), field, value)
    return message


def test_consensus_parameters() -> None:
    chain = build_harness()
    consensus = chain.get_pallet("consensus")
    chain.run(build_update(chain, block__max_gas=5_000_000, evidence__max_bytes=1_000))
    taken = consensus.take_update(chain.ctx())
    assert (taken.block.max_gas, taken.evidence.max_bytes) == (5_000_000, 1_000)
    assert taken.validator.pub_key_types == ["ed25519"]
    assert consensus.take_update(chain.ctx()) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"block__max_bytes": 1_000},
        {"block__max_bytes": 2**40},
        {"block__max_gas": 5},
        {"evidence__max_age_num_blocks": 0},
        {"evidence__max_bytes": 2**30},
    ],
)
def test_invalid_consensus_parameters(fields: dict[str, int]) -> None:
    chain = build_harness()
    chain.assert_noop(build_update(chain, **fields), InvalidRequest)


def test_invalid_consensus_parameters__others() -> None:
    chain = build_harness()
    message = build_update(chain)
    message.validator.pub_key_types.append("secp256k1")
    chain.assert_noop(message, InvalidRequest)
    message = build_update(chain)
    message.authority = make_text_addr("bob")
    chain.assert_noop(message, InvalidAuthority)
    message = build_update(chain)
    message.ClearField("block")
    chain.assert_noop(message, InvalidRequest)


def test_engine_is_told(driver: ChainDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block that changes parameters carries them, and gas is limited from the next on."""
    consensus = driver.chain.consensus

    def decide(ctx: Context) -> None:
        consensus.record_block(ctx)
        message = consensus_tx_pb2.MsgUpdateParams(authority=AUTHORITY)
        params = consensus.get_params(ctx)
        params.block.max_gas = 1_000_000
        for name in ("block", "evidence", "validator"):
            getattr(message, name).CopyFrom(getattr(params, name))
        consensus.update_engine_params(ctx, AUTHORITY_ADDR, message)

    with monkeypatch.context() as patch:
        patch.setattr(consensus, "begin_block", decide)
        response = driver.make_block([])
    assert response.consensus_param_updates.block.max_gas == 1_000_000
    alice = Key("alice")
    tx = driver.sign(alice, build_send(alice, Key("bob"), 1), gas=1_000_001)
    assert driver.check(tx).code == 41
    assert not driver.make_block([]).HasField("consensus_param_updates")


def test_upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old program stops before the block, the new one goes on from the same state."""
    driver = ChainDriver(tmp_path / "state", {"alice": 10_000_000, "bob": 5_000})
    driver.make_block()
    plan = upgrade_pb2.Plan(name="v2", height=driver.height + 3)
    migrations = {"v2": lambda ctx: driver.chain.bank.mint(ctx, Key("bob").addr, 7)}
    with monkeypatch.context() as patch:
        upgrade = driver.chain.upgrade
        patch.setattr(upgrade, "begin_block", lambda ctx: upgrade.storage.plan.set(ctx, plan))
        driver.make_block()
    driver.make_block()
    app_hash, height = driver.store.app_hash, driver.height
    with pytest.raises(UpgradeHalt, match="upgrade 'v2' is needed at height"):
        driver.make_block()
    driver.close()
    driver.store = StateStore.open(tmp_path / "state")
    assert (driver.store.app_hash, driver.store.version) == (app_hash, height)
    driver.chain = build_chain(migrations)
    driver.app = driver.chain.open_application(
        driver.store, None, driver.keeper.make_extender(driver.chain.beacon)
    )
    driver.make_block()
    assert driver.get_balance(Key("bob")) == 5_007
    driver.make_block()
    driver.close()
