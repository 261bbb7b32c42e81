"""The rest of a block, slowly: every contribution as a vector behind the feed-forward, its sum and the last norm, float64.

It continues :mod:`direct_formula` and uses nothing of normlens either. Kobayashi et al. 2024: an element-wise activation
g with argument p, the sum of contributions p_j, gives p_j · g(p)/p to each. A gated product u · g(z) is split in halves, or
by integrated gradients with scipy's quadrature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import direct_formula
import numpy as np
import torch
from direct_formula import Attention, Norm
from scipy.integrate import quad
from torch import Tensor, nn
from transformers import PreTrainedModel

Activation = Callable[[Tensor], Tensor]
SCOPES = ("feedforward", "feedforward_residual", "block")


@dataclass(frozen=True)
class Decomposition:
    """Contributions ``(target, source, d)``, and the vector that they and the biases add up to, ``(target, d)``."""

    vectors: Tensor
    total: Tensor

    def linear(self, weight: Tensor, bias: Tensor) -> Decomposition:
        """Behind a linear layer, ``weight`` (in, out); the bias belongs to no source."""
        return Decomposition(self.vectors @ weight, self.total @ weight + bias)

    def norm(self, norm: Norm) -> Decomposition:
        """Behind a norm, σ held fixed; its shift belongs to no source."""
        return Decomposition(norm.linear(self.vectors) / norm.sigma(self.total)[:, None], norm.apply(self.total))

    def activation(self, g: Activation) -> Decomposition:
        """Behind an element-wise function: p_j · g(p)/p."""
        return Decomposition(self.vectors * (g(self.total) / self.total)[:, None], g(self.total))

    def gated(self, gate: Decomposition, g: Activation, product: str) -> Decomposition:
        """u · g(z) with u this decomposition and z that of ``gate``."""
        u, z = self.total, gate.total
        to_u = g(z) / 2 if product == "half" else integral(g, z)
        to_z = u * (g(z) - to_u) / z
        return Decomposition(self.vectors * to_u[:, None] + gate.vectors * to_z[:, None], u * g(z))

    def scaled(self, factor: Tensor) -> Decomposition:
        """Times one number per target."""
        return Decomposition(self.vectors * factor[:, None, None], self.total * factor[:, None])

    def __add__(self, other: Decomposition) -> Decomposition:
        return Decomposition(self.vectors + other.vectors, self.total + other.total)


def integral(g: Activation, z: Tensor) -> Tensor:
    """∫₀¹ g(tz) dt for every element, by scipy."""

    def one(x: float) -> float:
        return quad(lambda t: float(g(torch.tensor(t * x, dtype=torch.float64))), 0, 1, epsabs=1e-12)[0]

    return torch.from_numpy(np.vectorize(one)(z.numpy()))


def gelu(x: Tensor) -> Tensor:
    """x Φ(x)."""
    return x * (1 + torch.erf(x / 2**0.5)) / 2


def gelu_by_tanh(x: Tensor) -> Tensor:
    """Its approximation in GPT-2 and Gemma."""
    return x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2


def silu(x: Tensor) -> Tensor:
    """x σ(x)."""
    return x / (1 + torch.exp(-x))


@torch.no_grad()
def measures(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], product: str = "half"
) -> dict[str, list[dict[str, Tensor]]]:
    """Every variable behind the attention blocks, by group and layer; per-scope variables as ``name/scope``."""
    by_group: dict[str, list[dict[str, Tensor]]] = {}
    for group, blocks in direct_formula.attentions(model, inputs).items():
        rest = _RESTS[model.config.model_type]
        if (group, model.config.model_type) != ("decoder", "marian"):
            by_group[group] = [_measured(block, rest(model, group, n, product)) for n, block in enumerate(blocks)]
    return by_group


Rest = Callable[[Decomposition], dict[str, Decomposition]]


def _measured(block: Attention, rest: Rest) -> dict[str, Tensor]:
    """Norms and ratios behind a block; in cross-attention the own vector is one more source, the last."""
    behind = direct_formula.carried(block)
    moved, own = behind["layernorm" if block.outer_norm is not None else "residual"]
    targets = range(len(own))
    if block.cross:
        start = torch.cat([moved, own[:, None]], dim=1)
    else:
        start = moved.clone()
        start[targets, targets] += own
    measured = {}
    for scope, decomposition in rest(Decomposition(start, _end_of(block))).items():
        each = decomposition.vectors
        kept = each[:, -1] if block.cross else each[targets, targets]
        if block.cross:
            measured[f"own_{scope}"] = kept.norm(dim=-1)
        measured[f"norm_{scope}"] = (each[:, :-1] if block.cross else each).norm(dim=-1)
        share = direct_formula.shares(each, each.sum(1))
        measured[f"contribution_weight_{scope}"] = share[:, :-1] if block.cross else share
        if block.cross:
            measured[f"own_contribution_weight_{scope}"] = share[:, -1]
        context = (each.sum(1) - kept).norm(dim=-1)
        measured[f"mixing_ratio/{scope}"] = context / (context + kept.norm(dim=-1))
    return measured


def _end_of(block: Attention) -> Tensor:
    """The vector with which the attention block ends, biases included."""
    total = direct_formula.contributions(block).sum((0, 2)) + block.bias
    if block.inner_norm is not None:
        total = block.inner_norm.apply(total)
    total = total * block.multiplier + block.own
    return total if block.outer_norm is None else block.outer_norm.apply(total)


def _line(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (in, out) and bias of a linear layer."""
    weight = module.weight.double()
    bias = getattr(module, "bias", None)
    across = weight.T if isinstance(module, nn.Linear) else weight
    return across, torch.zeros((), dtype=torch.float64) if bias is None else bias.double()


