"""Recorded training steps for the tests of the referee."""

from functools import cache

from exact.backends import load_backend
from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.families import build_program
from exact.referee.trace import StepTrace, record_step
from tests.exact.helpers import build_case

OPTIMISER = OptimiserConfig(
    learning_rate=to_float32(20_000_000),
    weight_decay=to_float32(100_000_000),
    warmup_steps=5,
    gradient_clip=to_float32(100_000_000),
)
# Together they hold every kind of operation.
MODELS = {
    "gpt": ModelConfig(
        vocab_size=37, context_length=20, d_model=72, num_layers=2, num_heads=3, tied_head=True
    ),
    "llama": ModelConfig(
        family="llama",
        vocab_size=50,
        context_length=18,
        d_model=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        mlp_width=70,
        tied_head=False,
        operand_max=127,
        softmax_max=32_767,
    ),
}


@cache
def record(name: str, is_cut: bool = True) -> StepTrace:
    """Record the third step of a training by the definition."""
    program, state, batches = build_case(MODELS[name], OPTIMISER, 4, num_steps=3)
    if is_cut:
        program = build_program(MODELS[name], OPTIMISER, 4, num_parts=2, recompute=True)
    backend = load_backend("numpy")
    state = backend.train_interval(program, state, batches[:2])
    return record_step(backend, program, state, batches[2])
