"""The fast twin: the same bits as the definition, by torch operations on CPU or CUDA.

What makes it equal is written in `numpy_backend.py`; how it is made fast:

- quantised operands keep their scale, so an ordinary fp32 product of a block is exact: every
  partial sum is an integer of at most 2^24 times one power of two; where operands are wider, the
  product runs in float64 and is rounded once;
- rounding to a grid is (x + c) - c with c = 1.5 * 2^23 grid units: two exact-by-construction adds;
- integer sums run in float64, where every partial sum is an integer below 2^53;
- parameters and moments are flat, so the optimiser is one pass.

A magnitude that the definition refuses becomes NaN here (its grid constant overflows), and NaN
reaches the losses or the state, which are checked.

Never used: TF32, reduced precision, softmax, layer_norm, float sums, addcmul, lerp, add(alpha=),
division by a Python scalar, float32 sqrt, compiled kernels: each rounds differently somewhere.
"""

import functools
import logging
from typing import Any

import numpy as np
import torch

from exact.backends.base import Backend, compute_adamw_constants
from exact.config import FLOAT32_ACCUMULATOR_LIMIT
from exact.elementary import (
    EXP2_COEFFICIENTS,
    EXP2_MIN,
    LN_2,
    LOG2_COEFFICIENTS,
    LOG2_E,
    ROTARY_BASE,
    SIGMOID_EXP2_MIN,
    SQRT_2,
    compute_rotary_table,
)
from exact.errors import UnfaithfulDevice
from exact.program import LOSSES, NEXT_SUFFIX, Attributes, Op, Program
from exact.state import ADAM_M_PREFIX, ADAM_T_NAME, ADAM_V_PREFIX, PARAM_PREFIX, State

_log = logging.getLogger(__name__)

Tensor = torch.Tensor
Result = tuple[Tensor, ...]

_EXPONENT_MASK = 0x7F800000
_ONE_BITS = 0x3F800000
# Block maxima of 2^59 and more overflow when multiplied by this, those below 2^-55 are raised.
_RANGE_SCALE = 2.0**69
_RANGE_FLOOR = 2.0**14
_ROUND = 1.5 * 2.0**23
_SUM_FLOOR = 2.0**-100
_SUM_MAGIC = 6.0


