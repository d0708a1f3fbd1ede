"""The executor both backends share: runs a program's list, op by op, over named tensors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import psutil

from exact.config import ACCUMULATOR_LIMIT, ModelConfig, OptimiserConfig
from exact.elementary import compute_power
from exact.errors import InvalidState, InvalidStep, OutOfMemory, UnfaithfulDevice
from exact.program import (
    LOGITS,
    LOSSES,
    NEXT_SUFFIX,
    TARGETS,
    TOKENS,
    Attributes,
    Op,
    Program,
    compute_last_uses,
)
from exact.sampling import sample_token
from exact.state import PARAM_PREFIX, State, get_layout, select, select_interval

NANO = 1_000_000_000
# Sequences evaluated at once; results do not depend on it.
EVALUATE_BATCH = 32

Tensor = Any
Environment = dict[str, Tensor]


class Backend(ABC):
    """Executes programs. One instance serves one thread at a time.

    Attributes:
        name: "numpy", "torch" or "native".
        losses: float32 [steps], mean loss in nats of each step of the last `train_interval`.
        largest_exact_dot: largest magnitude of an integer dot product that it computes exactly.
    """

    name: str
    largest_exact_dot: int = ACCUMULATOR_LIMIT

    def __init__(self) -> None:
        """Prepare an executor without losses."""
        self.losses = np.zeros(0, np.float32)
        self._last_uses: dict[int, tuple[Sequence[Op], list[list[str]]]] = {}

    @property
    def description(self) -> str:
        """What computes, for logs."""
        return self.name

    # --------------------------------------------------------------------------- what callers use
    def train_interval(self, program: Program, state: State, batches: np.ndarray) -> State:
        """Run one step per batch.

        Args:
            program: from `build_program`.
            state: an interval state (other names are ignored); not changed.
            batches: integers [k, B, L + 1], B the program's batch_size.

        Returns:
            The interval state after k steps. `self.losses` holds the k losses.

        Raises:
            InvalidStep: a NaN or an infinity appeared.
            InvalidState: the state's layout is not the program's, or a token is out of range.
            OutOfMemory: a step does not fit.
        """
        interval = select_interval(state)
        if get_layout(interval) != program.state_layout:
            raise InvalidState("the state does not have the program's layout")
        _ensure_tokens(program, batches, 3)
        if batches.shape[1] != program.batch_size:
            raise InvalidState(f"{batches.shape[1]} sequences a step, not {program.batch_size}")
        try:
            result, nanonats = self._train(program, interval, batches)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            from exact.memory import describe_needs

            raise OutOfMemory(f"out of memory: {describe_needs(program)}") from error
        for losses in nanonats:
            _ensure_losses(losses)
        self.losses = _compute_mean_losses(nanonats)
        for name, tensor in result.items():
            if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
                raise InvalidStep(f"{name} holds a NaN or an infinity")
        return result

    def trace_step(
        self, program: Program, state: State, batch: np.ndarray
    ) -> Iterator[dict[str, np.ndarray]]:
        """Run one step op by op, for roots that are finer than an interval's.

        Args:
            program: from `build_program`.
            state: an interval state.
            batch: integers [B, L + 1].

        Yields:
            Each operation's outputs by name, in the order of `program.step_ops`.

        Raises:
            InvalidStep: a NaN or an infinity appeared.
        """
        tensors = {n: self._to_tensor(t) for n, t in select_interval(state).items()}
        env = {**tensors, **self._load_tokens(batch[:, :-1], batch[:, 1:])}
        self._begin(program)
        for op, dead in zip(program.step_ops, compute_last_uses(program.step_ops), strict=True):
            with np.errstate(all="ignore"):
                inputs = [env[name] for name in op.inputs]
                results = self._get_kernel(op.kind)(op.attributes, *inputs)
            made = {n: t for n, t in zip(op.outputs, results, strict=True) if n}
            env.update(made)
            yield {name: self._to_numpy(tensor) for name, tensor in made.items()}
            for name in dead:
                env.pop(name, None)

    def sequence_losses(self, program: Program, params: State, tokens: np.ndarray) -> np.ndarray:
        """Compute each sequence's summed negative log likelihood.

        A token's loss is a float64, rounded half to even to nano-nats; sums are exact. A result
        does not depend on what else is in the batch.

        Args:
            program: from `build_program`.
            params: a state with the program's `param/` tensors (other names are ignored).
            tokens: integers [n, L + 1].

        Returns:
            int64 [n], nano-nats.

        Raises:
            InvalidStep: a NaN or an infinity appeared.
            InvalidState: wrong layout or a token out of range.
        """
        _ensure_tokens(program, tokens, 2)
        loaded = self._load_params(program, params)
        sums = [np.zeros(0, np.int64)]
        for start in range(0, len(tokens), EVALUATE_BATCH):
            batch = tokens[start : start + EVALUATE_BATCH]
            env = self._evaluate(program, loaded, batch[:, :-1], batch[:, 1:])
            nanonats = self._to_numpy(env[LOSSES])
            _ensure_losses(nanonats)
            sums.append(nanonats.sum(axis=1, dtype=np.int64))
        return np.concatenate(sums)

    def compute_logits(self, program: Program, params: State, tokens: np.ndarray) -> np.ndarray:
        """Compute next-token logits.

        Args:
            tokens: integers [n, T], T <= context_length.

        Returns:
            float32 [n, T, V].

        Raises:
            InvalidStep: a NaN or an infinity appeared.
            InvalidState: wrong layout or a token out of range.
        """
        return self._compute_logits(program, self._load_params(program, params), tokens)

    def generate(
        self,
        program: Program,
        params: State,
        prompt: bytes,
        num_tokens: int,
        seed: int,
        top_k: int = 40,
    ) -> bytes:
        """Continue a byte prompt; the same bytes on every device.

        Args:
            prompt: may be empty (a newline stands in).
            num_tokens: bytes to add.
            seed: 0 <= seed < 2^64.
            top_k: draw among so many likeliest bytes; 1 is greedy.

        Returns:
            The added bytes.

        Raises:
            InvalidStep: a NaN or an infinity appeared.
            InvalidState: wrong layout, or the model is not over bytes.
        """
        if program.model.vocab_size > 256:
            raise InvalidState("only a model over bytes continues bytes")
        loaded = self._load_params(program, params)
        tokens = list(prompt or b"\n")
        start = len(tokens)
        for index in range(num_tokens):
            context = np.array([tokens[-program.model.context_length :]], np.int64)
            logits = self._compute_logits(program, loaded, context)[0, -1]
            tokens.append(sample_token(logits, seed, index, top_k))
        return bytes(tokens[start:])

    def ensure_precision(self, model: ModelConfig) -> None:
        """Refuse a model whose products this device cannot do exactly, before anything is trained.

        Args:
            model: what is to be trained or evaluated.

        Raises:
            UnfaithfulDevice: a block's dot product is beyond every path of this device.
        """
        if model.largest_dot > self.largest_exact_dot:
            raise UnfaithfulDevice(
                f"backend {self.name} on this device multiplies exactly up to "
                f"{self.largest_exact_dot}; the run's precision needs {model.largest_dot}"
            )

    def get_free_bytes(self) -> int:
        """Bytes that the device can still give."""
        return int(psutil.virtual_memory().available)

    # ---------------------------------------------------------------------- what a backend brings
    @abstractmethod
    def _to_tensor(self, array: np.ndarray) -> Tensor:
        """Copy an array to the backend's device."""

    @abstractmethod
    def _to_numpy(self, tensor: Tensor) -> np.ndarray:
        """Copy a tensor back."""

    def _get_kernel(self, kind: str) -> Callable[..., tuple[Tensor, ...]]:
        kernel: Callable[..., tuple[Tensor, ...]] = getattr(self, f"op_{kind}")
        return kernel

    def _train(
        self, program: Program, interval: State, batches: np.ndarray
    ) -> tuple[State, list[np.ndarray]]:
        current = {name: self._to_tensor(tensor) for name, tensor in interval.items()}
        nanonats = []
        for batch in batches:
            env = {**current, **self._load_tokens(batch[:, :-1], batch[:, 1:])}
            keep = {name + NEXT_SUFFIX for name in current} | {LOSSES}
            self._execute(program, program.step_ops, env, keep)
            nanonats.append(self._to_numpy(env[LOSSES]))
            current = {name: env[name + NEXT_SUFFIX] for name in current}
        return {name: self._to_numpy(tensor) for name, tensor in current.items()}, nanonats

    def _execute(
        self, program: Program, ops: Sequence[Op], env: Environment, keep: set[str]
    ) -> None:
        self._begin(program)
        with np.errstate(all="ignore"):
            self._execute_ops(ops, env, keep)

    def _execute_ops(self, ops: Sequence[Op], env: Environment, keep: set[str]) -> None:
        dead_names = self._get_last_uses(ops)
        for op, dead in zip(ops, dead_names, strict=True):
            results = self._get_kernel(op.kind)(op.attributes, *[env[n] for n in op.inputs])
            for name, result in zip(op.outputs, results, strict=True):
                if name:
                    env[name] = result
            for name in dead:
                if name not in keep:
                    env.pop(name, None)

    def _begin(self, program: Program) -> None:
        """Prepare kernels for a program's model; called before every list."""
        self._model = program.model

    def _evaluate(
        self, program: Program, loaded: Environment, tokens: np.ndarray, targets: np.ndarray
    ) -> Environment:
        env = {**loaded, **self._load_tokens(tokens, targets)}
        self._execute(program, program.evaluate_ops, env, {*loaded, LOGITS, LOSSES})
        return env

    def _compute_logits(
        self, program: Program, loaded: Environment, tokens: np.ndarray
    ) -> np.ndarray:
        _ensure_tokens(program, np.concatenate([tokens, tokens[:, -1:]], axis=1), 2)
        env = self._evaluate(program, loaded, tokens, tokens)
        return self._to_numpy(env[LOGITS])

    def _load_params(self, program: Program, params: State) -> Environment:
        selected = select(params, PARAM_PREFIX)
        layout = {n: e for n, e in program.state_layout.items() if n.startswith(PARAM_PREFIX)}
        if get_layout(selected) != layout:
            raise InvalidState("the params do not have the program's layout")
        return {name: self._to_tensor(tensor) for name, tensor in selected.items()}

    def _load_tokens(self, tokens: np.ndarray, targets: np.ndarray) -> Environment:
        return {
            TOKENS: self._to_tensor(tokens.astype(np.int64)),
            TARGETS: self._to_tensor(targets.astype(np.int64)),
        }

    def _get_last_uses(self, ops: Sequence[Op]) -> list[list[str]]:
        cached = self._last_uses.get(id(ops))
        if cached is None or cached[0] is not ops:
            cached = self._last_uses[id(ops)] = (ops, compute_last_uses(ops))
        return cached[1]


