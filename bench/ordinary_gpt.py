"""The same transformer in ordinary torch: autograd, library softmax, AdamW. What exact is held to.

Used as the baseline of `exact_step.py`, and by the tests for gradients and for learning.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F

from exact.config import DEFAULT_NORM_EPSILON_PPB, ModelConfig, OptimiserConfig, to_float32
from exact.state import PARAM_PREFIX, strip_prefix

NORM_EPSILON = to_float32(DEFAULT_NORM_EPSILON_PPB)


class OrdinaryGpt:
    """Decoder-only transformer on named tensors.

    Attributes:
        params: name without prefix -> leaf tensor that collects gradients.
    """

    def __init__(
        self,
        model: ModelConfig,
        state: Mapping[str, np.ndarray],
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ):
        """Copy weights.

        Args:
            model: the shape.
            state: holds the `param/` tensors.
            dtype: of weights and computation.
            device: torch device.
        """
        self._model = model
        self.params = {
            name: torch.tensor(tensor, dtype=dtype, device=device).requires_grad_()
            for name, tensor in strip_prefix(state, PARAM_PREFIX).items()
        }
        half = model.head_dim // 2
        rate = float(model.rotary_theta) ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.outer(torch.arange(model.context_length, dtype=torch.float64), rate)
        self._cos = angle.cos().to(device, dtype)
        self._sin = angle.sin().to(device, dtype)

    def compute_losses(self, tokens: torch.Tensor) -> torch.Tensor:
        """Compute each sequence's summed loss in nats.

        Args:
            tokens: int64 [n, L + 1].

        Returns:
            [n], in the model's dtype.
        """
        logits = self._compute_logits(tokens[:, :-1])
        losses = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        return losses.view(len(tokens), -1).sum(1)

    def compute_mean_loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Compute the mean loss of a token in nats."""
        logits = self._compute_logits(tokens[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    def _compute_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        x = F.embedding(tokens, self.params["embedding"])
        for i in range(self._model.num_layers):
            layer = f"layer{i:04d}/"
            h = _norm(x) @ self.params[layer + "attention_in"].T
            x = x + self._attend(h) @ self.params[layer + "attention_out"].T
            h = F.relu(_norm(x) @ self.params[layer + "mlp_in"].T).square()
            x = x + h @ self.params[layer + "mlp_out"].T
        head = self.params.get("head", self.params["embedding"])
        return _norm(x) @ head.T

    def _attend(self, qkv: torch.Tensor) -> torch.Tensor:
        q, k, v = qkv.unflatten(-1, (3, self._model.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self._rotate(q), self._rotate(k)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)

    def _rotate(self, x: torch.Tensor) -> torch.Tensor:
        cos, sin = self._cos[: x.shape[-2]], self._sin[: x.shape[-2]]
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class CompiledGpt(OrdinaryGpt):
    """The same, loss and gradient by `torch.compile`; AdamW stays eager."""

    def __init__(
        self,
        model: ModelConfig,
        state: Mapping[str, np.ndarray],
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ):
        """Copy weights; the compiler runs at the first step."""
        super().__init__(model, state, dtype, device)
        self._compute = torch.compile(super().compute_mean_loss)

    def compute_mean_loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Compute the mean loss of a token in nats."""
        loss: torch.Tensor = self._compute(tokens)
        return loss


def _norm(x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), eps=NORM_EPSILON)


def train_steps(
    gpt: OrdinaryGpt, optimiser: OptimiserConfig, batches: torch.Tensor
) -> list[torch.Tensor]:
    """Train on all batches; see `iterate_steps`."""
    return list(iterate_steps(gpt, optimiser, batches))


def iterate_steps(
    gpt: OrdinaryGpt, optimiser: OptimiserConfig, batches: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Train with torch's AdamW, warm-up and clip like the exact optimiser.

    Args:
        gpt: trained in place.
        optimiser: AdamW's numbers.
        batches: int64 [k, B, L + 1] on the model's device.

    Yields:
        k losses (detached, on the device).
    """
    params = list(gpt.params.values())
    adamw = torch.optim.AdamW(
        params,
        lr=optimiser.learning_rate,
        betas=(optimiser.beta1, optimiser.beta2),
        eps=optimiser.epsilon,
        weight_decay=optimiser.weight_decay,
    )
    for step, batch in enumerate(batches, 1):
        if optimiser.warmup_steps or optimiser.decay_steps:
            warm = min(step / max(1, optimiser.warmup_steps), 1.0)
            left = 1.0
            if optimiser.decay_steps:
                left = max(0, optimiser.decay_steps + 1 - step) / optimiser.decay_steps
            adamw.param_groups[0]["lr"] = optimiser.learning_rate * warm * left
        loss = gpt.compute_mean_loss(batch)
        loss.backward()
        if optimiser.gradient_clip:
            torch.nn.utils.clip_grad_norm_(params, optimiser.gradient_clip)
        adamw.step()
        adamw.zero_grad()
        yield loss.detach()
