"""The hash onion an operator's node keeps: which preimage it reveals next.

An onion of N layers is h_0 = sha256(seed || generation), h_i = sha256(h_{i-1}); its anchor is h_N.
Only the seed is a secret and only the seed is on disk; where the onion stands is read from the
chain. Every `SEGMENT`-th layer is kept in memory, so a reveal costs at most `SEGMENT` hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from node.pallets.beacon.pallet import BeaconPallet
from node.pallets.beacon.types import BEACON_TAG
from node.runtime.addresses import encode_account
from node.runtime.application import VoteExtender
from node.runtime.context import Context
from node.runtime.errors import ChainError
from proto.descent.beacon.v1 import beacon_pb2

NUM_LAYERS = 2**17
"""131 072 blocks before the next onion is needed: 18 hours at two blocks a second."""

SEGMENT = 2**9
SEED_BYTES = 32
MAX_GENERATIONS = 500
"""A year of onions at two blocks a second; looking through all of them takes a minute."""


class OnionError(Exception):
    """The seed file is unreadable, or the chain does not know this onion."""


class Onion:
    """One generation of layers made from a seed."""

    def __init__(self, seed: bytes, generation: int) -> None:
        self.generation = generation
        layer = hashlib.sha256(seed + generation.to_bytes(4, "big")).digest()
        self._marks = []
        for index in range(NUM_LAYERS):
            if index % SEGMENT == 0:
                self._marks.append(layer)
            layer = hashlib.sha256(layer).digest()
        self.anchor = layer
        self._segment_index = -1
        self._segment: list[bytes] = []

    def get_layer(self, index: int) -> bytes:
        """Get h_index."""
        if index == NUM_LAYERS:
            return self.anchor
        number, offset = divmod(index, SEGMENT)
        if number != self._segment_index:
            layer = self._marks[number]
            self._segment = [layer]
            for _ in range(SEGMENT - 1):
                layer = hashlib.sha256(layer).digest()
                self._segment.append(layer)
            self._segment_index = number
        return self._segment[offset]

    def find(self, value: bytes) -> int | None:
        """Find the index of a layer, or None if it is not of this onion."""
        for index in range(NUM_LAYERS, -1, -1):
            if self.get_layer(index) == value:
                return index
        return None


class OnionKeeper:
    """Makes this operator's vote extensions.

    Args:
        seed: 32 secret bytes.
        operator: account address of the operator.
    """

    def __init__(self, seed: bytes, operator: bytes) -> None:
        self._seed = seed
        self._operator = operator
        self._onion = Onion(seed, 0)
        self._index = NUM_LAYERS

    @property
    def first_anchor(self) -> bytes:
        """The anchor genesis registers."""
        return self._onion.anchor if self._onion.generation == 0 else Onion(self._seed, 0).anchor

    def _locate(self, value: bytes) -> None:
        """Move to the layer the chain knows.

        Raises: OnionError.
        """
        for index in (self._index, self._index - 1):
            if index >= 0 and self._onion.get_layer(index) == value:
                self._index = index
                return
        for generation in range(self._onion.generation, MAX_GENERATIONS):
            if generation != self._onion.generation:
                self._onion = Onion(self._seed, generation)
            found = self._onion.find(value)
            if found is not None:
                self._index = found
                return
        raise OnionError("the anchor on the chain does not belong to this node's onion seed")

    def build_reveal(self, current: bytes, next_anchor: bytes) -> bytes:
        """Build the `Reveal` that follows the chain's `current` value.

        Raises: OnionError.
        """
        self._locate(current)
        reveal = beacon_pb2.Reveal(operator_addr=encode_account(self._operator))
        if self._index == 0:
            following = Onion(self._seed, self._onion.generation + 1)
            if next_anchor != following.anchor:
                raise OnionError("the onion is used up and its successor was never registered")
            self._onion, self._index = following, NUM_LAYERS
        reveal.preimage = self._onion.get_layer(self._index - 1)
        if self._index <= NUM_LAYERS // 2 and not next_anchor:
            reveal.next_anchor = Onion(self._seed, self._onion.generation + 1).anchor
        data: bytes = reveal.SerializeToString(deterministic=True)
        return data

    def make_extender(self, beacon: BeaconPallet) -> VoteExtender:
        """Make the function the application calls to extend a vote."""

        def extend(ctx: Context, txs: list[bytes]) -> bytes:
            if not beacon.is_heard(ctx, self._operator):
                return b""
            if txs and txs[0][:1] == bytes((BEACON_TAG,)):
                with contextlib.suppress(ChainError), ctx.snapshot():
                    beacon.process_inherent(ctx, txs[0][1:])
            anchor = beacon.get_anchor(ctx, self._operator)
            return self.build_reveal(anchor.current, anchor.next_anchor)

        return extend


def load_seed(path: Path) -> bytes:
    """Load the onion seed of a node, hex text.

    Raises: OnionError.
    """
    try:
        seed = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise OnionError(f"cannot read the onion seed {path}: {error}") from error
    if len(seed) != SEED_BYTES:
        raise OnionError(f"the onion seed {path} has {len(seed)} bytes, expected {SEED_BYTES}")
    return seed


def save_seed(path: Path, seed: bytes) -> None:
    """Write the onion seed, readable by its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(seed.hex() + "\n")
