"""A planned upgrade: halt, migration, cancel."""

from __future__ import annotations

from typing import Any

import pytest
from cosmos.upgrade.v1beta1 import query_pb2, tx_pb2, upgrade_pb2

from node.pallets.upgrade.errors import PlanInvalid, PlanMissing
from node.pallets.upgrade.pallet import UpgradePallet
from node.runtime.context import Context
from node.runtime.errors import InvalidAuthority, UpgradeHalt
from tests.pallets.gov.gov_chain import AUTHORITY, build_pallets
from tests.pallets.harness import Harness, make_text_addr

PATH = "/cosmos.upgrade.v1beta1.Query"


@pytest.fixture
def chain() -> Harness:
    return Harness(*build_pallets())


def build_plan(height: int, name: str = "v2", authority: str = AUTHORITY) -> Any:
    plan = upgrade_pb2.Plan(name=name, height=height, info="see the release notes")
    return tx_pb2.MsgSoftwareUpgrade(authority=authority, plan=plan)


def get_applied(chain: Harness) -> int:
    request = query_pb2.QueryAppliedPlanRequest(name="v2")
    return int(chain.query(f"{PATH}/AppliedPlan", request).height)


def test_old_program_stops_at_the_height(chain: Harness) -> None:
    chain.run(build_plan(chain.height + 3))
    plan = chain.query(f"{PATH}/CurrentPlan", query_pb2.QueryCurrentPlanRequest()).plan
    assert plan.name == "v2"
    chain.next_block(2)
    with pytest.raises(UpgradeHalt, match=r"'v2' is needed at height 4.*release notes"):
        chain.next_block()


def test_new_program_migrates_at_the_height(chain: Harness) -> None:
    seen: list[int] = []

    def migrate(ctx: Context) -> None:
        seen.append(ctx.height)

    chain.run(build_plan(chain.height + 2))
    chain.next_block()
    fresh = UpgradePallet({"v2": migrate})
    chain.runtime.pallets["upgrade"] = fresh
    chain.next_block()
    assert seen == [3]
    assert get_applied(chain) == 3
    chain.next_block(2)
    assert seen == [3]
    chain.assert_noop(build_plan(chain.height + 5), PlanInvalid, "was applied before")
    chain.assert_genesis_round_trips(*build_pallets())


def test_new_program_started_too_early(chain: Harness) -> None:
    chain.run(build_plan(chain.height + 3))
    chain.runtime.pallets["upgrade"] = UpgradePallet({"v2": lambda ctx: None})
    with pytest.raises(UpgradeHalt, match="run the version before it"):
        chain.next_block()


def test_cancel(chain: Harness) -> None:
    cancel = tx_pb2.MsgCancelUpgrade(authority=AUTHORITY)
    chain.assert_noop(cancel, PlanMissing)
    chain.run(build_plan(chain.height + 2))
    chain.run(cancel)
    chain.next_block(5)
    assert get_applied(chain) == 0


def test_invalid_plans(chain: Harness) -> None:
    message = build_plan(chain.height + 2, authority=make_text_addr("bob"))
    chain.assert_noop(message, InvalidAuthority)
    chain.assert_noop(build_plan(chain.height), PlanInvalid)
    chain.assert_noop(build_plan(chain.height + 2, name=""), PlanInvalid)
    message = build_plan(chain.height + 2)
    message.plan.time.seconds = 5
    chain.assert_noop(message, PlanInvalid)
