"""Small models, states and batches for the tests of exact training."""

import numpy as np

from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.counter import compute_words, derive_key
from exact.families import build_program, fresh_optimiser, init_params
from exact.program import Program
from exact.state import State

CLIPPED = OptimiserConfig(
    learning_rate=to_float32(20_000_000),
    weight_decay=to_float32(100_000_000),
    warmup_steps=3,
    gradient_clip=to_float32(300_000_000),
)
DECAYED = OptimiserConfig(learning_rate=to_float32(10_000_000), decay_steps=3)
PLAIN = OptimiserConfig(learning_rate=to_float32(8_000_000))

# Name -> (model, optimiser, batch size); chosen so that widths, lengths and token counts are
# below, at and above the block, and no multiple of it.
CASES: dict[str, tuple[ModelConfig, OptimiserConfig, int]] = {
    "tied": (
        ModelConfig(
            vocab_size=256, context_length=16, d_model=16, num_layers=1, num_heads=2, mlp_ratio=2
        ),
        PLAIN,
        2,
    ),
    "untied-clipped": (
        ModelConfig(
            vocab_size=37,
            context_length=24,
            d_model=48,
            num_layers=2,
            num_heads=3,
            mlp_ratio=3,
            tied_head=False,
        ),
        CLIPPED,
        3,
    ),
    "long-int8": (
        ModelConfig(
            vocab_size=50,
            context_length=100,
            d_model=80,
            num_layers=1,
            num_heads=2,
            mlp_ratio=1,
            operand_max=127,
        ),
        CLIPPED,
        1,
    ),
    "small-blocks": (
        ModelConfig(
            vocab_size=19,
            context_length=12,
            d_model=24,
            num_layers=1,
            num_heads=1,
            mlp_ratio=4,
            operand_max=1023,
            block_size=16,
        ),
        PLAIN,
        4,
    ),
    "gpt-fast": (
        ModelConfig(
            vocab_size=61,
            context_length=80,
            d_model=48,
            num_layers=1,
            num_heads=2,
            mlp_ratio=2,
            operand_max=127,
            softmax_max=32_767,
        ),
        CLIPPED,
        2,
    ),
    "llama": (
        ModelConfig(
            family="llama",
            vocab_size=256,
            context_length=20,
            d_model=32,
            num_layers=2,
            num_heads=4,
            num_kv_heads=2,
            mlp_width=56,
            tied_head=False,
        ),
        DECAYED,
        3,
    ),
    "llama-tied": (
        ModelConfig(
            family="llama",
            vocab_size=41,
            context_length=70,
            d_model=40,
            num_layers=1,
            num_heads=2,
            mlp_ratio=2,
            rotary_theta=500_000,
            norm_epsilon=to_float32(10_000),
        ),
        CLIPPED,
        2,
    ),
    "llama-fast": (
        ModelConfig(
            family="llama",
            vocab_size=37,
            context_length=72,
            d_model=72,
            num_layers=1,
            num_heads=6,
            num_kv_heads=2,
            mlp_width=100,
            tied_head=False,
            operand_max=127,
            softmax_max=32_767,
        ),
        CLIPPED,
        2,
    ),
}


def build_case(
    model: ModelConfig, optimiser: OptimiserConfig, batch_size: int, num_steps: int, seed: int = 5
) -> tuple[Program, State, np.ndarray]:
    """Build a program, its first state and integer batches [steps, batch, context + 1]."""
    program = build_program(model, optimiser, batch_size)
    state = init_params(model, seed)
    state.update(fresh_optimiser(state))
    shape = (num_steps, batch_size, model.context_length + 1)
    words = compute_words(derive_key(seed, "tokens"), 0, int(np.prod(shape)))
    tokens = (words % np.uint64(model.vocab_size)).astype(np.int64)
    return program, state, (tokens & ~2).reshape(shape)
