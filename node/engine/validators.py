"""The consensus set: order, hash, changes.

Order is CometBFT's: by power, greatest first, then by address. A change that FinalizeBlock returns
at height H is in force at H + 2. Source: CometBFT types/validator_set.go, state/execution.go.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tendermint.abci import types_pb2 as abci
from tendermint.crypto import keys_pb2
from tendermint.types import validator_pb2

from node.engine.errors import ApplicationBroken
from node.engine.hashing import merkle_root
from node.engine.keys import compute_address

POWER_TOTAL_MAX = (2**63 - 1) // 8


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """Power by ed25519 public key, in CometBFT's order."""

    powers: tuple[tuple[bytes, int], ...]

    @staticmethod
    def make(powers: dict[bytes, int]) -> "ValidatorSet":
        """Put validators in order."""
        ordered = sorted(powers.items(), key=lambda item: (-item[1], compute_address(item[0])))
        return ValidatorSet(tuple(ordered))

    @staticmethod
    def from_updates(updates: Iterable[Any]) -> "ValidatorSet":
        """Make a set from the ValidatorUpdates of InitChain.

        Raises:
            ApplicationBroken: an update that ABCI does not allow.
        """
        return ValidatorSet(()).apply(updates)

    def apply(self, updates: Iterable[Any]) -> "ValidatorSet":
        """Apply ValidatorUpdates.

        Raises:
            ApplicationBroken: negative power, a key that is not ed25519, a key twice, removal of a
                key that is not there, or too much power in all.
        """
        powers = dict(self.powers)
        seen = set()
        for update in updates:
            key = update.pub_key.ed25519
            if update.pub_key.WhichOneof("sum") != "ed25519" or len(key) != 32:
                raise ApplicationBroken("a validator update has a key that is not ed25519")
            if key in seen:
                raise ApplicationBroken(f"validator {key.hex()} is updated twice in one block")
            seen.add(key)
            if update.power < 0:
                raise ApplicationBroken(f"validator {key.hex()} gets power {update.power}")
            if update.power:
                powers[key] = update.power
            elif powers.pop(key, None) is None:
                raise ApplicationBroken(f"validator {key.hex()} is removed but is not in the set")
        if sum(powers.values()) > POWER_TOTAL_MAX:
            raise ApplicationBroken("the consensus power in all is over the limit")
        return ValidatorSet.make(powers)

    @property
    def total_power(self) -> int:
        """Power of all validators together."""
        return sum(power for _, power in self.powers)

    def compute_hash(self) -> bytes:
        """Hash the set, as headers name it."""
        return merkle_root(
            [
                validator_pb2.SimpleValidator(
                    pub_key=keys_pb2.PublicKey(ed25519=key), voting_power=power
                ).SerializeToString()
                for key, power in self.powers
            ]
        )

    def make_updates(self) -> list[Any]:
        """Return the set as ValidatorUpdates."""
        return [
            abci.ValidatorUpdate(pub_key=keys_pb2.PublicKey(ed25519=key), power=power)
            for key, power in self.powers
        ]

    def make_message(self) -> Any:
        """Return the set as tendermint.types.ValidatorSet."""
        message = validator_pb2.ValidatorSet(
            validators=[
                validator_pb2.Validator(
                    address=compute_address(key),
                    pub_key=keys_pb2.PublicKey(ed25519=key),
                    voting_power=power,
                )
                for key, power in self.powers
            ],
            total_voting_power=self.total_power,
        )
        return message

    @staticmethod
    def from_message(message: Any) -> "ValidatorSet":
        """Read back `make_message`."""
        return ValidatorSet(
            tuple((item.pub_key.ed25519, item.voting_power) for item in message.validators)
        )
