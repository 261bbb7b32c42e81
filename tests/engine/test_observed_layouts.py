"""Attention written time-first, as einsum, in groups: the papers' formulas by hand, from the models' own parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from direct_formula import Attention, Norm, contributions, measures
from torch import Tensor, nn
from transformers import PreTrainedModel

import normlens
from normlens.engine.capture.products import product_of
from normlens.errors import UnsupportedArchitecture

SCOPES = ("residual", "layernorm")
IDS, TARGET = [11, 12, 13, 14, 15], [21, 22, 23]


def analyzed(model_type: str, **options: Any) -> tuple[PreTrainedModel, normlens.Analysis, dict[str, Any]]:
    """A tiny model, its analysis, and what went into and out of its modules in an untouched run, by path."""
    model = tiny.build(model_type)
    lens = normlens.load((model, None))
    seen: dict[str, Any] = {}

    def note(path: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            seen[path] = ([x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)], output)

        return hook

    handles = [m.register_forward_hook(note(path), with_kwargs=True) for path, m in model.named_modules() if path]
    example = lens._maker.make(IDS, options.get("target_text"))
    with torch.no_grad():
        model(**{name: x[None] for name, x in example.tensors.items()}, use_cache=False)
    for handle in handles:
        handle.remove()
    return model, lens.analyze(IDS, **options), seen


def norm_of(module: nn.Module) -> Norm:
    return Norm(module.weight.data, module.bias.data, module.eps, True)


def assert_layer(data: Any, layer: int, block: Attention, scopes: tuple[str, ...] = SCOPES) -> None:
    """The analysis' layer against the formula, at every scope that there is."""
    one = data.sel(layer=layer)
    for name, expected in measures(block).items():
        variable, _, scope = name.partition("/")
        if (
            name == "weighted_norm"
            or variable not in one
            or (scope or variable.rpartition("_")[2]) in set(SCOPES) - set(scopes)
        ):
            continue
        measured = one[variable].sel(scope=scope) if scope else one[variable]
        np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=2e-6, err_msg=name)
    assert {v for v in one.data_vars if str(v).startswith("norm_")} == {f"norm_{scope}" for scope in scopes}


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("group", ["encoder", "decoder", "cross"])
def test_fsmt_is_time_first(group: str, layer: int) -> None:
    model, analysis, seen = analyzed("fsmt", target_text=TARGET)
    side = "encoder" if group == "encoder" else "decoder"
    attention, norm = ("encoder_attn",) * 2 if group == "cross" else ("self_attn",) * 2
    path = f"{side}.layers.{layer}"
    module, norm = model.get_submodule(f"{path}.{attention}"), model.get_submodule(f"{path}.{norm}_layer_norm")
    inputs, _ = seen[f"{path}.{attention}"]
    query = inputs[0][:, 0]  # (time, batch, d)
    source = inputs[1][:, 0] if group == "cross" else query
    heads, size = module.num_heads, module.head_dim

    def by_head(linear: nn.Module, x: Tensor) -> Tensor:
        return linear(x).unflatten(-1, (heads, size)).transpose(0, 1)

    with torch.no_grad():
        scores = by_head(module.q_proj, query) * module.scaling @ by_head(module.k_proj, source).mT
        if group == "decoder":
            scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        block = Attention(
            scores.softmax(-1), by_head(module.v_proj, source), module.out_proj.weight.T.unflatten(0, (heads, size)),
            module.out_proj.bias, query, cross=group == "cross", outer_norm=norm_of(norm),
        )  # fmt: skip
        assert_layer(analysis[group].data, layer, block)


@pytest.mark.parametrize("layer", [0, 2])
def test_xlnet_writes_all_as_einsum(layer: int) -> None:
    model, analysis, seen = analyzed("xlnet")
    module = model.layer[layer].rel_attn
    inputs, _ = seen[f"layer.{layer}.rel_attn"]
    hidden = inputs[0][:, 0]
    data = analysis["encoder"].data
    with torch.no_grad():
        block = Attention(
            torch.as_tensor(data.sel(layer=layer).weight.values), torch.einsum("sd,dhk->hsk", hidden, module.v),
            module.o.permute(1, 2, 0), torch.zeros(hidden.shape[-1]), hidden, outer_norm=norm_of(module.layer_norm),
        )  # fmt: skip
        assert_layer(data, layer, block)
        after = block.outer_norm.apply(contributions(block).sum((0, 2)) + hidden)
    np.testing.assert_allclose(after, seen[f"layer.{layer}.rel_attn"][1][0][:, 0], rtol=1e-4, atol=1e-5)


