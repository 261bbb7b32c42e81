"""The papers' formulas, slowly: every contribution as a vector, ``(head, target, source, d)``, in float64.

The oracle of the tests: nothing of normlens is used here. Parameters are read from the models' modules, hidden states
by hooks, attention weights from the untouched eager model; σ is computed from its definition, ε included.

Kobayashi et al. 2020 (equations 2 to 5) and 2021 (equations 4 to 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Norm:
    """LayerNorm (centered) or RMSNorm by its definition."""

    gain: Tensor
    shift: Tensor
    epsilon: float
    centered: bool

    def apply(self, rows: Tensor) -> Tensor:
        """The norm of ``(..., d)``."""
        return self.linear(rows) / self.sigma(rows) + self.shift

    def linear(self, x: Tensor) -> Tensor:
        """What the norm does to a contribution, but for 1/σ."""
        return (x - x.mean(-1, keepdim=True) if self.centered else x) * self.gain

    def sigma(self, rows: Tensor) -> Tensor:
        """Standard deviation or root mean square of each row."""
        spread = rows - rows.mean(-1, keepdim=True) if self.centered else rows
        return (spread.square().mean(-1, keepdim=True) + self.epsilon).sqrt()


@dataclass(frozen=True)
class Attention:
    """One attention block of one text.

    ``weight`` is ``(head, target, source)``, ``value`` ``(head, source, head_dim)``, ``projection``
    ``(head, head_dim, d)``, ``own`` the residual stream at the targets, ``(target, d)``.
    """

    weight: Tensor
    value: Tensor
    projection: Tensor
    bias: Tensor
    own: Tensor
    cross: bool = False
    multiplier: float = 1.0
    inner_norm: Norm | None = None
    outer_norm: Norm | None = None


def transformed(block: Attention) -> Tensor:
    """f(x), ``(head, source, d)`` (2020, equation 4)."""
    return torch.einsum("hsk,hkd->hsd", block.value, block.projection)


def contributions(block: Attention) -> Tensor:
    """αf(x), ``(head, target, source, d)``."""
    return block.weight[..., None] * transformed(block)[:, None]


def carried(block: Attention) -> dict[str, tuple[Tensor, Tensor]]:
    """The sum over heads at each scope, ``(target, source, d)``, and what the own vector adds, ``(target, d)``."""
    summed = contributions(block).sum(0)
    at = {"attention": (summed, torch.zeros_like(block.own))}
    behind, bias = summed, block.bias
    if block.inner_norm is not None:
        sigma = block.inner_norm.sigma(summed.sum(1) + bias)
        behind = block.inner_norm.linear(summed) / sigma[:, None]
        bias = block.inner_norm.linear(bias) / sigma + block.inner_norm.shift
    behind, bias = behind * block.multiplier, bias * block.multiplier
    at["residual"] = behind, block.own
    if block.outer_norm is not None:
        sigma = block.outer_norm.sigma(behind.sum(1) + bias + block.own)
        at["layernorm"] = (
            block.outer_norm.linear(behind) / sigma[:, None],
            block.outer_norm.linear(block.own) / sigma,
        )
    return at


def by_head(each: Tensor, vectors: Tensor) -> dict[str, Tensor]:
    """Displacement, contribution weights and output norm of every head, from αf ``(head, target, source, d)`` and f."""
    output = each.sum(2)
    alpha = each.norm(dim=-1) / vectors.norm(dim=-1)[:, None]
    return {
        "displacement": alpha * (vectors[:, None] - output[:, :, None]).norm(dim=-1),
        "contribution_weight": shares(each, output),
        "output_norm": output.norm(dim=-1),
    }


def shares(each: Tensor, total: Tensor) -> Tensor:
    """⟨c_ij, y_i⟩ / ‖y_i‖² of contributions ``(..., target, source, d)``."""
    return (each * total[..., None, :]).sum(-1) / total.square().sum(-1, keepdim=True)


@torch.no_grad()
def measures(block: Attention) -> dict[str, Tensor]:
    """Every variable of an analysis, by its name there; per-scope variables as ``name/scope``."""
    each = contributions(block)
    measured = {
        "weight": block.weight,
        "vector_norm": transformed(block).norm(dim=-1),
        "weighted_norm": each.norm(dim=-1),
        **by_head(each, transformed(block)),
    }
    for scope, (moved, own) in carried(block).items():
        suffix = "" if scope == "attention" else f"_{scope}"
        kept = torch.zeros_like(own) if block.cross else torch.stack([moved[i, i] for i in range(len(own))])
        everything = moved.clone()
        if not block.cross:
            for i in range(len(own)):
                everything[i, i] += own[i]
        elif scope != "attention":
            measured[f"own{suffix}"] = own.norm(dim=-1)
        measured[f"norm{suffix}"] = everything.norm(dim=-1)
        total = everything.sum(1) + (own if block.cross else 0)
        measured[f"contribution_weight_{scope}"] = shares(everything, total)
        if block.cross and scope != "attention":
            measured[f"own_contribution_weight_{scope}"] = shares(own[:, None], total)[:, 0]
        context = (moved.sum(1) - kept).norm(dim=-1)
        measured[f"mixing_ratio/{scope}"] = context / (context + (kept + own).norm(dim=-1))
    if not block.cross:
        others = block.weight.sum(-1) - block.weight.diagonal(dim1=-2, dim2=-1)
        measured["mixing_ratio_weight/attention"] = others.mean(0)
        measured["mixing_ratio_weight/residual"] = others.mean(0) / 2
    return measured


def attentions(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, list[Attention]]:
    """The attention blocks of a model's layers by group, for inputs of one text (batch axis included).

    ``model`` runs once, untouched, in eager mode.
    """
    with torch.no_grad():
        return _READERS[model.config.model_type](model, _Run(model, inputs))


class _Run:
    """One run of the untouched model: what went into every module, what came out, and the attention weights."""

    def __init__(self, model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> None:
        self.into: dict[str, Tensor] = {}
        self.out: dict[str, Tensor] = {}
        handles = [
            module.register_forward_hook(self._hook(path), with_kwargs=True) for path, module in model.named_modules()
        ]
        self.output = model(**inputs, output_attentions=True, use_cache=False)
        for handle in handles:
            handle.remove()

    def _hook(self, path: str) -> Any:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            first = args[0] if args else kwargs.get("hidden_states")
            if isinstance(first, Tensor):
                self.into[path] = first[0].double()
            if isinstance(output, Tensor):
                self.out[path] = output[0].double()

        return note


def _heads(x: Tensor, heads: int) -> Tensor:
    """``(source, head * head_dim)`` as ``(head, source, head_dim)``."""
    return x.unflatten(-1, (heads, -1)).transpose(0, 1)


def _linear(module: nn.Linear, x: Tensor) -> Tensor:
    return x @ module.weight.double().T + _bias(module)


def _bias(module: nn.Module) -> Tensor:
    if getattr(module, "bias", None) is None:
        return torch.zeros((), dtype=torch.float64)
    return module.bias.double()


def _projection(module: nn.Linear, heads: int) -> Tensor:
    return module.weight.double().T.unflatten(0, (heads, -1))


def _layer_norm(module: nn.LayerNorm) -> Norm:
    return Norm(module.weight.double(), module.bias.double(), module.eps, centered=True)


def _bert(model: PreTrainedModel, run: _Run) -> dict[str, list[Attention]]:
    heads, blocks = model.config.num_attention_heads, []
    for number, layer in enumerate(model.encoder.layer):
        x = run.into[f"encoder.layer.{number}.attention.self.value"]
        blocks.append(
            Attention(
                weight=run.output.attentions[number][0].double(),
                value=_heads(_linear(layer.attention.self.value, x), heads),
                projection=_projection(layer.attention.output.dense, heads),
                bias=_bias(layer.attention.output.dense),
                own=x,
                outer_norm=_layer_norm(layer.attention.output.LayerNorm),
            )
        )
    return {"encoder": blocks}


def _gpt2(model: PreTrainedModel, run: _Run) -> dict[str, list[Attention]]:
    heads, blocks = model.config.n_head, []
    for number, layer in enumerate(model.h):
        fused = run.into[f"h.{number}.attn.c_attn"] @ layer.attn.c_attn.weight.double() + layer.attn.c_attn.bias
        blocks.append(
            Attention(
                weight=run.output.attentions[number][0].double(),
                value=_heads(fused.chunk(3, dim=-1)[2], heads),
                projection=layer.attn.c_proj.weight.double().unflatten(0, (heads, -1)),
                bias=_bias(layer.attn.c_proj),
                own=run.into[f"h.{number}"],
            )
        )
    return {"decoder": blocks}


def _llama(model: PreTrainedModel, run: _Run) -> dict[str, list[Attention]]:
    """Llama and what is built like it: Granite's multiplier and Gemma 2's inner norm (gain 1 + w) included."""
    config, blocks = model.config, []
    for number, layer in enumerate(model.layers):
        attention, heads = layer.self_attn, config.num_attention_heads
        value = _linear(attention.v_proj, run.into[f"layers.{number}.self_attn.v_proj"])
        grouped = _heads(value, config.num_key_value_heads)
        inner = None
        if config.model_type == "gemma2":
            norm = layer.post_attention_layernorm
            inner = Norm(1 + norm.weight.double(), torch.zeros((), dtype=torch.float64), norm.eps, centered=False)
        blocks.append(
            Attention(
                weight=run.output.attentions[number][0].double(),
                value=grouped.repeat_interleave(heads // config.num_key_value_heads, dim=0),
                projection=_projection(attention.o_proj, heads),
                bias=_bias(attention.o_proj),
                own=run.into[f"layers.{number}"],
                multiplier=getattr(config, "residual_multiplier", 1.0),
                inner_norm=inner,
            )
        )
    return {"decoder": blocks}


def _gpt_neox(model: PreTrainedModel, run: _Run) -> dict[str, list[Attention]]:
    heads, blocks = model.config.num_attention_heads, []
    for number, layer in enumerate(model.layers):
        fused = _linear(
            layer.attention.query_key_value, run.into[f"layers.{number}.attention.query_key_value"]
        ).unflatten(-1, (heads, 3, -1))
        blocks.append(
            Attention(
                weight=run.output.attentions[number][0].double(),
                value=fused[:, :, 2].transpose(0, 1),
                projection=_projection(layer.attention.dense, heads),
                bias=_bias(layer.attention.dense),
                own=run.into[f"layers.{number}"],
            )
        )
    return {"decoder": blocks}


def _marian(model: PreTrainedModel, run: _Run) -> dict[str, list[Attention]]:
    def block(path: str, module: nn.Module, weight: Tensor, own: Tensor, norm: nn.LayerNorm, cross: bool) -> Attention:
        heads = weight.shape[1]
        return Attention(
            weight=weight[0].double(),
            value=_heads(_linear(module.v_proj, run.into[f"{path}.v_proj"]), heads),
            projection=_projection(module.out_proj, heads),
            bias=_bias(module.out_proj),
            own=own,
            cross=cross,
            outer_norm=_layer_norm(norm),
        )

    groups: dict[str, list[Attention]] = {"encoder": [], "decoder": [], "cross": []}
    for side in ("encoder", "decoder"):
        weights = run.output.encoder_attentions if side == "encoder" else run.output.decoder_attentions
        for number, layer in enumerate(getattr(model, side).layers):
            path = f"{side}.layers.{number}"
            norm = layer.self_attn_layer_norm
            groups[side].append(
                block(f"{path}.self_attn", layer.self_attn, weights[number], run.into[path], norm, cross=False)
            )
            if side == "decoder":
                own = run.out[f"{path}.self_attn_layer_norm"]
                weight, norm = run.output.cross_attentions[number], layer.encoder_attn_layer_norm
                groups["cross"].append(block(f"{path}.encoder_attn", layer.encoder_attn, weight, own, norm, cross=True))
    return groups


_READERS = {
    "bert": _bert,
    "gpt2": _gpt2,
    "llama": _llama,
    "granite": _llama,
    "gemma2": _llama,
    "mixtral": _llama,
    "gpt_neox": _gpt_neox,
    "marian": _marian,
}
