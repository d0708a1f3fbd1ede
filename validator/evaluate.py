"""Loss with and without each payload, in exact integers.

All miners are measured on the same held-out sequences and each on a sample of its own assigned
ones, both drawn with a beacon value that nobody knew when payloads were committed. A loss is a sum
of per-sequence integers in nano-nats (10^-9 nats), so it is the same on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exact import codec, state
from exact.data import sampling
from exact.state import State
from miner.setup import RunSetup
from proto.descent.rounds.v1 import rounds_pb2
from scoring import aggregation


@dataclass(frozen=True)
class Draw:
    """Sequences a loss is measured on.

    Attributes:
        indices: sequence numbers in their stream, int64 [n].
        tokens: uint8 [n, L + 1].
        base_losses: nano-nats a sequence under theta_r, int64 [n].
    """

    indices: np.ndarray
    tokens: np.ndarray
    base_losses: np.ndarray

    @property
    def num_tokens(self) -> int:
        """Tokens predicted in the draw."""
        return self.tokens.shape[0] * (self.tokens.shape[1] - 1)


@dataclass(frozen=True)
class Gain:
    """What one payload alone changes on one draw.

    Attributes:
        draw: what it was measured on.
        losses: nano-nats a sequence with the payload applied, int64 [n].
    """

    draw: Draw
    losses: np.ndarray

    @property
    def nanonats(self) -> int:
        """Loss before minus after, nano-nats a token, rounded down."""
        before = sum(int(loss) for loss in self.draw.base_losses)
        after = sum(int(loss) for loss in self.losses)
        return (before - after) // self.draw.num_tokens


def draw_heldout(setup: RunSetup, theta: State, round_info: rounds_pb2.Round) -> Draw:
    """Draw the round's held-out sequences and measure theta_r on them."""
    indices = sampling.heldout_draw(
        setup.num_heldout_sequences,
        setup.run_id,
        round_info.index,
        round_info.judge_beacon,
        setup.spec.judge.num_heldout_sequences,
    )
    return _make_draw(setup, theta, setup.dataset.heldout, indices)


def draw_assigned(setup: RunSetup, theta: State, round_info: rounds_pb2.Round, uid: int) -> Draw:
    """Draw a sample of one miner's assigned sequences and measure theta_r on them."""
    work = setup.spec.work
    assigned = sampling.assigned_sequences(
        setup.num_train_sequences,
        setup.run_id,
        round_info.index,
        round_info.beacon,
        uid,
        work.inner_steps * work.batch_size,
    )
    indices = sampling.assigned_eval(
        assigned,
        setup.run_id,
        round_info.index,
        round_info.judge_beacon,
        uid,
        setup.spec.judge.num_assigned_sequences,
    )
    return _make_draw(setup, theta, setup.dataset.train, indices)


def compute_gain(setup: RunSetup, stepped: State, draw: Draw) -> Gain:
    """Measure one draw again after a payload was applied."""
    losses = setup.compute_losses(stepped, draw.tokens)
    return Gain(draw=draw, losses=losses)


def apply_part(
    setup: RunSetup, theta: State, update: codec.SparseUpdate, num_accepted: int
) -> State:
    """Apply one payload's part of the outer step: 1 / n of it, as settlement does.

    The whole step is too long a way for one payload: honest ones then fail to improve in one round
    of four (`python -m bench.honest_rounds`).

    Args:
        setup: of the run.
        theta: `param/` tensors of the round's checkpoint.
        update: the payload.
        num_accepted: payloads in the round's mean, from the chain; 0 counts as 1.
    """
    params = state.strip_prefix(theta, state.PARAM_PREFIX)
    stepped = aggregation.compute_part_step(
        params, update, setup.outer_learning_rate, max(1, num_accepted)
    )
    return state.add_prefix(stepped, state.PARAM_PREFIX)


def compute_mean_loss(draw: Draw) -> int:
    """Return theta_r's loss on a draw in nano-nats a token, rounded down."""
    return sum(int(loss) for loss in draw.base_losses) // draw.num_tokens


def _make_draw(
    setup: RunSetup, theta: Mapping[str, np.ndarray], stream: np.ndarray, indices: np.ndarray
) -> Draw:
    tokens = sampling.gather(stream, indices, setup.context_length)
    losses = setup.compute_losses(theta, tokens)
    return Draw(indices=indices, tokens=tokens, base_losses=losses)
