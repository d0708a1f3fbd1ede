"""Upgrade: a planned change of the program at a height.

Governance names the upgrade and the height. A program that does not know the upgrade stops before
it executes that block, with the same state everywhere; the program that knows it migrates the state
at the beginning of that block and goes on. A program that knows an upgrade whose height is still to
come refuses blocks too: it was started too early.

Life cycle of a plan: none -> planned -> applied, or cancelled before its height.
Source: Cosmos SDK x/upgrade; `reference/chain.md` section 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos.upgrade.v1beta1 import query_pb2, tx_pb2

from node.pallets.upgrade.errors import PlanInvalid, PlanMissing
from node.pallets.upgrade.types import (
    MAX_INFO_CHARS,
    MAX_NAME_CHARS,
    Migration,
    UpgradeApplied,
    UpgradeCancelled,
    UpgradePlanned,
    UpgradeSchema,
)
from node.runtime.addresses import encode_account
from node.runtime.context import Context
from node.runtime.errors import UpgradeHalt, ensure, refuse
from node.runtime.pallet import AUTHORITY_ADDR, Pallet, call, ensure_authority, query
from node.runtime.times import get_nanoseconds


class UpgradePallet(Pallet[UpgradeSchema]):
    """The upgrade pallet.

    Args:
        migrations: of the upgrades this program knows, by name.
    """

    name = "upgrade"
    index = 24
    schema = UpgradeSchema
    query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)
    errors = (PlanInvalid, PlanMissing)
    events = (UpgradePlanned, UpgradeCancelled, UpgradeApplied)

    def __init__(self, migrations: Mapping[str, Migration] | None = None) -> None:
        super().__init__()
        self._migrations = dict(sorted((migrations or {}).items()))

    @call(0, tx_pb2.MsgSoftwareUpgrade, tx_pb2.MsgSoftwareUpgradeResponse, signer="authority")
    def plan_upgrade(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Plan an upgrade, in place of one planned before; governance only.

        Raises: InvalidAuthority, PlanInvalid.
        Emits: UpgradePlanned.
        """
        ensure_authority(origin)
        plan = msg.plan
        ensure(0 < len(plan.name) <= MAX_NAME_CHARS, PlanInvalid, "name of the upgrade")
        ensure(plan.height > ctx.height, PlanInvalid, f"height {plan.height} is not to come")
        has_time = plan.HasField("time") and get_nanoseconds(plan.time) != 0
        ensure(not has_time, PlanInvalid, "an upgrade is planned for a height, not for a time")
        has_state = plan.HasField("upgraded_client_state")
        ensure(not has_state, PlanInvalid, "upgraded_client_state is not supported")
        ensure(len(plan.info) <= MAX_INFO_CHARS, PlanInvalid, f"over {MAX_INFO_CHARS} characters")
        is_new = not self.storage.applied.has(ctx, plan.name)
        ensure(is_new, PlanInvalid, f"upgrade {plan.name} was applied before")
        plan.ClearField("time")
        self.storage.plan.set(ctx, plan)
        ctx.emit(UpgradePlanned(plan.name, plan.height))

    @call(1, tx_pb2.MsgCancelUpgrade, tx_pb2.MsgCancelUpgradeResponse, signer="authority")
    def cancel_upgrade(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Take a planned upgrade back; governance only.

        Raises: InvalidAuthority, PlanMissing.
        Emits: UpgradeCancelled.
        """
        ensure_authority(origin)
        plan = self.storage.plan.get(ctx)
        if plan is None:
            refuse(PlanMissing)
        self.storage.plan.delete(ctx)
        ctx.emit(UpgradeCancelled(plan.name))

    # Hooks

    def begin_block(self, ctx: Context) -> None:
        self.process_plan(ctx)

    def process_plan(self, ctx: Context) -> None:
        """Migrate at the height of the plan, or stop.

        Raises: UpgradeHalt, which stops the node.
        Emits: UpgradeApplied.
        """
        plan = self.storage.plan.get(ctx)
        if plan is None:
            return
        migration = self._migrations.get(plan.name)
        if ctx.height < plan.height:
            if migration is not None:
                raise UpgradeHalt(
                    f"this program is for upgrade {plan.name!r} at height {plan.height}: run the "
                    "version before it until then"
                )
            return
        if migration is None:
            raise UpgradeHalt(
                f"upgrade {plan.name!r} is needed at height {plan.height}: start the version of "
                f"this program that has it. {plan.info}".strip()
            )
        migration(ctx)
        self.storage.plan.delete(ctx)
        self.storage.applied.set(ctx, plan.name, ctx.height)
        ctx.emit(UpgradeApplied(plan.name))

    # Queries

    @query("CurrentPlan")
    def query_current_plan(self, ctx: Context, request: Any) -> Any:
        """Answer the planned upgrade, if there is one."""
        return query_pb2.QueryCurrentPlanResponse(plan=self.storage.plan.get(ctx))

    @query("AppliedPlan")
    def query_applied_plan(self, ctx: Context, request: Any) -> Any:
        """Answer the height at which an upgrade was applied, 0 for never."""
        is_name = len(request.name) <= MAX_NAME_CHARS
        height = self.storage.applied.get_or(ctx, request.name, 0) if is_name else 0
        return query_pb2.QueryAppliedPlanResponse(height=height)

    @query("Authority")
    def query_authority(self, ctx: Context, request: Any) -> Any:
        """Answer who may plan upgrades."""
        return query_pb2.QueryAuthorityResponse(address=encode_account(AUTHORITY_ADDR))
