"""Training steps: forward, backward and optimiser as one static list.

A batch may be cut into parts, whose gradients are added in ascending order (accumulation): the
activations of one part live at a time. Names of a part begin with its prefix.
"""

from collections.abc import Iterator, Sequence

from exact.config import ModelConfig, OptimiserConfig
from exact.gradients import Differentiator
from exact.program import LOSSES, NEXT_SUFFIX, TARGETS, TOKENS, Op
from exact.state import ADAM_M_PREFIX, ADAM_T_NAME, ADAM_V_PREFIX, PARAM_PREFIX

Segments = Sequence[Sequence[Op]]


def build_step_ops(
    segments: Segments,
    param_names: Sequence[str],
    model: ModelConfig,
    optimiser: OptimiserConfig,
    batch_size: int,
    num_parts: int = 1,
    recompute: bool = False,
) -> tuple[Op, ...]:
    """Extend a forward list with its backward pass and the optimiser.

    Args:
        segments: the forward list in segments; reads `param/<name>`, tokens and targets; ends in a
            cross_entropy.
        param_names: without prefix; every one is updated, in this order.
        model: of the forward list.
        optimiser: AdamW's numbers.
        batch_size: sequences a step, a multiple of num_parts.
        num_parts: parts of a batch whose gradients are accumulated.
        recompute: make the values inside a layer again in the backward pass.

    Returns:
        The whole step; outputs are the state's names with NEXT_SUFFIX.
    """
    differentiator = Differentiator(segments, {TOKENS, TARGETS}, model, recompute, num_parts)
    gradients = differentiator.run()
    ops = [op for segment in segments for op in segment] + differentiator.ops
    names = {name: gradients[PARAM_PREFIX + name] for name in param_names}
    if num_parts > 1:
        ops, names = _accumulate(ops, names, batch_size, num_parts)
    if optimiser.gradient_clip:
        clip = {"gradient_clip": optimiser.gradient_clip}
        ops.append(Op("clip_scale", tuple(names.values()), ("clip_scale",), clip))
        for name, gradient in names.items():
            names[name] = f"clipped/{name}"
            ops.append(Op("scale", (gradient, "clip_scale"), (names[name],)))
    ops.append(Op("advance", (ADAM_T_NAME,), (ADAM_T_NAME + NEXT_SUFFIX,)))
    ops.extend(_build_adamw(name, gradient, optimiser) for name, gradient in names.items())
    return tuple(ops)


def _accumulate(
    ops: Sequence[Op], gradients: dict[str, str], batch_size: int, num_parts: int
) -> tuple[list[Op], dict[str, str]]:
    """Repeat a list for every part of the batch and add the gradients part by part."""
    result: list[Op] = []
    totals: dict[str, str] = {}
    count = batch_size // num_parts
    for index in range(num_parts):
        prefix = f"part{index:04d}/"
        result += _take_part(prefix, index * count, count)
        result += [_put_in_part(op, prefix) for op in ops]
        for name, gradient in gradients.items():
            term = prefix + gradient
            if name in totals:
                total = f"{prefix}sum/{name}"
                result.append(Op("add", (totals[name], term), (total,)))
                term = total
            totals[name] = term
    losses = tuple(f"part{index:04d}/{LOSSES}" for index in range(num_parts))
    result.append(Op("join_sequences", losses, (LOSSES,)))
    return result, totals


def _take_part(prefix: str, first: int, count: int) -> Iterator[Op]:
    for name in (TOKENS, TARGETS):
        part = {"first": first, "count": count}
        yield Op("take_sequences", (name,), (prefix + name,), part)


def _put_in_part(op: Op, prefix: str) -> Op:
    inputs = tuple(n if n.startswith(PARAM_PREFIX) else prefix + n for n in op.inputs)
    outputs = tuple(prefix + n if n else n for n in op.outputs)
    return Op(op.kind, inputs, outputs, op.attributes)


def _build_adamw(name: str, gradient: str, optimiser: OptimiserConfig) -> Op:
    param, m, v = PARAM_PREFIX + name, ADAM_M_PREFIX + name, ADAM_V_PREFIX + name
    return Op(
        "adamw",
        (param, gradient, m, v, ADAM_T_NAME + NEXT_SUFFIX),
        (param + NEXT_SUFFIX, m + NEXT_SUFFIX, v + NEXT_SUFFIX),
        {
            "learning_rate": optimiser.learning_rate,
            "beta1": optimiser.beta1,
            "beta2": optimiser.beta2,
            "epsilon": optimiser.epsilon,
            "weight_decay": optimiser.weight_decay,
            "warmup_steps": optimiser.warmup_steps,
            "decay_steps": optimiser.decay_steps,
        },
    )
