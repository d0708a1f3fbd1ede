"""Golden-trace self-test: does this device reproduce the published bits of a small training?

A participant runs it before registering. The programs, one of each family, touch every operation,
blocks that do not divide the widths, parts of a batch, the clip and the weight decay; their step
roots are constants of this file, so a device that rounds anything differently is told at which
step.
"""

import numpy as np

from exact.backends import AUTO, get_fastest, load_backend, tell_fallback
from exact.backends.base import Backend
from exact.config import ModelConfig, OptimiserConfig, to_float32
from exact.counter import compute_words, derive_key
from exact.errors import InvalidStep, UnfaithfulDevice
from exact.families import build_program, fresh_optimiser, init_params
from exact.program import Program
from exact.state import State, compute_state_root, compute_trace_root, interval_root

PROBE_SEED = 7
PROBE_STEPS = 4
PROBE_BATCH = 3
PROBE_MODEL = ModelConfig(
    vocab_size=256, context_length=72, d_model=80, num_layers=2, num_heads=2, mlp_ratio=2
)
PROBE_OPTIMISER = OptimiserConfig(
    learning_rate=to_float32(10_000_000),
    weight_decay=to_float32(100_000_000),
    warmup_steps=2,
    gradient_clip=to_float32(500_000_000),
)
# The other family: gains, grouped queries, SwiGLU, a batch in parts, a decayed rate.
LLAMA_MODEL = ModelConfig(
    family="llama",
    vocab_size=256,
    context_length=70,
    d_model=72,
    num_layers=1,
    num_heads=6,
    num_kv_heads=2,
    mlp_width=100,
    tied_head=False,
)
LLAMA_OPTIMISER = OptimiserConfig(learning_rate=to_float32(10_000_000), decay_steps=4)
LLAMA_BATCH = 4
LLAMA_PARTS = 2
# State roots after 0, 1, 2 ... steps, made by the numpy definition.
GOLDEN_STEP_ROOTS: tuple[str, ...] = (
    "0ec07b2115ed5509b8054eb7743dd9c980e81468d54467f1b979b639eb4bfae1",
    "fc3c4cd1869574e01b1e7365aa5a1191294573d716a6a673937040d0e2ac2832",
    "928c51d17834386b5765324287db424b5a8d92fbe3a957af2a7dc2744a73867c",
    "427ba3436a3868292af9ada391c7d6b527c2015554a2106bf3615ec00476f8b2",
    "c1e776a0c695790b1b3f0b684cabe4eef2b3d34355936a4d222f91e0808ba600",
)
# Root of {"nanonats": losses of the probe's sequences under the last weights}.
GOLDEN_LOSS_ROOT = "de3b6a352db6658532fc1926db839678477ab1973bec2a4e50706893ca47e3c5"
LLAMA_STEP_ROOTS: tuple[str, ...] = (
    "547a3c9583bf6e5f4819c6efc3dca35d21f2a4a334d9a1fbc350abc526e55202",
    "5b6f8228c86042f5fddb13bcc9f4f054f699425e0a95616443ab44cd1915b660",
    "6d4bb9f2f890d48d04aa1933a9c9f7a69fba97cd5dc4efea274863735956b0a1",
    "f17126a81647cf014ae872cc895bb8708e54556778ee7536413da05c1859390d",
    "9e7c05a0083a5b2c52f29ce20f32c91df99c14d8ba8c0878f13fa8fc894d53b2",
)
LLAMA_LOSS_ROOT = "f066df9e58baf30c517181edc7895d3d3f3909c270ca3438ca8d2819390a70f2"
GOLDEN = {
    "gpt": (GOLDEN_STEP_ROOTS, GOLDEN_LOSS_ROOT),
    "llama": (LLAMA_STEP_ROOTS, LLAMA_LOSS_ROOT),
}


def build_probe(family: str = "gpt") -> tuple[Program, State, np.ndarray]:
    """Build a family's program, first state and batches.

    Returns:
        (program, interval state, int64 [steps, batch, context + 1]).
    """
    if family == "gpt":
        model, batch_size = PROBE_MODEL, PROBE_BATCH
        program = build_program(model, PROBE_OPTIMISER, batch_size)
    else:
        model, batch_size = LLAMA_MODEL, LLAMA_BATCH
        program = build_program(model, LLAMA_OPTIMISER, batch_size, LLAMA_PARTS)
    state = init_params(model, PROBE_SEED)
    state.update(fresh_optimiser(state))
    shape = (PROBE_STEPS, batch_size, model.context_length + 1)
    words = compute_words(derive_key(PROBE_SEED, "probe"), 0, int(np.prod(shape)))
    # Repeated bytes give something to learn, and duplicate rows to the embedding's gradient.
    tokens = (words % np.uint64(model.vocab_size)).astype(np.int64) & 0x5F
    return program, state, tokens.reshape(shape)


def compute_probe_roots(backend: Backend, family: str = "gpt") -> tuple[list[str], str]:
    """Run the probe of a family.

    Returns:
        (state roots after each step, the losses' root), hexadecimal.

    Raises:
        InvalidStep: the device produced a NaN or an infinity.
    """
    program, state, batches = build_probe(family)
    roots = [interval_root(state).hex()]
    for batch in batches:
        state = backend.train_interval(program, state, batch[None])
        roots.append(interval_root(state).hex())
    losses = backend.sequence_losses(program, state, batches.reshape(-1, batches.shape[-1]))
    return roots, compute_state_root({"nanonats": losses}).hex()


def ensure_faithful(backend: Backend) -> bytes:
    """Refuse a device that does not reproduce the golden traces.

    Args:
        backend: from `load_backend`.

    Returns:
        The trace root of the gpt probe, 32 bytes.

    Raises:
        UnfaithfulDevice: the message names the first step that differs.
    """
    for family in GOLDEN:
        _ensure_family(backend, family)
    return compute_trace_root([bytes.fromhex(root) for root in GOLDEN_STEP_ROOTS])


def _ensure_family(backend: Backend, family: str) -> None:
    step_roots, golden_loss_root = GOLDEN[family]
    try:
        roots, loss_root = compute_probe_roots(backend, family)
    except InvalidStep as error:
        raise UnfaithfulDevice(f"the golden trace is invalid on this device: {error}") from error
    for step, (root, golden) in enumerate(zip(roots, step_roots, strict=True)):
        if root != golden:
            raise UnfaithfulDevice(
                f"backend {backend.name} on this device does not reproduce the golden trace of "
                f"{family}: step {step} gives {root}, expected {golden}. Its arithmetic is not "
                f"that of the protocol; every audit would fail."
            )
    if loss_root != golden_loss_root:
        raise UnfaithfulDevice(
            f"backend {backend.name} on this device computes other losses of {family} than the "
            f"golden ones"
        )


def load_faithful_backend(name: str = AUTO, device: str = "cpu") -> Backend:
    """Load a backend that reproduces the golden trace.

    Args:
        name: as for `load_backend`; "auto" takes the kernels for the device if they are faithful,
            else torch, and logs why.
        device: a torch device, for example "cpu" or "cuda".

    Raises:
        UnfaithfulDevice: none does.
    """
    if name == AUTO:
        try:
            return load_faithful_backend(get_fastest(device), device)
        except UnfaithfulDevice as error:
            tell_fallback(error)
            name = "torch"
    backend = load_backend(name, device)
    ensure_faithful(backend)
    return backend
