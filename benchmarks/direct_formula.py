"""The papers' formulas as written: every weighted vector α f(x) is built, ``(head, target, source, d)``, then measured.

Nothing of normlens is used. Kobayashi et al. 2020 (equations 2 to 5) for the attention block, 2021 (equations 4 to 7)
for residual connection and LayerNorm. The vectors of a layer are built for some targets at a time, so that they fit
into memory; building all at once, as the published code does, is no faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

_NUMBERS = 2**28  # numbers in memory at a time: 1 GiB of float32


@dataclass(frozen=True)
class Layer:
    """The formulas' inputs for one layer and one text.

    Attributes
    ----------
    weight
        α, ``(head, target, source)``.
    value
        Value vectors v(x) with their bias, ``(head, source, head_dim)``.
    projection, bias
        W_O, ``(head, head_dim, d)``, and its bias ``(d,)``.
    own
        The residual stream x, ``(target, d)``.
    norm
        The LayerNorm after the sum, or None if the block has none there.
    """

    weight: Float[Tensor, "head target source"]
    value: Float[Tensor, "head source head_dim"]
    projection: Float[Tensor, "head head_dim d"]
    bias: Float[Tensor, " d"]
    own: Float[Tensor, "target d"]
    norm: torch.nn.LayerNorm | None


@torch.no_grad()
def last_layer(model: PreTrainedModel, ids: Float[Tensor, "one target"]) -> Layer:
    """The last layer of a BERT or Llama on one text, from the attentions and hidden states that the model returns."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        output = model(input_ids=ids, output_attentions=True, output_hidden_states=True)
    finally:
        model.set_attn_implementation(before)
    weight, x, heads = output.attentions[-1][0], output.hidden_states[-2][0], model.config.num_attention_heads
    if model.config.model_type == "bert":
        block = model.encoder.layer[-1].attention
        return _layer(weight, block.self.value(x), block.output.dense, x, heads, block.output.LayerNorm)
    block = model.layers[-1]
    value = block.self_attn.v_proj(block.input_layernorm(x))
    return _layer(weight, value, block.self_attn.o_proj, x, heads, None)


def _layer(
    weight: Tensor, value: Tensor, dense: torch.nn.Linear, own: Tensor, heads: int, norm: torch.nn.LayerNorm | None
) -> Layer:
    projection = dense.weight.T.unflatten(0, (heads, -1))
    per_head = value.unflatten(-1, (-1, projection.shape[1])).transpose(0, 1)
    per_head = per_head.repeat_interleave(heads // len(per_head), dim=0)
    bias = torch.zeros_like(own[0]) if dense.bias is None else dense.bias
    return Layer(weight, per_head, projection, bias, own, norm)


@torch.no_grad()
def direct_norms(layer: Layer) -> dict[str, Float[Tensor, "..."]]:
    """All norms of one layer and one text, from the explicit vectors.

    Returns
    -------
    dict of str to Tensor
        ``weighted_norm``, ‖α f(x)‖, ``(head, target, source)``; ``norm``, ``norm_residual`` and (after a LayerNorm)
        ``norm_layernorm``, ``(target, source)``.
    """
    f_x = layer.value @ layer.projection  # (head, source, d)
    heads, sources, d = f_x.shape
    at_once = max(1, _NUMBERS // (heads * sources * d))
    chunks = [_rows(layer, f_x, i, min(i + at_once, len(layer.own))) for i in range(0, len(layer.own), at_once)]
    return {name: torch.cat([chunk[name] for chunk in chunks], dim=-2) for name in chunks[0]}


def _rows(layer: Layer, f_x: Float[Tensor, "head source d"], start: int, stop: int) -> dict[str, Tensor]:
    """The norms of the targets ``start:stop``."""
    weighted = layer.weight[:, start:stop, :, None] * f_x[:, None]  # (head, target, source, d)
    norms = {"weighted_norm": weighted.norm(dim=-1)}
    vectors = weighted.sum(0)
    norms["norm"] = vectors.norm(dim=-1)
    rows = torch.arange(stop - start)
    vectors[rows, rows + start] += layer.own[start:stop]
    norms["norm_residual"] = vectors.norm(dim=-1)
    if layer.norm is not None:
        summed = vectors.sum(1) + layer.bias
        sigma = (summed.var(-1, correction=0) + layer.norm.eps).sqrt()
        centered = vectors - vectors.mean(-1, keepdim=True)
        norms["norm_layernorm"] = (centered / sigma[:, None, None] * layer.norm.weight).norm(dim=-1)
    return norms