def test_prophetnet_has_a_main_stream_and_one_for_each_token_ahead() -> None:
    model, analysis, seen = analyzed("prophetnet", target_text=TARGET)
    module = model.decoder.layers[1].self_attn
    (hidden, *_), (_, main, ahead) = seen["decoder.layers.1.self_attn"]
    hidden, main, ahead, ngram, n = hidden[0], main[0], ahead[0], module.ngram, len(TARGET)
    heads, size = module.num_attn_heads, module.head_dim
    with torch.no_grad():
        value = module.value_proj(hidden).unflatten(-1, (heads, size)).transpose(0, 1)
        projection = module.out_proj.weight.T.unflatten(0, (heads, size))
        whole = torch.zeros(heads, ngram * n, ngram * 2 * n)
        for g in range(ngram):
            whole[:, g * n : (g + 1) * n, g * 2 * n : (g + 1) * 2 * n] = ahead[g]
        streams = value.split(n, dim=1)
        values = torch.cat([torch.cat([streams[0], stream], 1) for stream in streams[1:]], 1)
        for name, weight, vectors in (("decoder", main, streams[0]), ("decoder_1", whole, values)):
            own = torch.zeros(weight.shape[1], hidden.shape[-1])
            block = Attention(weight, vectors, projection, module.out_proj.bias, own, cross=name == "decoder_1")
            assert_layer(analysis[name].data, 1, block, scopes=())
    for name in ("decoder", "decoder_1"):
        assert analysis[name].data.sizes["layer"] == 3
    assert analysis["cross"].data.attrs["kind"] == "cross"


def test_funnel_pools_its_targets() -> None:
    model, analysis, seen = analyzed("funnel")
    assert {name: analysis[name].data.attrs["kind"] for name in analysis.groups}["cross"] == "cross"
    for group in analysis.groups:
        for layer, path in zip(analysis[group].data.layer.values, analysis[group].data.layer_path.values, strict=True):
            module = model.get_submodule(str(path))
            query, _, value = seen[str(path)][0][:3]
            heads, size = model.config.n_head, model.config.d_head
            weight = torch.as_tensor(analysis[group].data.sel(layer=layer).weight.values)
            with torch.no_grad():
                block = Attention(
                    weight, module.v_head(value[0]).unflatten(-1, (heads, size)).transpose(0, 1),
                    module.post_proj.weight.T.unflatten(0, (heads, size)), module.post_proj.bias, query[0],
                    cross=query.shape != value.shape, outer_norm=norm_of(module.layer_norm),
                )  # fmt: skip
                assert_layer(analysis[group].data, layer, block)
                after = block.outer_norm.apply(contributions(block).sum((0, 2)) + block.bias + block.own)
            np.testing.assert_allclose(after, seen[str(path)][1][0][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [2, 3, 4])
def test_time_first_batches_are_not_taken_for_time(batch: int, length: int) -> None:
    """Where texts are as many as tokens, or heads, nothing gets mixed up."""
    lens = normlens.load((tiny.build("fsmt"), None))
    sources = [[11 + k + 3 * row for k in range(length)] for row in range(batch)]
    targets = [[7 + k + 2 * row for k in range(length)] for row in range(batch)]
    together = list(lens.analyze(sources, targets, progress=False))
    for source, target, one in zip(sources, targets, together, strict=True):
        alone = normlens.load((lens.model, None)).analyze(source, target)
        for group in ("encoder", "decoder", "cross"):
            np.testing.assert_allclose(one[group].norm_layernorm, alone[group].norm_layernorm, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("of_weights", "of_value", "of_output"), [
    ("bhts", "bhsd", "bhtd"), ("bhts", "sbhd", "tbhd"), ("bhst", "bshd", "bthd"), ("tsbh", "bhsd", "bhtd"),
])  # fmt: skip
def test_a_product_is_laid_out_whatever_the_order_of_its_axes(of_weights: str, of_value: str, of_output: str) -> None:
    sizes = dict(zip("bhtsd", (2, 3, 4, 5, 6), strict=True))
    generator = torch.Generator().manual_seed(0)
    weights, value = (
        torch.randn([sizes[letter] for letter in letters], generator=generator) for letters in (of_weights, of_value)
    )
    for swapped in (False, True):
        factors = [(of_weights, weights), (of_value, value)][:: -1 if swapped else 1]
        equation = f"{factors[0][0]}, {factors[1][0]} -> {of_output}"
        result = torch.einsum(equation, factors[0][1], factors[1][1])
        product = product_of("einsum", (equation, factors[0][1], factors[1][1]), lambda x: x is weights)
        assert product is not None
        laid_out = product.laid_out(result, batch=99)
        assert laid_out is not None
        alpha, v, arranged = laid_out
        assert (alpha.shape, v.shape) == ((2, 3, 4, 5), (2, 3, 5, 6))
        torch.testing.assert_close((alpha @ v).transpose(1, 2).flatten(2), arranged(result))


@pytest.mark.parametrize(
    "equation", ["bhts,bhsd->bhd", "bhts,hsd->bhtd", "bhtt,bhtd->bhtd", "ts,sd->td", "...ts,...sd->...td"]
)
def test_a_product_that_is_no_map_of_target_by_source_is_none(equation: str) -> None:
    one, other = (torch.ones([2] * len(axes.replace("...", "bh"))) for axes in equation.partition("->")[0].split(","))
    assert product_of("einsum", (equation, one, other), lambda x: x is one) is None


@pytest.mark.parametrize(("model_type", "reason"), [
    ("longformer", r"encoder\.layer\.0\.attention\.self \(LongformerSelfAttention\) computes a softmax.*windowed"),
    ("reformer", "no softmax of its own was seen.*fused kernel"),
])  # fmt: skip
def test_what_is_not_measured_is_refused_for_the_true_reason(model_type: str, reason: str) -> None:
    with pytest.raises(UnsupportedArchitecture, match=reason):
        normlens.load((tiny.build(model_type), None)).analyze(IDS)
