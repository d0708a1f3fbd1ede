"""The work of one round as pure functions of what the chain and the dataset fix.

A miner calls `train_round`; an auditor calls `replay_interval` and `derive_payload` on parts of
the same round; everybody calls `compute_next_checkpoint`. All of them give the same bits on every
machine that passes `exact.probe`.

Shape letters: H inner steps, B sequences a step, L context length, k steps an interval.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exact import codec, state
from exact.data import sampling
from exact.state import State
from miner.setup import RunSetup
from scoring import aggregation


@dataclass(frozen=True)
class RoundWork:
    """What one miner made in one round.

    Attributes:
        interval_states: states at steps 0, k, 2k ... H (param, adam_m, adam_v, adam_t).
        interval_roots: their roots, 32 bytes each.
        trace_root: the root over them.
        payload: the bytes to serve.
        optimiser: adam_m, adam_v, adam_t, feedback after the round.
        losses: mean loss a step in nats per token; for people only.
    """

    interval_states: tuple[State, ...]
    interval_roots: tuple[bytes, ...]
    trace_root: bytes
    payload: bytes
    optimiser: State
    losses: tuple[float, ...]


def get_batches(setup: RunSetup, round_index: int, beacon: bytes, uid: int) -> np.ndarray:
    """Gather a miner's assigned tokens of a round.

    Returns:
        uint8, shape [H, B, L + 1].
    """
    work = setup.spec.work
    indices = sampling.assigned_sequences(
        setup.num_train_sequences,
        setup.run_id,
        round_index,
        beacon,
        uid,
        work.inner_steps * work.batch_size,
    )
    tokens = sampling.gather(setup.dataset.train, indices, setup.context_length)
    return tokens.reshape(work.inner_steps, work.batch_size, setup.context_length + 1)


def train_round(
    setup: RunSetup,
    theta: Mapping[str, np.ndarray],
    optimiser: Mapping[str, np.ndarray],
    batches: np.ndarray,
    header: codec.PayloadHeader,
) -> RoundWork:
    """Train H steps from a checkpoint and compress what they changed.

    Args:
        setup: of the run.
        theta: `param/` tensors of the round's checkpoint.
        optimiser: carried adam_m, adam_v, adam_t, feedback.
        batches: uint8 [H, B, L + 1], from `get_batches`.
        header: run, round and uid for the payload.

    Raises:
        InvalidStep: a step met a NaN or an infinity.
    """
    step_count = setup.spec.work.interval_steps
    current = state.select_interval({**theta, **optimiser})
    states = [current]
    losses: list[float] = []
    for start in range(0, len(batches), step_count):
        current, step_losses = setup.train_interval(current, batches[start : start + step_count])
        states.append(current)
        losses.extend(float(loss) for loss in step_losses)
    roots = tuple(state.interval_root(s) for s in states)
    payload, feedback = derive_payload(setup, theta, current, optimiser, header)
    carried = state.select_optimiser({**current, **feedback})
    return RoundWork(
        interval_states=tuple(states),
        interval_roots=roots,
        trace_root=state.compute_trace_root(roots),
        payload=payload,
        optimiser=carried,
        losses=tuple(losses),
    )


def derive_payload(
    setup: RunSetup,
    theta: Mapping[str, np.ndarray],
    final: Mapping[str, np.ndarray],
    optimiser_in: Mapping[str, np.ndarray],
    header: codec.PayloadHeader,
) -> tuple[bytes, State]:
    """Compress theta - final with error feedback.

    Returns:
        The payload and the `feedback/` tensors that remain.
    """
    start_params = state.strip_prefix(theta, state.PARAM_PREFIX)
    final_params = state.strip_prefix(final, state.PARAM_PREFIX)
    feedback = state.strip_prefix(optimiser_in, state.FEEDBACK_PREFIX)
    delta = {name: start_params[name] - final_params[name] for name in start_params}
    payload, remaining = codec.compress(delta, feedback, setup.codec, header)
    return payload, state.add_prefix(remaining, state.FEEDBACK_PREFIX)


def replay_interval(
    setup: RunSetup, start: State, batches: np.ndarray, inside_step: int
) -> tuple[bytes, bytes]:
    """Execute one interval again.

    Args:
        setup: of the run.
        start: interval state at its beginning.
        batches: uint8 [k, B, L + 1] of this interval.
        inside_step: 1..k, after which the inside root is taken.

    Returns:
        State root after `inside_step` steps, and after all k steps.
    """
    middle, _ = setup.train_interval(start, batches[:inside_step])
    inside_root = state.interval_root(middle)
    if inside_step == len(batches):
        return inside_root, inside_root
    end, _ = setup.train_interval(middle, batches[inside_step:])
    return inside_root, state.interval_root(end)


def compute_next_checkpoint(
    setup: RunSetup, theta: Mapping[str, np.ndarray], updates: Mapping[int, codec.SparseUpdate]
) -> State:
    """Apply the outer step with the accepted payloads.

    Args:
        setup: of the run.
        theta: `param/` tensors of the round's checkpoint.
        updates: decoded payloads by uid; with none, theta is returned.

    Returns:
        `param/` tensors of the next checkpoint.
    """
    params = state.strip_prefix(theta, state.PARAM_PREFIX)
    stepped = aggregation.compute_outer_step(params, updates, setup.outer_learning_rate)
    return state.add_prefix(stepped, state.PARAM_PREFIX)
