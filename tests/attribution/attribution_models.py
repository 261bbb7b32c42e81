"""Tiny models with heads and randomized biases and gains, and contributions propagated by hand through one of them."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
import transformers
from architectures import tiny, weights
from torch import Tensor

import normlens

Vectors = tuple[Tensor, Tensor]
"""Contribution vectors (target, source, d), and what belongs to no source (target, d)."""


@cache
def model_with_head(task: str, model_type: str, dtype: torch.dtype = torch.float64) -> Any:
    """A tiny model of ``transformers.AutoModelFor{task}``, every parameter random."""
    config = tiny.configuration(model_type)
    if task.endswith("Classification"):
        config.id2label = {0: "bad", 1: "good", 2: "So-so"}
        config.label2id = {name: i for i, name in config.id2label.items()}
    config.pad_token_id = 0
    model = getattr(transformers, f"AutoModelFor{task}").from_config(config, attn_implementation="eager")
    weights.randomize(model, 0)
    return model.to(dtype).eval()


def lens_on(task: str, model_type: str, dtype: torch.dtype = torch.float64) -> normlens.Lens:
    """A lens on a tiny model with a head; token ids in."""
    return normlens.load((model_with_head(task, model_type, dtype), None))


def by_hand(model: Any, ids: list[int], *, with_positions: bool = False) -> Vectors:
    """Contribution vectors at BERT's three class logits, (1, source, class), step by step.

    They are those of the word embeddings, or of the whole output of the embedding layer.
    """
    inputs = torch.tensor([ids])
    with torch.no_grad():
        attentions = model(inputs, output_attentions=True).attentions
        embeddings, n = model.bert.embeddings, len(ids)
        words = embeddings.word_embeddings(inputs)[0]
        rest = embeddings.position_embeddings.weight[:n] + embeddings.token_type_embeddings.weight[0]
        at = normed(embeddings.LayerNorm, (words[:, None] * torch.eye(n, dtype=words.dtype)[..., None], rest))
        if with_positions:
            whole = at[0].sum(1) + at[1]
            at = whole[:, None] * torch.eye(n, dtype=words.dtype)[..., None], torch.zeros_like(whole)
        for layer, weight in zip(model.bert.encoder.layer, attentions, strict=True):
            at = post_norm_layer(layer, at, weight[0])
        first = at[0][:1], at[1][:1]
        pooled = activated(torch.tanh, through(model.bert.pooler.dense, first))
        return through(model.classifier, pooled)


def post_norm_layer(layer: Any, at: Vectors, weight: Tensor) -> Vectors:
    """Contributions behind one layer of BERT, from those before it and its attention weights (head, target, source)."""
    attention = layer.attention
    vectors, bias = through(attention.self.value, at)
    heads = weight.shape[0]
    size = vectors.shape[-1] // heads
    mixed, rest = torch.zeros_like(vectors), torch.zeros_like(bias)
    for h in range(heads):
        columns = slice(h * size, (h + 1) * size)
        for i in range(len(weight[h])):
            for j in range(len(weight[h])):
                mixed[i, :, columns] += weight[h, i, j] * vectors[j, :, columns]
                rest[i, columns] += weight[h, i, j] * bias[j, columns]
    at = normed(attention.output.LayerNorm, added(through(attention.output.dense, (mixed, rest)), at))
    inner = activated(torch.nn.functional.gelu, through(layer.intermediate.dense, at))
    return normed(layer.output.LayerNorm, added(through(layer.output.dense, inner), at))


def through(linear: Any, at: Vectors) -> Vectors:
    return at[0] @ linear.weight.T, at[1] @ linear.weight.T + linear.bias


def added(one: Vectors, other: Vectors) -> Vectors:
    return one[0] + other[0], one[1] + other[1]


def normed(norm: Any, at: Vectors) -> Vectors:
    """LayerNorm with the σ of what all vectors add up to."""
    whole = at[0].sum(1) + at[1]
    sigma = torch.sqrt(whole.var(-1, unbiased=False, keepdim=True) + norm.eps)

    def linear(x: Tensor, s: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) / s * norm.weight

    return linear(at[0], sigma[:, None]), linear(at[1], sigma) + norm.bias


def activated(function: Any, at: Vectors) -> Vectors:
    """An activation as a product with its secant gain g(x)/x."""
    whole = at[0].sum(1) + at[1]
    gain = function(whole) / whole
    return at[0] * gain[:, None], at[1] * gain


def gauss_legendre(steps: int) -> list[tuple[float, float]]:
    """Points and weights on [0, 1]: zeros of the Legendre polynomial by Newton's method."""
    nodes = []
    for k in range(1, steps + 1):
        x = math.cos(math.pi * (k - 0.25) / (steps + 0.5))
        for _ in range(100):
            p, before = 1.0, 0.0
            for m in range(steps):
                p, before = ((2 * m + 1) * x * p - m * before) / (m + 1), p
            slope = steps * (x * p - before) / (x * x - 1)
            x -= p / slope
        nodes.append(((x + 1) / 2, 1 / ((1 - x * x) * slope * slope)))
    return nodes