def _layer_norm(module: nn.LayerNorm) -> Norm:
    return Norm(module.weight.double(), module.bias.double(), module.eps, centered=True)


def _rms_norm(module: nn.Module, plus_one: bool = False) -> Norm:
    epsilon = module.eps if plus_one else module.variance_epsilon
    return Norm(plus_one + module.weight.double(), torch.zeros((), dtype=torch.float64), epsilon, centered=False)


def _post_norm(first: nn.Module, second: nn.Module, last: nn.LayerNorm) -> Rest:
    def rest(x: Decomposition) -> dict[str, Decomposition]:
        feedforward = x.linear(*_line(first)).activation(gelu).linear(*_line(second))
        summed = feedforward + x
        return dict(zip(SCOPES, (feedforward, summed, summed.norm(_layer_norm(last))), strict=True))

    return rest


def _pre_norm(feedforward: Callable[[Decomposition], Decomposition]) -> Rest:
    def rest(x: Decomposition) -> dict[str, Decomposition]:
        inner = feedforward(x)
        return dict(zip(SCOPES, (inner, inner + x, inner + x), strict=True))

    return rest


def _bert(model: PreTrainedModel, group: str, number: int, product: str) -> Rest:
    layer = model.encoder.layer[number]
    return _post_norm(layer.intermediate.dense, layer.output.dense, layer.output.LayerNorm)


def _marian(model: PreTrainedModel, group: str, number: int, product: str) -> Rest:
    layer = (model.encoder if group == "encoder" else model.decoder).layers[number]
    return _post_norm(layer.fc1, layer.fc2, layer.final_layer_norm)


def _gpt2(model: PreTrainedModel, group: str, number: int, product: str) -> Rest:
    layer = model.h[number]
    return _pre_norm(
        lambda x: (
            x.norm(_layer_norm(layer.ln_2))
            .linear(*_line(layer.mlp.c_fc))
            .activation(gelu_by_tanh)
            .linear(*_line(layer.mlp.c_proj))
        )
    )


def _llama(model: PreTrainedModel, group: str, number: int, product: str) -> Rest:
    layer = model.layers[number]

    def feedforward(x: Decomposition) -> Decomposition:
        x = x.norm(_rms_norm(layer.post_attention_layernorm))
        gate, up = x.linear(*_line(layer.mlp.gate_proj)), x.linear(*_line(layer.mlp.up_proj))
        return up.gated(gate, silu, product).linear(*_line(layer.mlp.down_proj))

    return _pre_norm(feedforward)


def _gemma(model: PreTrainedModel, group: str, number: int, product: str) -> Rest:
    layer = model.layers[number]

    def feedforward(x: Decomposition) -> Decomposition:
        x = x.norm(_rms_norm(layer.pre_feedforward_layernorm, plus_one=True))
        gate, up = x.linear(*_line(layer.mlp.gate_proj)), x.linear(*_line(layer.mlp.up_proj))
        x = up.gated(gate, gelu_by_tanh, product).linear(*_line(layer.mlp.down_proj))
        return x.norm(_rms_norm(layer.post_feedforward_layernorm, plus_one=True))

    return _pre_norm(feedforward)


def _mixtral(model: PreTrainedModel, group: str, number: int, product: str) -> Rest:
    layer = model.layers[number]
    experts, router = layer.mlp.experts, layer.mlp.gate

    def feedforward(x: Decomposition) -> Decomposition:
        x = x.norm(_rms_norm(layer.post_attention_layernorm))
        chosen = (x.total @ router.weight.double().T).softmax(-1).topk(router.top_k)
        shares = torch.zeros(len(x.total), len(experts.down_proj), dtype=torch.float64)
        shares = shares.scatter(1, chosen.indices, chosen.values / chosen.values.sum(-1, keepdim=True))
        mixed = []
        for expert, down in enumerate(experts.down_proj.double()):
            gate_weight, up_weight = experts.gate_up_proj[expert].double().T.chunk(2, dim=-1)
            none = torch.zeros((), dtype=torch.float64)
            gate, up = x.linear(gate_weight, none), x.linear(up_weight, none)
            mixed.append(up.gated(gate, silu, product).linear(down.T, none).scaled(shares[:, expert]))
        return sum(mixed[1:], mixed[0])

    return _pre_norm(feedforward)


_RESTS: dict[str, Callable[[PreTrainedModel, str, int, str], Rest]] = {
    "bert": _bert,
    "marian": _marian,
    "gpt2": _gpt2,
    "llama": _llama,
    "gemma2": _gemma,
    "mixtral": _mixtral,
}
