"""Llama in ordinary torch, next to `ordinary_gpt.py`: autograd and library functions."""

import torch
import torch.nn.functional as F

from bench.ordinary_gpt import OrdinaryGpt


class OrdinaryLlama(OrdinaryGpt):
    """Llama on named tensors; weights are given as for `OrdinaryGpt`."""

    def _compute_logits(self, tokens: torch.Tensor) -> torch.Tensor:
        x = F.embedding(tokens, self.params["embedding"])
        for i in range(self._model.num_layers):
            layer = f"layer{i:04d}/"
            h = self._gained_norm(x, layer + "attention_norm")
            x = x + self._attend_heads(h, layer) @ self.params[layer + "attention_out"].T
            h = self._gained_norm(x, layer + "mlp_norm")
            gate = F.silu(h @ self.params[layer + "mlp_gate"].T)
            h = gate * (h @ self.params[layer + "mlp_up"].T)
            x = x + h @ self.params[layer + "mlp_out"].T
        head = self.params.get("head", self.params["embedding"])
        return self._gained_norm(x, "final_norm") @ head.T

    def _gained_norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.params[name], eps=self._model.norm_epsilon)

    def _attend_heads(self, h: torch.Tensor, layer: str) -> torch.Tensor:
        parts = []
        for name, heads in (("q", self._model.num_heads), ("k", 0), ("v", 0)):
            part = h @ self.params[f"{layer}attention_{name}"].T
            parts.append(part.unflatten(-1, (heads or self._model.kv_heads, -1)).transpose(1, 2))
        q, k, v = self._rotate(parts[0]), self._rotate(parts[1]), parts[2]
        repeats = self._model.num_heads // self._model.kv_heads
        k, v = (t.repeat_interleave(repeats, dim=1) for t in (k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
