"""DecompX of a GPT-2, a Llama and a Marian by hand: every source's vector carried through every layer, step by step.

The paper defines it for BERT (``attribution_models.by_hand``); these are the same rules where a block is built otherwise.
"""

from __future__ import annotations

from typing import Any

import torch
from attribution_models import Vectors, activated, added, normed, through
from torch import Tensor


@torch.no_grad()
def gpt2(model: Any, ids: list[int]) -> Vectors:
    """Contribution vectors at the last position's logits, (1, source, token), and what belongs to no source."""
    inputs = torch.tensor([ids])
    attentions = model(inputs, output_attentions=True).attentions
    body = model.transformer
    at = placed(body.wte(inputs)[0], body.wpe.weight[: len(ids)])
    for block, weight in zip(body.h, attentions, strict=True):
        width = body.embed_dim
        vectors, bias = transposed(block.attn.c_attn, normed(block.ln_1, at))
        value = vectors[..., 2 * width :], bias[..., 2 * width :]
        at = added(at, transposed(block.attn.c_proj, mixed(weight[0], value, block.attn.head_dim)))
        inner = transposed(block.mlp.c_fc, normed(block.ln_2, at))
        at = added(at, transposed(block.mlp.c_proj, activated(block.mlp.act, inner)))
    vectors, bias = normed(body.ln_f, at)
    return vectors[-1:] @ model.lm_head.weight.T, bias[-1:] @ model.lm_head.weight.T


@torch.no_grad()
def llama(model: Any, ids: list[int]) -> Vectors:
    """The same for a Llama: RMSNorm, grouped queries, and a product of two factors, half to each."""
    inputs = torch.tensor([ids])
    attentions = model(inputs, output_attentions=True).attentions
    at = placed(model.model.embed_tokens(inputs)[0], torch.zeros(len(ids), model.config.hidden_size))
    for layer, weight in zip(model.model.layers, attentions, strict=True):
        attention, mlp = layer.self_attn, layer.mlp
        value = linear(attention.v_proj, root_mean_square(layer.input_layernorm, at))
        at = added(at, linear(attention.o_proj, mixed(weight[0], value, attention.head_dim)))
        inner = root_mean_square(layer.post_attention_layernorm, at)
        gate, up = activated(mlp.act_fn, linear(mlp.gate_proj, inner)), linear(mlp.up_proj, inner)
        at = added(at, linear(mlp.down_proj, half_to_each(gate, up)))
    vectors, bias = root_mean_square(model.model.norm, at)
    return vectors[-1:] @ model.lm_head.weight.T, bias[-1:] @ model.lm_head.weight.T


@torch.no_grad()
def marian(model: Any, ids: list[int], decoder_ids: list[int]) -> Vectors:
    """The same for a Marian: sources are the encoder's tokens, then the decoder's."""
    encoder, decoder = model.model.encoder, model.model.decoder
    run = model(torch.tensor([ids]), decoder_input_ids=torch.tensor([decoder_ids]), output_attentions=True)
    total = len(ids) + len(decoder_ids)
    at = entered(encoder, ids, 0, total)
    for layer, weight in zip(encoder.layers, run.encoder_attentions, strict=True):
        at = normed(layer.self_attn_layer_norm, added(at, attended(layer.self_attn, weight[0], at)))
        at = feedforward(layer, at)
    memory, at = at, entered(decoder, decoder_ids, len(ids), total)
    both = zip(decoder.layers, run.decoder_attentions, run.cross_attentions, strict=True)
    for layer, weight, cross in both:
        at = normed(layer.self_attn_layer_norm, added(at, attended(layer.self_attn, weight[0], at)))
        at = normed(layer.encoder_attn_layer_norm, added(at, attended(layer.encoder_attn, cross[0], memory)))
        at = feedforward(layer, at)
    row = model.lm_head.weight
    return at[0][-1:] @ row.T, at[1][-1:] @ row.T + model.final_logits_bias


def placed(words: Tensor, rest: Tensor, first: int = 0, total: int | None = None) -> Vectors:
    """Each position holds its own word, source number ``first`` and on; positions belong to no source."""
    vectors = torch.zeros(len(words), len(words) if total is None else total, words.shape[1], dtype=words.dtype)
    for i in range(len(words)):
        vectors[i, first + i] = words[i]
    return vectors, rest.to(words.dtype)


def entered(stack: Any, ids: list[int], first: int, total: int) -> Vectors:
    scale = stack.embed_scale
    return placed(stack.embed_tokens(torch.tensor(ids)) * scale, stack.embed_positions.weight[: len(ids)], first, total)


def attended(attention: Any, weight: Tensor, read: Vectors) -> Vectors:
    return through(attention.out_proj, mixed(weight, through(attention.v_proj, read), attention.head_dim))


def feedforward(layer: Any, at: Vectors) -> Vectors:
    inner = activated(layer.activation_fn, through(layer.fc1, at))
    return normed(layer.final_layer_norm, added(at, through(layer.fc2, inner)))


def mixed(weight: Tensor, value: Vectors, size: int) -> Vectors:
    """Σ_j α_ij v_j of every head, side by side; heads of a group share a value of this size."""
    vectors, bias = value
    group = len(weight) // (bias.shape[-1] // size)
    heads = []
    for h, alpha in enumerate(weight):
        columns = slice(h // group * size, (h // group + 1) * size)
        heads.append((torch.einsum("ij,jsd->isd", alpha, vectors[..., columns]), alpha @ bias[:, columns]))
    return torch.cat([v for v, _ in heads], -1), torch.cat([b for _, b in heads], -1)


def transposed(layer: Any, at: Vectors) -> Vectors:
    """GPT-2's Conv1D, whose weight is (in, out)."""
    return at[0] @ layer.weight, at[1] @ layer.weight + layer.bias


def linear(layer: Any, at: Vectors) -> Vectors:
    """A linear layer with or without a bias."""
    vectors, bias = at[0] @ layer.weight.T, at[1] @ layer.weight.T
    return vectors, bias if layer.bias is None else bias + layer.bias


def root_mean_square(norm: Any, at: Vectors) -> Vectors:
    """RMSNorm with the σ of what all vectors add up to."""
    whole = at[0].sum(1) + at[1]
    sigma = torch.sqrt(whole.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    return at[0] / sigma[:, None] * norm.weight, at[1] / sigma * norm.weight


def half_to_each(one: Vectors, other: Vectors) -> Vectors:
    """A product of two wholes: every vector of each, times half of the other."""
    first, second = (at[0].sum(1) + at[1] for at in (one, other))
    vectors = (one[0] * second[:, None] + other[0] * first[:, None]) / 2
    return vectors, (one[1] * second + other[1] * first) / 2
