"""The CUDA backend: the definition's bits by Triton kernels on tensor cores.

Lists are fused as for the native library (`exact/native/fuse.py`); what has no kernel here (copies
of heads and batches, attention of unusual blocks) is inherited from the torch backend. Which tensor
cores multiply is decided at load by known answers (`exact/cuda/selftest.py`).
"""

import logging
from collections.abc import Sequence

import torch

from exact.backends.base import Environment, compute_adamw_constants
from exact.backends.torch_backend import Result, Tensor, TorchBackend
from exact.cuda import elementwise, product, rows, sums
from exact.cuda.attention import MAX_BLOCK, MAX_HEAD_DIM, Attention
from exact.cuda.launch import is_interpreted
from exact.errors import UnfaithfulDevice
from exact.native.fuse import FUSED_END, FUSED_RELU_A, FUSED_RELU_B, fuse
from exact.program import Attributes, Op

_log = logging.getLogger(__name__)

# A head as wide as this is never fused.
UNFUSED = 1 << 30
# Attribute of a loss that gives its gradient too.
FUSED_GRADIENT = "gradient"


class TritonBackend(TorchBackend):
    """Executes programs with Triton kernels on one CUDA device.

    Attributes:
        path: "int8" or "fp16": which tensor cores multiply operands of up to 7 bits.
        reasons: every path -> "chosen", or why not.
    """

    name = "triton"

    def __init__(self, device: str = "cuda", path: str | None = None):
        """Open a device and test it.

        Args:
            device: a CUDA device of torch; "cpu" where kernels are interpreted.
            path: only this one; the fastest faithful one when not given.

        Raises:
            UnfaithfulDevice: it is missing, or no path gives the known answers.
        """
        self._ensure_kernels(device)
        self._wanted = path
        self._fused: dict[tuple[int, frozenset[str]], tuple[Sequence[Op], list[Op]]] = {}
        self._attention = Attention()
        super().__init__(device)

    @property
    def description(self) -> str:
        """The path that computes."""
        where = "interpreted" if is_interpreted() else torch.cuda.get_device_name(self.device)
        return f"{self.name} {self.path} on {where}"

    def _ensure_kernels(self, device: str) -> None:
        """Refuse a device that the kernels cannot run on.

        Raises:
            UnfaithfulDevice: neither CUDA nor interpreted.
        """
        if not device.startswith("cuda") and not is_interpreted():
            raise UnfaithfulDevice(
                f"the triton backend is for cuda, not {device!r} (TRITON_INTERPRET=1 interprets)"
            )

    def _ensure_exact_products(self) -> None:
        from exact.cuda.selftest import choose_path

        self.path, self.reasons = choose_path(self, self._wanted)

    def use_path(self, path: str) -> None:
        """Multiply by these tensor cores from now on."""
        self.path = path
        self._attention.has_int8 = path == "int8"

    # ------------------------------------------------------------------------------- executing
    def _execute_ops(self, ops: Sequence[Op], env: Environment, keep: set[str]) -> None:
        super()._execute_ops(self._fuse(ops, keep), env, keep)

    def _fuse(self, ops: Sequence[Op], keep: set[str]) -> list[Op]:
        key = (id(ops), frozenset(keep))
        cached = self._fused.get(key)
        if cached is None or cached[0] is not ops:
            model = self._model
            fits = model.head_dim <= MAX_HEAD_DIM and model.block_size <= MAX_BLOCK
            fused = fuse(ops, keep, model.head_dim if fits else UNFUSED)
            cached = self._fused[key] = (ops, [_mark(op) for op in fused])
        return cached[1]

    # -------------------------------------------------------------------------------- products
    def op_matmul(self, attributes: Attributes, a: Tensor, b: Tensor, *end: Tensor) -> Result:
        """See the definition; `end` is what the fused end of the product reads."""
        lead = a.shape[:-1]
        flatten, a_k_first = bool(attributes["flatten"]), bool(attributes["a_k_first"])
        left, right = (_to_batch(x, flatten) for x in (a, b))
        c = product.multiply(
            left,
            right,
            a_k_first,
            bool(attributes["b_k_first"]),
            int(attributes["a_max"]),
            int(attributes["b_max"]),
            int(attributes["block_size"]),
            self.path == "int8",
            bool(attributes.get(FUSED_RELU_A)),
            bool(attributes.get(FUSED_RELU_B)),
            end[0].contiguous() if end else None,
            int(attributes.get(FUSED_END, product.NO_END)),
        )
        if not flatten:
            return (c.view(*lead[:-1], *c.shape[1:]),)
        return (c[0] if a_k_first else c.view(*lead, -1),)

    def op_attention(self, attributes: Attributes, *sources: Tensor) -> Result:
        """Fused attention of q, k and v, or of one packed tensor three times."""
        return self._attention.forward(attributes, *sources)

    def op_attention_grad(self, attributes: Attributes, *inputs: Tensor) -> Result:
        """Gradients of the sources from sources, stats and the gradient of the result."""
        return self._attention.backward(attributes, *inputs)

    # -------------------------------------------------------------------------- everything else
    def op_embed(self, attributes: Attributes, tokens: Tensor, table: Tensor) -> Result:
        """See the definition."""
        return (sums.embed(tokens.contiguous(), table.contiguous()),)

    def op_embed_grad(self, attributes: Attributes, tokens: Tensor, dx: Tensor) -> Result:
        """See the definition."""
        size = int(attributes["vocab_size"])
        return (sums.embed_grad(tokens.contiguous(), dx.contiguous(), size),)

    def op_add(self, attributes: Attributes, a: Tensor, b: Tensor) -> Result:
        """See the definition."""
        return (elementwise.add(a.contiguous(), b.contiguous()),)

    def op_scale(self, attributes: Attributes, a: Tensor, scalar: Tensor) -> Result:
        """See the definition."""
        return (elementwise.scale(a.contiguous(), scalar),)

    def op_relu_square(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        return (elementwise.relu_square(x.contiguous()),)

    def op_relu_square_grad(self, attributes: Attributes, dy: Tensor, x: Tensor) -> Result:
        """See the definition."""
        return (elementwise.relu_square_grad(dy.contiguous(), x.contiguous()),)

    def op_silu_gate(self, attributes: Attributes, gate: Tensor, up: Tensor) -> Result:
        """See the definition."""
        return (elementwise.silu_gate(gate.contiguous(), up.contiguous()),)

    def op_silu_gate_grad(
        self, attributes: Attributes, da: Tensor, gate: Tensor, up: Tensor
    ) -> Result:
        """See the definition."""
        tensors = (x.contiguous() for x in (da, gate, up))
        return elementwise.silu_gate_grad(*tensors)

    def op_rms_norm(self, attributes: Attributes, x: Tensor) -> Result:
        """See the definition."""
        return rows.rms_norm(x.contiguous(), float(attributes["epsilon"]))

    def op_rms_norm_grad(
        self, attributes: Attributes, dy: Tensor, y: Tensor, inverse: Tensor, *addend: Tensor
    ) -> Result:
        """See the definition; a fused addend comes last."""
        tensors = [x.contiguous() for x in (dy, y, inverse, *addend)]
        return (rows.rms_norm_grad(*tensors[:3], tensors[3] if addend else None),)

    def op_gain(self, attributes: Attributes, y: Tensor, weight: Tensor) -> Result:
        """See the definition."""
        return (elementwise.gain(y.contiguous(), weight.contiguous()),)

    def op_gain_grad(self, attributes: Attributes, dz: Tensor, y: Tensor) -> Result:
        """See the definition."""
        return (sums.gain_grad(dz.contiguous(), y.contiguous()),)

    def op_cross_entropy(self, attributes: Attributes, logits: Tensor, targets: Tensor) -> Result:
        """See the definition; fused with its gradient there are three outputs."""
        is_fused = FUSED_GRADIENT in attributes
        parts = int(attributes.get("parts", 1))
        tensors = logits.contiguous(), targets.contiguous()
        nanonats, out = rows.cross_entropy(*tensors, parts, is_fused)
        return (nanonats, out, out) if is_fused else (nanonats, out)

    def op_cross_entropy_grad(self, attributes: Attributes, p: Tensor, targets: Tensor) -> Result:
        """See the definition."""
        parts = int(attributes.get("parts", 1))
        return (rows.cross_entropy_grad(p.contiguous(), targets.contiguous(), parts),)

    # -------------------------------------------------------------------------------- optimiser
    def op_clip_scale(self, attributes: Attributes, *gradients: Tensor) -> Result:
        """See the definition."""
        flat = [g.contiguous() for g in gradients]
        return (sums.clip_scale(flat, float(attributes["gradient_clip"]))[0],)

    def op_adamw(
        self,
        attributes: Attributes,
        param: Tensor,
        gradient: Tensor,
        m: Tensor,
        v: Tensor,
        step: Tensor,
        *scalar: Tensor,
    ) -> Result:
        """See the definition; a fused scale of the gradient comes last."""
        tensors = [x.contiguous() for x in (param, gradient, m, v)]
        return self._apply_adamw(attributes, *tensors, int(step), *scalar)

    def _apply_adamw(  # type: ignore[override]
        self,
        attributes: Attributes,
        param: Tensor,
        gradient: Tensor,
        m: Tensor,
        v: Tensor,
        step: int,
        *scalar: Tensor,
    ) -> Result:
        constants = compute_adamw_constants(attributes, step)
        return elementwise.adamw(param, gradient, m, v, constants, scalar[0] if scalar else None)


def _mark(op: Op) -> Op:
    """Write into a fused loss that it has three outputs."""
    if op.kind != "cross_entropy" or len(op.outputs) == 2:
        return op
    return Op(op.kind, op.inputs, op.outputs, {**op.attributes, FUSED_GRADIENT: True})


def _to_batch(x: Tensor, flatten: bool) -> Tensor:
    """View as [batch, rows, columns]."""
    shape = (1, -1, x.shape[-1]) if flatten else (-1, *x.shape[-2:])
    return x.contiguous().view(shape)
