"""A run's spec turned into what every participant shares: program, codec, data, backend."""

import hashlib
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from exact import codec, state
from exact.backends import Backend
from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.data.pack import Dataset
from exact.data.sampling import count_sequences
from exact.families import build_program, fresh_optimiser, init_params
from exact.program import Program
from exact.state import State
from proto.descent.runs.v1 import runs_pb2

# A safetensors header of ours: names, shapes and offsets, far below this for any model we take.
MAX_STATE_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class RunSetup:
    """What the spec of one run fixes.

    Attributes:
        run_id: of the run.
        spec: parsed.
        spec_hash: sha256 of its canonical bytes.
        dataset: the one with the spec's root.
        backend: executes the program.
    """

    run_id: int
    spec: runs_pb2.RunSpec
    spec_hash: bytes
    dataset: Dataset
    backend: Backend
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def create(cls, run: runs_pb2.Run, dataset: Dataset, backend: Backend) -> "RunSetup":
        """Build the setup of a run on chain.

        Raises:
            InvalidModel: the spec asks for a model this version cannot build.
            UnfaithfulDevice: this device cannot do the spec's precision exactly.
            InvalidCodec: the spec's codec is out of bounds.
        """
        spec = runs_pb2.RunSpec.FromString(run.spec)
        backend.ensure_precision(ModelConfig.from_spec(spec))
        return cls(run.id, spec, hashlib.sha256(run.spec).digest(), dataset, backend)

    # ----------------------------------------------------------------------------- computing
    @cached_property
    def model(self) -> ModelConfig:
        """The model's shape and precision."""
        return ModelConfig.from_spec(self.spec)

    @cached_property
    def program(self) -> Program:
        """The training step."""
        work = self.spec.work
        return build_program(
            self.model,
            OptimiserConfig.from_spec(self.spec),
            work.batch_size,
            work.num_parts or 1,
            work.recompute,
        )

    @cached_property
    def codec(self) -> codec.CodecConfig:
        """The payload codec's constants."""
        return codec.CodecConfig.from_spec(self.spec.codec)

    def train_interval(self, start: State, batches: np.ndarray) -> tuple[State, np.ndarray]:
        """Run one step a batch; one caller at a time.

        Args:
            start: interval state.
            batches: uint8 [k, B, L + 1].

        Returns:
            The interval state after them, and float32 [k] mean losses in nats.
        """
        with self._lock:
            end = self.backend.train_interval(self.program, start, batches)
            return end, self.backend.losses

    def compute_losses(self, theta: Mapping[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
        """Compute each sequence's loss; one caller at a time.

        Args:
            theta: `param/` tensors.
            tokens: uint8 [n, L + 1].

        Returns:
            int64 [n], nano-nats.
        """
        with self._lock:
            return self.backend.sequence_losses(self.program, dict(theta), tokens)

    @property
    def outer_learning_rate(self) -> np.float32:
        """Step size of the outer SGD."""
        return np.float32(to_float32(self.spec.outer.learning_rate_ppb))

    @property
    def num_intervals(self) -> int:
        """Replayable intervals of a round."""
        return self.spec.work.inner_steps // self.spec.work.interval_steps

    # --------------------------------------------------------------------------------- data
    @property
    def context_length(self) -> int:
        """L, tokens predicted a sequence."""
        return self.spec.model.context_length

    @property
    def num_train_sequences(self) -> int:
        """Sequences in the train stream."""
        return count_sequences(len(self.dataset.train), self.context_length)

    @property
    def num_heldout_sequences(self) -> int:
        """Sequences in the held-out stream."""
        return count_sequences(len(self.dataset.heldout), self.context_length)

    # -------------------------------------------------------------------------------- states
    def make_initial_params(self) -> State:
        """Make the first weights from the spec's seed, as `param/` tensors."""
        return init_params(self.model, self.spec.init_seed)

    def make_fresh_optimiser(self) -> State:
        """Make the optimiser of a newcomer: zeros."""
        return fresh_optimiser(
            {
                state.PARAM_PREFIX + name: np.zeros(shape, np.float32)
                for name, shape in self.param_layout.items()
            }
        )

    @property
    def param_layout(self) -> dict[str, tuple[int, ...]]:
        """Parameter name -> shape, without prefix."""
        return dict(self.program.param_shapes)

    @cached_property
    def checkpoint_layout(self) -> state.Layout:
        """Layout of a checkpoint: `param/` tensors."""
        return {
            state.PARAM_PREFIX + name: ("F32", shape) for name, shape in self.param_layout.items()
        }

    @cached_property
    def optimiser_layout(self) -> state.Layout:
        """Layout of what a miner carries: adam_m, adam_v, adam_t, feedback."""
        return state.get_layout(self.make_fresh_optimiser())

    @cached_property
    def interval_layout(self) -> state.Layout:
        """Layout of an interval state: param, adam_m, adam_v, adam_t."""
        return self.program.state_layout

    @cached_property
    def max_payload_bytes(self) -> int:
        """Size above which a payload cannot be one."""
        return codec.max_payload_size(self.param_layout, self.codec)

    @property
    def max_checkpoint_bytes(self) -> int:
        """Size above which bytes cannot be a checkpoint."""
        return _compute_max_bytes(self.checkpoint_layout)

    @property
    def max_optimiser_bytes(self) -> int:
        """Size above which bytes cannot be a carried optimiser."""
        return _compute_max_bytes(self.optimiser_layout)

    @property
    def max_interval_bytes(self) -> int:
        """Size above which bytes cannot be an interval state."""
        return _compute_max_bytes(self.interval_layout)


def _compute_max_bytes(layout: state.Layout) -> int:
    body = sum(math.prod(shape) * 8 for _, shape in layout.values())
    return body + MAX_STATE_HEADER_BYTES
