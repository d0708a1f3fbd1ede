"""What the random machines of the pallets share: a message is done whole or not at all."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine

from node.runtime.errors import ChainError
from tests.pallets.harness import Harness

SETTINGS = settings(
    max_examples=100,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class ChainMachine(RuleBasedStateMachine):
    """Drives a chain; the harness checks every pallet's invariants after each message and block."""

    chain: Harness

    def attempt(self, message: Any) -> Any | None:
        """Run a message; None if it is refused, and then nothing has changed."""
        before = self.chain.compute_root()
        try:
            return self.chain.run(message)
        except ChainError:
            assert self.chain.compute_root() == before
            return None