@functools.cache
def set_determinism() -> str:
    """Set torch's process-wide switches once.

    Returns:
        Fingerprint of versions and switches, which is also logged.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_flush_denormal(False)
    fingerprint = (
        f"torch {torch.__version__}, numpy {np.__version__}, "
        f"cpu {torch.backends.cpu.get_cpu_capability()}, "
        f"mkl {torch.backends.mkl.is_available()}, cuda {torch.version.cuda}"
    )
    _log.info("exact training on %s", fingerprint)
    return fingerprint


class TorchBackend(Backend):
    """Executes programs with torch on one device.

    Attributes:
        device: the torch device.
    """

    name = "torch"

    def __init__(self, device: str = "cpu"):
        """Open a device and test it.

        Args:
            device: a torch device name.

        Raises:
            UnfaithfulDevice: it is missing or its products are not exact.
        """
        super().__init__()
        set_determinism()
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise UnfaithfulDevice(f"no torch device {device!r}: {error}") from error
        self._tables: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}
        self._masks: dict[int, Tensor] = {}
        self._ensure_exact_products()

    def _ensure_exact_products(self) -> None:
        """Multiply saturated operands, whose sums need all bits of an accumulator.

        Raises:
            UnfaithfulDevice: products in float32 are not exact.
        """
        if not self._is_exact(511, 511, torch.float32):
            raise UnfaithfulDevice(f"fp32 products on {self.device} are not exact")
        if not self._is_exact(32_767, 1_023, torch.float64):
            _log.warning("fp64 products on %s are not exact: operands up to 2^9", self.device)
            self.largest_exact_dot = FLOAT32_ACCUMULATOR_LIMIT

    def _is_exact(self, a_max: int, b_max: int, dtype: torch.dtype) -> bool:
        rng = np.random.Generator(np.random.Philox(0))
        a = rng.choice([-a_max, a_max], (64, 64))
        b = rng.integers(-b_max, b_max + 1, (64, 64))
        a[0], b[0] = a_max, b_max
        try:
            left, right = (self._to_tensor(x.astype(np.float32)).to(dtype) for x in (a, b))
            product = self._to_numpy(left @ right.T)
        except (RuntimeError, TypeError):
            return False
        return np.array_equal(product.astype(np.int64), a @ b.T)

    def get_free_bytes(self) -> int:
        """Bytes that the device can still give."""
        if self.device.type != "cuda":
            return super().get_free_bytes()
        return int(torch.cuda.mem_get_info(self.device)[0])

    # ------------------------------------------------------------------------------------ moving
    def _to_tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)

    def _to_numpy(self, tensor: Tensor) -> np.ndarray:
        array: np.ndarray = tensor.cpu().numpy()
        return array.copy()

    def _execute(self, *args: Any) -> None:
        with torch.inference_mode():
            super()._execute(*args)

    # --------------------------------------------------------------------------- training, fused
    def _train(
        self, program: Program, interval: State, batches: np.ndarray
    ) -> tuple[State, list[np.ndarray]]:
        names = list(program.param_shapes)
        flat = {
            prefix: self._to_tensor(
                np.concatenate([interval[prefix + name].reshape(-1) for name in names])
            )
            for prefix in (PARAM_PREFIX, ADAM_M_PREFIX, ADAM_V_PREFIX)
        }
        step = int(interval[ADAM_T_NAME])
        tokens = self._to_tensor(batches.astype(np.int64))
        nanonats = []
        with torch.inference_mode():
            for batch in tokens:
                step += 1
                nanonats.append(self._train_step(program, flat, batch, step))
        state = {ADAM_T_NAME: np.array(step, np.int64)}
        for prefix, tensor in flat.items():
            for name, part in self._split(program, tensor).items():
                state[prefix + name] = self._to_numpy(part)
        return dict(sorted(state.items())), [self._to_numpy(losses) for losses in nanonats]

    def _train_step(
        self, program: Program, flat: dict[str, Tensor], batch: Tensor, step: int
    ) -> Tensor:
        """Run forward and backward from the list, then the optimiser on flat tensors."""
        plan = _plan(program)
        env: dict[str, Tensor] = {"tokens": batch[:, :-1], "targets": batch[:, 1:]}
        params = self._split(program, flat[PARAM_PREFIX])
        env.update({PARAM_PREFIX + name: part for name, part in params.items()})
        self._execute(program, plan.gradient_ops, env, {LOSSES, *plan.gradients})
        gradient = torch.cat([env[name].reshape(-1) for name in plan.gradients])
        if program.optimiser.gradient_clip:
            (scalar,) = self.op_clip_scale(plan.clip, gradient)
            (gradient,) = self.op_scale({}, gradient, scalar)
        results = self._apply_adamw(
            plan.adamw,
            flat[PARAM_PREFIX],
            gradient,
            flat[ADAM_M_PREFIX],
            flat[ADAM_V_PREFIX],
            step,
        )
        flat[PARAM_PREFIX], flat[ADAM_M_PREFIX], flat[ADAM_V_PREFIX] = results
        return env[LOSSES]

    @staticmethod
    def _split(program: Program, tensor: Tensor) -> dict[str, Tensor]:
        sizes = [int(np.prod(shape)) for shape in program.param_shapes.values()]
        parts = torch.split(tensor, sizes)
        items = zip(program.param_shapes.items(), parts, strict=True)
        return {name: part.view(shape) for (name, shape), part in items}

    # --------------------------------------------------------------------------- the three rules
    @staticmethod
    def _quantise(x: Tensor, dim: int, operand_max: int) -> Tensor:
        """Round x to integers times its blocks' scales; dim is the block's axis."""
        scale = 2.0 ** (1 - operand_max.bit_length()) / _RANGE_SCALE
        power = x.abs().amax(dim, keepdim=True).view(torch.int32)
        power = power.bitwise_and_(_EXPONENT_MASK).view(torch.float32)
        power = power.mul_(_RANGE_SCALE).clamp_min_(_RANGE_FLOOR)
        limit, magic = power * (operand_max * scale), power * (_ROUND * scale)
        q = torch.minimum(x, limit)
        q = torch.maximum(q, limit.neg_(), out=q)
        return q.add_(magic).sub_(magic)

    def _get_blocks(self, x: Tensor, k_first: bool, operand_max: int, size: int) -> list[Tensor]:
        """Quantise an operand and cut it into blocks of [.., rows, block]."""
        length = x.shape[-2] if k_first else x.shape[-1]
        whole = length - length % size
        blocks: list[Tensor] = []
        dim = -2 if k_first else -1
        if whole:
            head = x.narrow(dim, 0, whole)
            if whole == size:
                blocks.append(self._quantise(head, dim, operand_max))
            elif k_first:
                q = self._quantise(head.unflatten(-2, (-1, size)), -2, operand_max)
                blocks.extend(q.unbind(-3))
            else:
                q = self._quantise(head.unflatten(-1, (-1, size)), -1, operand_max)
                blocks.extend(q.unbind(-2))
        if whole < length:
            rest = x.narrow(dim, whole, length - whole)
            blocks.append(self._quantise(rest, dim, operand_max))
        return [q.transpose(-1, -2) for q in blocks] if k_first else blocks

    @staticmethod
    def _to_grid(x: Tensor, largest: Tensor) -> Tensor:
        """Round to multiples of 2^-21 of the largest magnitude's power of two."""
        power = (largest.view(torch.int32) & _EXPONENT_MASK).view(torch.float32)
        magic = power.clamp_min_(_SUM_FLOOR).mul_(_SUM_MAGIC)
        return (x + magic).sub_(magic)

    def _fixed_sum(self, x: Tensor) -> Tensor:
        terms = self._to_grid(x, x.abs().amax(-1, keepdim=True))
        return terms.sum(-1, keepdim=True, dtype=torch.float64).float()

    @staticmethod
    def _exp2(y: Tensor, lowest: float) -> Tensor:
        """Compute 2^max(y, lowest); y is overwritten."""
        y.clamp_min_(lowest)
        shifted = y + _ROUND
        y.sub_(shifted - _ROUND)
        poly = y * EXP2_COEFFICIENTS[-1]
        for coefficient in EXP2_COEFFICIENTS[-2::-1]:
            poly.add_(coefficient).mul_(y)
        poly.add_(1.0)
        bits = shifted.view(torch.int32).bitwise_left_shift_(23).add_(_ONE_BITS)
        return poly.mul_(bits.view(torch.float32))

    def _exp2_on_grid(self, y: Tensor) -> Tensor:
        """Compute 2^y on the 2^-23 grid; y is overwritten."""
        return self._exp2(y, EXP2_MIN).add_(1.0).sub_(1.0)

    def _sigmoid(self, x: Tensor) -> Tensor:
        power = self._exp2(x.abs().mul_(LOG2_E).neg_(), SIGMOID_EXP2_MIN)
        numerator = torch.where(x >= 0, 1.0, power)
        return numerator.div_(power.add_(1.0))

    @staticmethod
    def _log2(x: Tensor) -> Tensor:
        bits = x.view(torch.int64)
        exponent = (bits >> 52) - 1023
        mantissa = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(torch.float64)
        is_high = mantissa > SQRT_2
        mantissa = torch.where(is_high, mantissa * 0.5, mantissa)
        exponent = exponent + is_high
        t = (mantissa - 1.0) / (mantissa + 1.0)
        square = t * t
        series = torch.full_like(t, LOG2_COEFFICIENTS[-1])
        for coefficient in LOG2_COEFFICIENTS[-2::-1]:
            series = series * square
            series = series + coefficient
        return series * t + exponent.double()

    # --------------------------------------------------------------------------------- embedding
    def op_embed(self, attributes: Attributes, tokens: Tensor, table: Tensor) -> Result:
        """See the definition."""
        return (table[tokens],)

    def op_embed_grad(self, attributes: Attributes, tokens: Tensor, dx: Tensor) -> Result:
        """See the definition."""
        terms = self._to_grid(dx, dx.abs().amax()).flatten(0, -2).double()
        shape = (int(attributes["vocab_size"]), dx.shape[-1])
        sums = torch.zeros(shape, dtype=torch.float64, device=self.device)
        return (sums.index_add_(0, tokens.reshape(-1), terms).float(),)

    # ------------------------------------------------------------------------------- elementwise
    def op_add(self, attributes: Attributes, a: Tensor, b: Tensor) -> Result:
        """See the definition."""
        return (a + b,)

    def op_scale(self, attributes: Attributes, a: Tensor, scalar: Tensor) -> Result:
        """See the definition."""
        return (a * scalar,)

    def op_relu_square(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        positive = torch.relu(x)
        return (positive.mul_(positive),)

    def op_relu_square_grad(self, attributes: Attributes, dy: Tensor, x: Tensor) -> Result:
        """See the definition."""
        return (torch.relu(x).mul_(2.0).mul_(dy),)

    def op_silu_gate(self, attributes: Attributes, gate: Tensor, up: Tensor) -> Result:
        """See the definition."""
        return (self._sigmoid(gate).mul_(gate).mul_(up),)

    def op_silu_gate_grad(
        self, attributes: Attributes, da: Tensor, gate: Tensor, up: Tensor
    ) -> Result:
        """See the definition."""
        s = self._sigmoid(gate)
        slope = torch.ones_like(s).sub_(s).mul_(gate).add_(1.0).mul_(s)
        return (da * up).mul_(slope), s.mul_(gate).mul_(da)

    # ------------------------------------------------------------------------------------- norms
    def op_rms_norm(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        mean = self._fixed_sum(x * x).mul_(_round(1.0 / x.shape[-1]))
        inverse = _sqrt(mean.add_(attributes["epsilon"])).reciprocal_()
        return x * inverse, inverse

    def op_rms_norm_grad(
        self, attributes: Attributes, dy: Tensor, y: Tensor, inverse: Tensor
    ) -> Result:
        """See the definition."""
        mean = self._fixed_sum(dy * y).mul_(_round(1.0 / y.shape[-1]))
        product = y * mean
        return (torch.sub(dy, product, out=product).mul_(inverse),)

    def op_gain(self, attributes: Attributes, y: Tensor, weight: Tensor) -> Result:
        """See the definition."""
        return (y * weight,)

    def op_gain_grad(self, attributes: Attributes, dz: Tensor, y: Tensor) -> Result:
        """See the definition."""
        product = (dz * y).flatten(0, -2)
        terms = self._to_grid(product, product.abs().amax(0, keepdim=True))
        return (terms.sum(0, dtype=torch.float64).float(),)

    # ------------------------------------------------------------------------------------ matmul
    def op_matmul(self, attributes: Attributes, a: Tensor, b: Tensor) -> Result:
        """See the definition."""
        lead = a.shape[:-1]
        flatten, a_k_first = attributes["flatten"], bool(attributes["a_k_first"])
        if flatten:
            a, b = a.flatten(0, -2), b.flatten(0, -2)
        total: Tensor | None = None
        a_max, b_max = int(attributes["a_max"]), int(attributes["b_max"])
        size = int(attributes["block_size"])
        is_wide = a_max * b_max * size > FLOAT32_ACCUMULATOR_LIMIT
        left = self._get_blocks(a, a_k_first, a_max, size)
        right = self._get_blocks(b, bool(attributes["b_k_first"]), b_max, size)
        for block_a, block_b in zip(left, right, strict=True):
            if is_wide:
                block_a, block_b = block_a.double(), block_b.double()
            product = torch.matmul(block_a, block_b.transpose(-1, -2)).float()
            total = product if total is None else total.add_(product)
        assert total is not None, "a contraction over nothing"
        if flatten and not a_k_first:
            total = total.view(*lead, -1)
        return (total,)

    # --------------------------------------------------------------------------------- attention
    def op_split_heads(self, attributes: Attributes, qkv: Tensor) -> Result:
        """See the definition."""
        heads = int(attributes["num_heads"])
        parts = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).contiguous()
        return tuple(parts.unbind(0))

    def op_split_heads_grad(
        self, attributes: Attributes, dq: Tensor, dk: Tensor, dv: Tensor
    ) -> Result:
        """See the definition."""
        return (torch.stack([dq, dk, dv]).permute(1, 3, 0, 2, 4).flatten(2),)

    def op_merge_heads(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        return (x.transpose(1, 2).flatten(2),)

    def op_merge_heads_grad(self, attributes: Attributes, dx: Tensor) -> Result:
        """See the definition."""
        parts = dx.unflatten(-1, (int(attributes["num_heads"]), -1))
        return (parts.transpose(1, 2).contiguous(),)

    def op_repeat_heads(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        return (x.repeat_interleave(int(attributes["repeats"]), dim=1),)

    def op_repeat_heads_grad(self, attributes: Attributes, dy: Tensor) -> Result:
        """See the definition."""
        repeats = int(attributes["repeats"])
        total = dy[:, 0::repeats].clone()
        for index in range(1, repeats):
            total.add_(dy[:, index::repeats])
        return (total,)

    def op_rotate(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        cos, sin = self._get_table(attributes, x)
        first, second = x.chunk(2, -1)
        crossed = torch.cat([second.neg(), first], -1).mul_(sin)
        return ((x * cos).add_(crossed),)

    def op_rotate_grad(self, attributes: Attributes, dy: Tensor) -> Result:
        """See the definition."""
        cos, sin = self._get_table(attributes, dy)
        first, second = dy.chunk(2, -1)
        crossed = torch.cat([second, first.neg()], -1).mul_(sin)
        return ((dy * cos).add_(crossed),)

    def _get_table(self, attributes: Attributes, x: Tensor) -> tuple[Tensor, Tensor]:
        key = (x.shape[-2], x.shape[-1], int(attributes.get("theta", ROTARY_BASE)))
        if key not in self._tables:
            cos, sin = (self._to_tensor(part) for part in compute_rotary_table(*key))
            self._tables[key] = (torch.cat([cos, cos], -1), torch.cat([sin, sin], -1))
        return self._tables[key]

    def _get_mask(self, length: int) -> Tensor:
        if length not in self._masks:
            mask = np.where(np.tri(length, dtype=bool), 0, -np.inf).astype(np.float32)
            self._masks[length] = self._to_tensor(mask)
        return self._masks[length]

    def op_causal_softmax(self, attributes: Attributes, scores: Tensor) -> Result:
        """See the definition."""
        factor = np.float32(attributes["scale"]) * np.float32(LOG2_E)
        y = (scores * float(factor)).add_(self._get_mask(scores.shape[-1]))
        weights = self._exp2_on_grid(y.sub_(y.amax(-1, keepdim=True)))
        return (weights.div_(weights.sum(-1, keepdim=True, dtype=torch.float64).float()),)

    def op_causal_softmax_grad(self, attributes: Attributes, dp: Tensor, p: Tensor) -> Result:
        """See the definition."""
        total = self._fixed_sum(dp * p)
        return ((dp - total).mul_(p).mul_(attributes["scale"]),)

    # -------------------------------------------------------------------------------------- loss
    def op_cross_entropy(self, attributes: Attributes, logits: Tensor, targets: Tensor) -> Result:
        """See the definition."""
        y = logits * LOG2_E
        largest = y.amax(-1, keepdim=True)
        gap = largest.double() - y.gather(-1, targets[..., None]).double()
        weights = self._exp2_on_grid(y.sub_(largest))
        total = weights.sum(-1, keepdim=True, dtype=torch.float64)
        nats = (self._log2(total) + gap) * LN_2
        # A NaN becomes the smallest integer, which no loss can be.
        nanonats = (nats * 1e9).round().nan_to_num(-(2.0**62)).to(torch.int64)
        return nanonats[..., 0], weights.div_(total.float())

    def op_cross_entropy_grad(self, attributes: Attributes, p: Tensor, targets: Tensor) -> Result:
        """See the definition."""
        index = targets[..., None]
        gradient = p.scatter(-1, index, p.gather(-1, index).sub_(1.0))
        return (gradient.mul_(_round(1.0 / (targets.numel() * int(attributes.get("parts", 1))))),)

    # ------------------------------------------------------------------------------ accumulation
    def op_take_sequences(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        return (x.narrow(0, int(attributes["first"]), int(attributes["count"])),)

    def op_join_sequences(self, attributes: Attributes, *parts: Tensor) -> Result:
        """See the definition."""
        return (torch.cat(parts),)

    # --------------------------------------------------------------------------------- optimiser
    def op_advance(self, attributes: Attributes, step: Tensor) -> Result:
        """See the definition."""
        return (step + 1,)

    def op_clip_scale(self, attributes: Attributes, *gradients: Tensor) -> Result:
        """See the definition."""
        squares = torch.cat([(g * g).reshape(-1) for g in gradients])
        norm = _sqrt(self._fixed_sum(squares)[0])
        clip = torch.full_like(norm, attributes["gradient_clip"])
        return (torch.minimum(clip / norm, torch.ones_like(norm)),)

    def op_adamw(
        self,
        attributes: Attributes,
        param: Tensor,
        gradient: Tensor,
        m: Tensor,
        v: Tensor,
        step: Tensor,
    ) -> Result:
        """See the definition."""
        return self._apply_adamw(attributes, param, gradient, m, v, int(step))

    @staticmethod
    def _apply_adamw(
        attributes: Attributes, param: Tensor, gradient: Tensor, m: Tensor, v: Tensor, step: int
    ) -> Result:
        c = compute_adamw_constants(attributes, step)
        m = (m * c["beta1"]).add_(gradient * c["one_minus_beta1"])
        square = gradient * gradient
        v = (v * c["beta2"]).add_(square.mul_(c["one_minus_beta2"]))
        root = _sqrt(v).mul_(c["root_scale"]).add_(c["epsilon"])
        update = torch.mul(m, c["rate"], out=square).div_(root)
        return (param * c["keep"]).sub_(update), m, v


class _Plan:
    """A step list cut in two: what runs op by op, and what the flat optimiser takes over."""

    def __init__(self, program: Program):
        ops = program.step_ops
        cut = next(i for i, op in enumerate(ops) if op.kind in ("clip_scale", "advance"))
        self.gradient_ops: tuple[Op, ...] = ops[:cut]
        self.adamw = next(op.attributes for op in ops if op.kind == "adamw")
        clip_ops = [op for op in ops if op.kind == "clip_scale"]
        adamw_ops = [op for op in ops if op.kind == "adamw"]
        assert [op.outputs[0] for op in adamw_ops] == [
            PARAM_PREFIX + name + NEXT_SUFFIX for name in program.param_shapes
        ], "the optimiser's order is not the flat order"
        self.clip: Attributes = clip_ops[0].attributes if clip_ops else {}
        self.gradients = clip_ops[0].inputs if clip_ops else tuple(o.inputs[1] for o in adamw_ops)


_PLANS: dict[int, tuple[Program, _Plan]] = {}


def _plan(program: Program) -> _Plan:
    cached = _PLANS.get(id(program))
    if cached is None or cached[0] is not program:
        cached = _PLANS[id(program)] = (program, _Plan(program))
    return cached[1]


def _sqrt(x: Tensor) -> Tensor:
    """Compute the correctly rounded float32 root.

    torch's own float32 root goes through MKL's vector library, which is off by one unit for 16 %
    of values on some processors. The root of a float32 is never within 2^-50 of a midpoint of two
    float32 values, so a float64 root with an error of a few units rounds to the right one.
    """
    return x.double().sqrt_().float()


def _round(value: float) -> float:
    return float(np.float32(value))
