"""The definition of every operation, in numpy: plain, slow, and the letter of exact training.

Three rules make the result independent of device, library and thread count:

1. A sum of many terms is a sum of integers. Matmul operands are quantised to integers with
   power-of-two scales, other terms are put on a power-of-two grid; the integer sum is rounded
   to float32 once.
2. Everything else is a single IEEE operation per element (add, subtract, multiply, divide,
   square root, max, round), never contracted.
3. Where a few float32 values are added, the order is written down.

NaN, infinity or a magnitude beyond the ranges below make the step invalid. The sign of a zero
never reaches another value and is dropped when a state is hashed.
"""

import numpy as np

from exact.arithmetic import (
    F32,
    F64,
    I64,
    Array,
    ensure_finite,
    exp2_on_grid,
    fixed_sum,
    log2,
    multiply,
    sigmoid,
    sum_weights,
    to_grid,
)
from exact.backends.base import Backend, compute_adamw_constants
from exact.elementary import LN_2, LOG2_E, ROTARY_BASE, compute_rotary_table
from exact.program import Attributes

Result = tuple[Array, ...]


class NumpyBackend(Backend):
    """Executes programs by the definition."""

    name = "numpy"

    def _to_tensor(self, array: Array) -> Array:
        return array

    def _to_numpy(self, tensor: Array) -> Array:
        return np.array(tensor)

    # --------------------------------------------------------------------------------- embedding
    def op_embed(self, attributes: Attributes, tokens: Array, table: Array) -> Result:
        """Look rows up."""
        return (table[tokens],)

    def op_embed_grad(self, attributes: Attributes, tokens: Array, dx: Array) -> Result:
        """Add each token's gradient to its row, as integers on one grid for the whole tensor."""
        terms, grid = to_grid(dx, tuple(range(dx.ndim)))
        sums = np.zeros((int(attributes["vocab_size"]), dx.shape[-1]), I64)
        np.add.at(sums, tokens, terms)
        return (sums.astype(F32) * grid.reshape(1, 1),)

    # ------------------------------------------------------------------------------- elementwise
    def op_add(self, attributes: Attributes, a: Array, b: Array) -> Result:
        """Add."""
        return (a + b,)

    def op_scale(self, attributes: Attributes, a: Array, scalar: Array) -> Result:
        """Multiply by one scalar."""
        return (a * scalar,)

    def op_relu_square(self, attributes: Attributes, x: Array) -> Result:
        """Compute max(x, 0)^2."""
        positive = np.maximum(x, F32(0))
        return (positive * positive,)

    def op_relu_square_grad(self, attributes: Attributes, dy: Array, x: Array) -> Result:
        """Compute (2 max(x, 0)) dy."""
        return ((np.maximum(x, F32(0)) * F32(2)) * dy,)

    def op_silu_gate(self, attributes: Attributes, gate: Array, up: Array) -> Result:
        """Compute (gate * sigmoid(gate)) * up."""
        return ((gate * sigmoid(gate)) * up,)

    def op_silu_gate_grad(
        self, attributes: Attributes, da: Array, gate: Array, up: Array
    ) -> Result:
        """Compute dgate = (da * up) * (s * (gate * (1 - s) + 1)) and dup = da * (gate * s)."""
        s = sigmoid(gate)
        slope = s * (gate * (F32(1) - s) + F32(1))
        return (da * up) * slope, da * (gate * s)

    # ------------------------------------------------------------------------------------- norms
    def op_rms_norm(self, attributes: Attributes, x: Array) -> Result:
        """Compute y = x * inverse, inverse = 1 / sqrt(sum(x^2) * (1/C) + epsilon)."""
        mean = fixed_sum(x * x, (-1,)) * F32(1.0 / x.shape[-1])
        inverse = F32(1) / np.sqrt(mean + F32(attributes["epsilon"]))
        return x * inverse, inverse

    def op_rms_norm_grad(
        self, attributes: Attributes, dy: Array, y: Array, inverse: Array
    ) -> Result:
        """Compute (dy - y * (sum(dy * y) * (1/C))) * inverse."""
        mean = fixed_sum(dy * y, (-1,)) * F32(1.0 / y.shape[-1])
        return ((dy - y * mean) * inverse,)

    def op_gain(self, attributes: Attributes, y: Array, weight: Array) -> Result:
        """Multiply every row by the weights."""
        return (y * weight,)

    def op_gain_grad(self, attributes: Attributes, dz: Array, y: Array) -> Result:
        """Sum dz * y over the rows, a fixed-point sum a column."""
        product = (dz * y).reshape(-1, y.shape[-1])
        return (fixed_sum(product, (0,))[0],)

    # ------------------------------------------------------------------------------------ matmul
    def op_matmul(self, attributes: Attributes, a: Array, b: Array) -> Result:
        """Compute A * B^T; see `multiply`."""
        lead = a.shape[:-1]
        if attributes["flatten"]:
            a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        a = a.swapaxes(-1, -2) if attributes["a_k_first"] else a
        b = b.swapaxes(-1, -2) if attributes["b_k_first"] else b
        sizes = (int(attributes[name]) for name in ("a_max", "b_max", "block_size"))
        c = multiply(a, b, *sizes)
        if attributes["flatten"] and not attributes["a_k_first"]:
            c = c.reshape(*lead, c.shape[-1])
        return (c,)

    # --------------------------------------------------------------------------------- attention
    def op_split_heads(self, attributes: Attributes, qkv: Array) -> Result:
        """Cut [B, T, 3C] into q, k, v of [B, H, T, D]."""
        batch, length, width = qkv.shape
        heads = int(attributes["num_heads"])
        parts = qkv.reshape(batch, length, 3, heads, width // (3 * heads))
        return tuple(parts.transpose(2, 0, 3, 1, 4))

    def op_split_heads_grad(
        self, attributes: Attributes, dq: Array, dk: Array, dv: Array
    ) -> Result:
        """Put three [B, H, T, D] back into [B, T, 3C]."""
        batch, _, length, _ = dq.shape
        return (np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(batch, length, -1),)

    def op_merge_heads(self, attributes: Attributes, x: Array) -> Result:
        """Put [B, H, T, D] into [B, T, C]."""
        batch, _, length, _ = x.shape
        return (x.transpose(0, 2, 1, 3).reshape(batch, length, -1),)

    def op_merge_heads_grad(self, attributes: Attributes, dx: Array) -> Result:
        """Cut [B, T, C] into [B, H, T, D]."""
        batch, length, width = dx.shape
        heads = int(attributes["num_heads"])
        return (dx.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3),)

    def op_repeat_heads(self, attributes: Attributes, x: Array) -> Result:
        """Give every group of `repeats` query heads its head of keys or values."""
        return (np.repeat(x, int(attributes["repeats"]), axis=1),)

    def op_repeat_heads_grad(self, attributes: Attributes, dy: Array) -> Result:
        """Add the gradients of a group's heads, in ascending order."""
        repeats = int(attributes["repeats"])
        total = dy[:, 0::repeats]
        for index in range(1, repeats):
            total = total + dy[:, index::repeats]
        return (total,)

    def op_rotate(self, attributes: Attributes, x: Array) -> Result:
        """Turn the pair (x_i, x_(i + D/2)) at position t by the table's angle."""
        cos, sin = _get_rotary_table(attributes, x)
        first, second = np.split(x, 2, axis=-1)
        turned = (first * cos - second * sin, second * cos + first * sin)
        return (np.concatenate(turned, axis=-1),)

    def op_rotate_grad(self, attributes: Attributes, dy: Array) -> Result:
        """Turn back."""
        cos, sin = _get_rotary_table(attributes, dy)
        first, second = np.split(dy, 2, axis=-1)
        turned = (first * cos + second * sin, second * cos - first * sin)
        return (np.concatenate(turned, axis=-1),)

    def op_causal_softmax(self, attributes: Attributes, scores: Array) -> Result:
        """Compute softmax(scale * scores) over keys j <= i; other keys get 0."""
        length = scores.shape[-1]
        y = scores * F32(F32(attributes["scale"]) * F32(LOG2_E))
        y = np.where(np.tri(length, dtype=bool), y, F32(-np.inf))
        largest = y.max(axis=-1, keepdims=True)
        ensure_finite(largest)
        weights = exp2_on_grid(y - largest)
        return (weights / sum_weights(weights).astype(F32),)

    def op_causal_softmax_grad(self, attributes: Attributes, dp: Array, p: Array) -> Result:
        """Compute (p * (dp - sum(dp * p))) * scale."""
        product = dp * p
        total = fixed_sum(product, (-1,))
        return (((dp - total) * p) * F32(attributes["scale"]),)

    # -------------------------------------------------------------------------------------- loss
    def op_cross_entropy(self, attributes: Attributes, logits: Array, targets: Array) -> Result:
        """Compute each token's loss in nano-nats and the softmax of its logits.

        loss = (log2(sum) + (max - y_target)) * ln 2 in float64, y = logits * log2(e) in float32.
        """
        y = logits * F32(LOG2_E)
        largest = y.max(axis=-1, keepdims=True)
        ensure_finite(largest)
        weights = exp2_on_grid(y - largest)
        total = sum_weights(weights)
        gap = largest.astype(F64) - np.take_along_axis(y, targets[..., None], -1).astype(F64)
        nanonats = np.rint(((log2(total) + gap) * LN_2) * 1e9).astype(I64)
        return nanonats[..., 0], weights / total.astype(F32)

    def op_cross_entropy_grad(self, attributes: Attributes, p: Array, targets: Array) -> Result:
        """Compute (p - onehot) * (1 / number of tokens of all parts of the step)."""
        gradient = p.copy()
        at_target = np.take_along_axis(p, targets[..., None], -1) - F32(1)
        np.put_along_axis(gradient, targets[..., None], at_target, -1)
        return (gradient * F32(1.0 / (targets.size * int(attributes.get("parts", 1)))),)

    # ------------------------------------------------------------------------------ accumulation
    def op_take_sequences(self, attributes: Attributes, x: Array) -> Result:
        """Take `count` sequences from the first on."""
        first = int(attributes["first"])
        return (x[first : first + int(attributes["count"])],)

    def op_join_sequences(self, attributes: Attributes, *parts: Array) -> Result:
        """Put sequences together again."""
        return (np.concatenate(parts),)

    # --------------------------------------------------------------------------------- optimiser
    def op_advance(self, attributes: Attributes, step: Array) -> Result:
        """Count a step."""
        return (np.asarray(step + I64(1)),)

    def op_clip_scale(self, attributes: Attributes, *gradients: Array) -> Result:
        """Compute min(1, clip / norm), norm the root of one fixed-point sum over all squares."""
        squares = np.concatenate([(g * g).reshape(-1) for g in gradients])
        norm = np.sqrt(fixed_sum(squares, (0,))[0])
        return (np.minimum(F32(attributes["gradient_clip"]) / norm, F32(1)),)

    def op_adamw(
        self,
        attributes: Attributes,
        param: Array,
        gradient: Array,
        m: Array,
        v: Array,
        step: Array,
    ) -> Result:
        """Compute AdamW with every product and sum rounded once, in the order written."""
        c = {n: F32(x) for n, x in compute_adamw_constants(attributes, int(step)).items()}
        m = m * c["beta1"] + gradient * c["one_minus_beta1"]
        v = v * c["beta2"] + (gradient * gradient) * c["one_minus_beta2"]
        root = np.sqrt(v) * c["root_scale"] + c["epsilon"]
        update = (m * c["rate"]) / root
        return param * c["keep"] - update, m, v


def _get_rotary_table(attributes: Attributes, x: Array) -> tuple[Array, Array]:
    theta = int(attributes.get("theta", ROTARY_BASE))
    return compute_rotary_table(x.shape[-2], x.shape[-1], theta)
