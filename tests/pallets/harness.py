"""Runs pallets on state in memory, without signatures: what pallet tests are written with.

    h = Harness(*build_base_pallets())
    alice = h.make_account("alice", 100)
    result = h.run(MsgSend(from_address=..., ...))          # raises the ChainError if refused
    h.assert_noop(MsgSend(...), InsufficientFunds)          # right error, same state root
    h.next_block(3)                                         # end_block, begin_block, three times
    h.query("/cosmos.bank.v1beta1.Query/Balance", request)  # the response message

Invariants of every pallet are checked after each run and each block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from node.pallets.accounts.pallet import AccountsPallet
from node.pallets.bank.pallet import BankPallet
from node.runtime.addresses import encode_account
from node.runtime.context import NANOS_PER_SECOND, BlockInfo, Context
from node.runtime.errors import ChainError
from node.runtime.events import Event
from node.runtime.gas import GasMeter
from node.runtime.pallet import Pallet
from node.runtime.runtime import Runtime
from node.runtime.state import EmptyReader, Overlay

CHAIN_ID = "descent-test-1"
START_TIME_NS = 1_700_000_000 * NANOS_PER_SECOND


def make_addr(name: str) -> bytes:
    """Make the 20-byte address tests use for a name."""
    return hashlib.sha256(b"test/" + name.encode()).digest()[:20]


def make_text_addr(name: str) -> str:
    """Make the bech32 address tests use for a name."""
    return encode_account(make_addr(name))


def build_base_pallets(
    module_permissions: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[AccountsPallet, BankPallet]:
    """Build what nearly every pallet needs."""
    accounts = AccountsPallet(module_permissions or {"fee_collector": ()})
    return accounts, BankPallet(accounts)


class Result:
    """What a message did: response, events, gas."""

    def __init__(self, response: Any, events: list[Event], gas_used: int) -> None:
        self.response = response
        self.events = events
        self.gas_used = gas_used

    def get_events(self, event_class: type[Event]) -> list[Any]:
        """Get the events of a class, in order."""
        return [event for event in self.events if isinstance(event, event_class)]


class Harness:
    """A chain of pallets in memory.

    Args:
        pallets: in execution order; genesis is imported from `genesis` or from defaults.
        block_ns: block interval in nanoseconds.
    """

    def __init__(
        self,
        *pallets: Pallet[Any],
        genesis: Mapping[str, Any] | None = None,
        block_ns: int = NANOS_PER_SECOND,
    ) -> None:
        self.runtime = Runtime(pallets)
        self.block_ns = block_ns
        self.state = Overlay(EmptyReader())
        self.block = BlockInfo(CHAIN_ID, 0, START_TIME_NS)
        self.block_events: list[Event] = []
        self.check_is_on = True
        self.block_fields: dict[str, Any] = {}
        """Further fields of the blocks to come, e.g. their votes."""
        self.set_changes: dict[bytes, int] = {}
        self.runtime.import_genesis(self.ctx(), dict(genesis or {}))
        self.block = replace(self.block, height=1, time_ns=START_TIME_NS + block_ns)
        self.runtime.begin_block(self.ctx())

    def ctx(self, gas_limit: int | None = None) -> Context:
        """Make a context that writes straight into the harness state."""
        return Context(self.state, self.block, GasMeter(gas_limit))

    @property
    def height(self) -> int:
        """Height of the block being built."""
        return self.block.height

    def get_pallet(self, name: str) -> Any:
        """Get a pallet by name."""
        return self.runtime.pallets[name]

    def make_account(self, name: str, udsc: int = 0) -> str:
        """Make an account with coins; returns its bech32 address."""
        ctx = self.ctx()
        self.get_pallet("accounts").ensure_account(ctx, make_addr(name))
        self.get_pallet("bank").mint(ctx, make_addr(name), udsc)
        return make_text_addr(name)

    def get_balance(self, name: str) -> int:
        """Get the balance of a named account in udsc."""
        balance: int = self.get_pallet("bank").get_balance(self.ctx(), make_addr(name))
        return balance

    def run(self, message: Any, gas_limit: int | None = None) -> Result:
        """Run a message.

        Raises: the ChainError that refuses it; state is then as before.
        """
        ctx = self.ctx(gas_limit)
        response = self.runtime.dispatch(ctx, "/" + message.DESCRIPTOR.full_name, message)
        self.check_invariants()
        return Result(response, ctx.events, ctx.gas.used)

    def assert_noop(
        self, message: Any, error: type[ChainError], match: str | None = None
    ) -> ChainError:
        """Assert that a message is refused with `error` and that nothing changed."""
        before = self.compute_root()
        with pytest.raises(error, match=match) as caught:
            self.run(message)
        assert type(caught.value) is error
        assert self.compute_root() == before
        return caught.value

    def next_block(self, count: int = 1) -> list[Event]:
        """End the block and begin the next, `count` times; returns the hooks' events."""
        events: list[Event] = []
        for _ in range(count):
            ctx = self.ctx()
            self.runtime.end_block(ctx)
            self.set_changes = self.runtime.update_consensus_set(ctx)
            events += ctx.events
            self.check_invariants()
            self.block = replace(
                self.block,
                height=self.height + 1,
                time_ns=self.block.time_ns + self.block_ns,
                **self.block_fields,
            )
            ctx = self.ctx()
            self.runtime.begin_block(ctx)
            events += ctx.events
        self.block_events = events
        return events

    def query(self, path: str, request: Any) -> Any:
        """Answer a query from the state as it stands."""
        answer = self.runtime.query(self.state, self.block, path, request.SerializeToString())
        return self.runtime.queries[path].response_class.FromString(answer)

    def export_genesis(self) -> dict[str, Any]:
        """Export the state of every pallet."""
        return self.runtime.export_genesis(self.ctx())

    def assert_genesis_round_trips(self, *pallets: Pallet[Any]) -> None:
        """Assert that importing the export into fresh pallets gives the same state."""
        exported = self.export_genesis()
        fresh = Overlay(EmptyReader())
        Runtime(pallets).import_genesis(Context(fresh, self.block), exported)
        assert fresh.changes == drop_deletions(self.state)

    def check_invariants(self) -> None:
        """Check the invariants of every pallet."""
        if self.check_is_on:
            self.runtime.check_invariants(self.ctx())

    def compute_root(self) -> str:
        """Compute a hash of the whole state."""
        digest = hashlib.sha256()
        for store, changes in drop_deletions(self.state).items():
            for key, value in changes.items():
                digest.update(repr((store, key, value)).encode())
        return digest.hexdigest()


def drop_deletions(state: Overlay) -> dict[str, dict[bytes, bytes | None]]:
    """List what is there, without deleted keys and empty stores."""
    live = {
        store: {key: value for key, value in changes.items() if value is not None}
        for store, changes in state.changes.items()
    }
    return {store: changes for store, changes in live.items() if changes}