def _is_out_of_memory(error: Exception) -> bool:
    """Whether numpy, torch on a CPU or torch on a GPU found no memory."""
    is_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or is_torch


ADAMW_CONSTANTS = (
    "beta1",
    "one_minus_beta1",
    "beta2",
    "one_minus_beta2",
    "epsilon",
    "root_scale",
    "rate",
    "keep",
)
"""In the order in which kernels take them (`elementwise.h`, `_adamw_kernel`)."""


def compute_adamw_constants(attributes: Attributes, step: int) -> dict[str, float]:
    """Compute AdamW's float32 constants of one step, each by float64 operations rounded once.

    Args:
        attributes: of an adamw operation.
        step: 1 at the first step.

    Returns:
        float32 values: beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, root_scale
        = 1 / sqrt(1 - beta2^t), rate = lr_t / (1 - beta1^t), keep = 1 - lr_t * weight_decay.
    """
    config = OptimiserConfig(**{name: attributes[name] for name in _ADAMW_FIELDS})  # type: ignore[arg-type]
    rate = config.learning_rate
    if step < config.warmup_steps:
        rate = rate * step / config.warmup_steps
    if config.decay_steps:
        rate = rate * max(0, config.decay_steps + 1 - step) / config.decay_steps
    constants = {
        "beta1": config.beta1,
        "one_minus_beta1": 1.0 - config.beta1,
        "beta2": config.beta2,
        "one_minus_beta2": 1.0 - config.beta2,
        "epsilon": config.epsilon,
        "root_scale": float(1.0 / np.sqrt(1.0 - compute_power(config.beta2, step))),
        "rate": rate / (1.0 - compute_power(config.beta1, step)),
        "keep": 1.0 - rate * config.weight_decay,
    }
    return {name: float(np.float32(value)) for name, value in constants.items()}


_ADAMW_FIELDS = (
    "learning_rate",
    "beta1",
    "beta2",
    "epsilon",
    "weight_decay",
    "warmup_steps",
    "decay_steps",
)


def _compute_mean_losses(nanonats: list[np.ndarray]) -> np.ndarray:
    totals = [int(losses.sum(dtype=np.int64)) / (losses.size * NANO) for losses in nanonats]
    return np.array(totals, np.float64).astype(np.float32)


def _ensure_losses(nanonats: np.ndarray) -> None:
    """Refuse the loss that stands for NaN; true losses are not below zero by more than rounding."""
    if nanonats.size and nanonats.min() < -NANO:
        raise InvalidStep("a loss is a NaN or an infinity")


def _ensure_tokens(program: Program, tokens: np.ndarray, num_dims: int) -> None:
    if tokens.ndim != num_dims or tokens.dtype.kind not in "iu":
        raise InvalidState(f"tokens are {tokens.dtype} of {tokens.ndim} dimensions")
    if not 2 <= tokens.shape[-1] <= program.model.context_length + 1:
        raise InvalidState(f"sequences of {tokens.shape[-1]} tokens do not fit the context")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < program.model.vocab_size:
        raise InvalidState("a token is outside the vocabulary")
