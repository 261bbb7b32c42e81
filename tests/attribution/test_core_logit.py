"""Direct logit attribution against the residual stream taken apart by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from attribution_models import lens_on
from torch import Tensor

from normlens.errors import UnsupportedArchitecture

ByHand = Callable[[Any, int], tuple[dict[str, Tensor], float]]
IDS = [11, 12, 13, 14, 15]


def heads_apart(weight: Tensor, value: Tensor, output: Tensor) -> Tensor:
    """Σ_h α_ij^h v_j^h W_O^h of the last target, (source, d); weight (head, source), value (source, head, size)."""
    moved = torch.zeros(len(value), output.shape[1], dtype=value.dtype)
    for h in range(len(weight)):
        for j in range(len(value)):
            moved[j] += weight[h, j] * value[j, h] @ output[h * value.shape[2] : (h + 1) * value.shape[2]]
    return moved


def gpt2_by_hand(model: Any, token: int) -> tuple[dict[str, Tensor], float]:
    """Each component's share of the last position's logit, (source,), and what attention's biases write."""
    inputs = torch.tensor([IDS])
    output = model(inputs, output_hidden_states=True, output_attentions=True)
    x = model.transformer.wte(inputs)[0] + model.transformer.wpe.weight[: len(IDS)]
    components, before = {"embedding": x[-1:]}, x
    biases = torch.zeros_like(x[-1])
    for layer, block in enumerate(model.transformer.h):
        size, width = block.attn.head_dim, x.shape[1]
        value = (block.ln_1(before) @ block.attn.c_attn.weight + block.attn.c_attn.bias)[:, 2 * width :]
        weight = output.attentions[layer][0, :, -1]
        components[f"attention {layer}"] = heads_apart(
            weight, value.unflatten(-1, (-1, size)), block.attn.c_proj.weight
        )
        middle = before + block.attn(block.ln_1(before)[None], attention_mask=causal(len(x)))[0][0]
        components[f"feedforward {layer}"] = block.mlp(block.ln_2(middle))[-1:]
        before, biases = middle + block.mlp(block.ln_2(middle)), biases + block.attn.c_proj.bias
    norm, last = model.transformer.ln_f, before[-1]
    sigma = torch.sqrt(last.var(unbiased=False) + norm.eps)
    row = model.lm_head.weight[token]

    def read(c: Tensor) -> Tensor:
        return ((c - c.mean(-1, keepdim=True)) / sigma * norm.weight) @ row

    return {name: read(c) for name, c in components.items()}, float(read(biases) + norm.bias @ row)


def llama_by_hand(model: Any, token: int) -> tuple[dict[str, Tensor], float]:
    """The same for a Llama: grouped values, RMS norms, states as the model's own layers give them."""
    inputs = torch.tensor([IDS])
    output = model(inputs, output_hidden_states=True, output_attentions=True)
    x = model.model.embed_tokens(inputs)[0]
    components, biases = {"embedding": x[-1:]}, torch.zeros_like(x[-1])
    for layer, block in enumerate(model.model.layers):
        before, attention = output.hidden_states[layer][0], block.self_attn
        value = attention.v_proj(block.input_layernorm(before)).unflatten(-1, (-1, attention.head_dim))
        value = value.repeat_interleave(attention.num_key_value_groups, dim=1)
        weight = output.attentions[layer][0, :, -1]
        components[f"attention {layer}"] = heads_apart(weight, value, attention.o_proj.weight.T)
        mixed = torch.einsum("hij,jhc->ihc", output.attentions[layer][0], value)
        x = before + attention.o_proj(mixed.flatten(1))
        components[f"feedforward {layer}"] = block.mlp(block.post_attention_layernorm(x))[-1:]
        x = x + block.mlp(block.post_attention_layernorm(x))
        biases = biases if attention.o_proj.bias is None else biases + attention.o_proj.bias
    scale = torch.rsqrt(x[-1].square().mean() + model.model.norm.variance_epsilon) * model.model.norm.weight
    row = model.lm_head.weight[token]
    return {name: (c * scale) @ row for name, c in components.items()}, float((biases * scale) @ row)


def causal(n: int) -> Tensor:
    return torch.full((n, n), -1e300, dtype=torch.float64).triu(1)[None, None]


@pytest.mark.parametrize(
    ("model_type", "by_hand", "limit"),
    [("gpt2", gpt2_by_hand, 1e-10), ("llama", llama_by_hand, 1e-6)],  # a Llama's norms are float32 in any model
)
@torch.no_grad()
def test_it_is_the_residual_stream_taken_apart(model_type: str, by_hand: ByHand, limit: float) -> None:
    lens = lens_on("CausalLM", model_type)
    shares, bias = by_hand(lens.model, 7)
    result = lens.attribute(IDS, method="logit", target=7)
    assert result["component"].values.tolist() == list(shares)
    for name, expected in shares.items():
        share = result.sel(component=name).values
        own = np.concatenate([np.zeros(4), expected.numpy()]) if len(expected) == 1 else expected.numpy()
        assert np.abs(share - own).max() < limit, name
    assert abs(result.attrs["bias_share"] - bias) < limit


@pytest.mark.parametrize(
    ("task", "model_type"),
    [("CausalLM", "llama"), ("CausalLM", "gpt_neox"), ("CausalLM", "gemma2"), ("Seq2SeqLM", "t5"),
     ("SequenceClassification", "gpt2")],
)  # fmt: skip
def test_components_add_up(task: str, model_type: str) -> None:
    second = {"target_text": [41, 42, 43]} if task == "Seq2SeqLM" else {}
    result = lens_on(task, model_type).attribute(IDS, method="logit", target=2, **second)
    assert result.attrs["conservation_error"] < 1e-7
    written = abs(result).sum("source")
    assert (written.values > 0).all()
    assert float(result.sum()) + result.attrs["bias_share"] == pytest.approx(result.attrs["value"], abs=1e-6)


def test_cross_attention_writes_from_the_source_text() -> None:
    result = lens_on("Seq2SeqLM", "t5").attribute(IDS, method="logit", target=2, target_text=[41, 42, 43])
    cross = result.sel(component="cross-attention 1")
    assert (cross[cross["side"] == "target"].values == 0).all()
    assert (cross[cross["side"] == "source"].values != 0).all()


def test_batches_are_single_runs() -> None:
    lens, texts = lens_on("CausalLM", "llama"), [IDS, [21, 22, 23], [31, 33, 34, 35, 36, 37]]
    for text, result in zip(texts, lens.attribute(texts, method="logit", target=(5, 9)), strict=True):
        assert np.abs(lens.attribute(text, method="logit", target=(5, 9)).values - result.values).max() < 1e-10


def test_post_norm_models_have_no_direct_path() -> None:
    with pytest.raises(UnsupportedArchitecture, match=r"post-norm family.*method='decompx'"):
        lens_on("MaskedLM", "bert").attribute(IDS, method="logit", target=5, position=1)
