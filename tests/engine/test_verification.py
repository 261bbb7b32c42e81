"""Mutations: the engine is broken on purpose, one fault at a time, and must notice before a number leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from torch import Tensor
from transformers import PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

import normlens
from normlens.engine.capture.interface import AttentionCall, capturing
from normlens.engine.contributions import affine as carrying
from normlens.engine.contributions import gram as quadratic
from normlens.engine.contributions import measure as measuring
from normlens.engine.contributions import vector_norms
from normlens.engine.contributions.displacement import HeadMeasures
from normlens.engine.contributions.verify import explicit_vector, verify_pairs
from normlens.engine.tracing import Tracer
from normlens.engine.tracing.block import AppliedNorm, Block
from normlens.engine.tracing.follower import Follower
from normlens.engine.tracing.norms import NormForm, identify_norm
from normlens.engine.tracing.steps import Constants, FunctionCall, LinearMap
from normlens.errors import ConservationError, NormLensError, UnsupportedArchitecture

Caught = (ConservationError, UnsupportedArchitecture)
Ids = Callable[..., list[int]]


def granite() -> PreTrainedModel:
    model = tiny.build("granite")
    for layer in model.layers:
        layer.residual_multiplier = 0.37
    return model


def analyze(model: PreTrainedModel, tokens: Ids) -> normlens.Analysis:
    target = tokens(5, seed=1) if model.config.is_encoder_decoder else None
    return normlens.load((model, None)).analyze(tokens(7), target)


def blocks_of(model: PreTrainedModel, ids: list[int]) -> list[Block]:
    tracer = Tracer(model)
    with torch.no_grad(), capturing(model, tracer.capture), tracer.watching():
        model(input_ids=torch.tensor([ids]), use_cache=False)
    return [trace.finished() for trace in tracer.open_traces]


# A wrong norm


def other_form(form: NormForm, mistake: str) -> NormForm:
    if mistake == "centring":
        return replace(form, centered=not form.centered)
    if mistake == "gain":
        return replace(form, gain=form.gain + 1)
    return replace(form, shift=form.shift + 0.1)


@pytest.mark.parametrize("mistake", ["centring", "gain", "shift"])
@pytest.mark.parametrize(("model_type", "scope"), [("bert", "layernorm"), ("gemma2", "residual")])
def test_a_wrong_norm_is_caught(
    model_type: str, scope: str, mistake: str, monkeypatch: pytest.MonkeyPatch, tokens: Ids
) -> None:
    def wrong(module: torch.nn.Module, before: Tensor, after: Tensor, dtype: torch.dtype) -> NormForm:
        return other_form(identify_norm(module, before, after, dtype), mistake)

    monkeypatch.setattr("normlens.engine.tracing.follower.identify_norm", wrong)
    with pytest.raises(ConservationError, match=scope):
        analyze(tiny.build(model_type), tokens)


def test_no_form_but_the_right_one_fits_a_norm() -> None:
    rows = torch.randn(40, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tilted = torch.nn.LayerNorm(16, dtype=torch.float64)
    torch.nn.init.normal_(tilted.weight)
    form = identify_norm(tilted, rows, tilted(rows).detach())
    assert form.centered and torch.equal(form.gain, tilted.weight)
    with pytest.raises(UnsupportedArchitecture, match="not a LayerNorm or RMSNorm"):
        identify_norm(tilted, rows, tilted(rows).detach().square())


# σ from the wrong row


@pytest.mark.parametrize("model_type", ["bert", "gemma2", "marian"])
def test_sigma_from_the_wrong_row_is_caught(model_type: str, monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    right = Follower._applied

    def wrong(*arguments: Any) -> AppliedNorm:
        norm = right(*arguments)
        return replace(norm, scale=norm.scale.roll(1, dims=1))

    monkeypatch.setattr(Follower, "_applied", wrong)
    with pytest.raises(ConservationError):
        analyze(tiny.build(model_type), tokens)


def test_a_row_scale_that_fits_no_norm_leaves_the_scope_out(monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    right = NormForm.row_scale
    monkeypatch.setattr(NormForm, "row_scale", lambda form, u, z: right(form, u, z).roll(1, dims=-2))
    analysis = analyze(tiny.build("bert"), tokens)
    assert "norm_residual" in analysis["encoder"].data
    assert "norm_layernorm" not in analysis["encoder"].data


# A dropped mask


@pytest.fixture
def without_mask() -> Iterator[None]:
    function = AttentionMaskInterface._global_mapping.pop("normlens")
    yield
    AttentionMaskInterface.register("normlens", function)


@pytest.mark.usefixtures("without_mask")
@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma2"])
def test_a_dropped_causal_mask_is_caught(model_type: str, tokens: Ids) -> None:
    try:
        analysis = analyze(tiny.build(model_type), tokens)
    except Caught:
        return
    assert not analysis["decoder"].weight.values[..., np.triu_indices(7, 1)[0], np.triu_indices(7, 1)[1]].any()


@pytest.mark.usefixtures("without_mask")
def test_a_dropped_padding_mask_is_caught(tokens: Ids) -> None:
    lens = normlens.load((tiny.build("bert"), None))
    texts = [tokens(9), tokens(4, seed=1), tokens(6, seed=2)]
    alone = [lens.analyze(text) for text in texts]
    try:
        together = list(lens.analyze(texts, progress=False))
    except Caught:
        return
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one["encoder"].weight, other["encoder"].weight, atol=1e-5)


# A missing multiplier


@pytest.mark.parametrize("build", [granite, lambda: tiny.build("cohere")], ids=["granite", "cohere"])
def test_without_mutation_the_models_of_these_tests_are_accepted(build: Callable[[], Any], tokens: Ids) -> None:
    assert analyze(build(), tokens).conservation_error <= 1e-5


def test_a_missing_residual_multiplier_is_caught(monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    right = Constants.factor

    def one(constants: Constants, x: Any, size: int) -> Tensor | None:
        factor = right(constants, x, size)
        return None if factor is None else torch.ones_like(factor)

    monkeypatch.setattr(Constants, "factor", one)
    with pytest.raises(ConservationError, match="residual"):
        analyze(granite(), tokens)


# Heads and projections


@pytest.mark.parametrize("model_type", ["bert", "llama", "gpt_neox"])
def test_heads_swapped_in_the_projection_are_caught(
    model_type: str, monkeypatch: pytest.MonkeyPatch, tokens: Ids
) -> None:
    monkeypatch.setattr(
        carrying, "split_projection", lambda p, heads: vector_norms.split_projection(p, heads).roll(1, 0)
    )
    with pytest.raises(ConservationError, match="explicit vectors"):
        analyze(tiny.build(model_type), tokens)


def test_value_heads_given_to_the_wrong_query_heads_are_caught(monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    def tiled(value: Tensor, projection: Tensor, *others: Any) -> quadratic.SourceForms:
        return quadratic.source_forms(value.repeat(1, len(projection) // value.shape[1], 1, 1), projection, *others)

    block = blocks_of(tiny.build("llama"), tokens(7))[0]
    monkeypatch.setattr(carrying, "source_forms", tiled)
    with pytest.raises(ConservationError, match="explicit vectors"):
        verify_pairs(block, ("attention",), torch.float32)


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "marian"])
def test_a_dropped_output_bias_is_caught(model_type: str, monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    right = Constants.linear_map

    def unbiased(*arguments: Any) -> LinearMap | None:
        linear_map = right(*arguments)
        return None if linear_map is None else replace(linear_map, bias=None)

    monkeypatch.setattr(Constants, "linear_map", unbiased)
    with pytest.raises(ConservationError, match="attention"):
        analyze(tiny.build(model_type), tokens)


def test_norms_of_the_heads_summed_instead_of_the_norm_of_the_sum_are_caught(
    monkeypatch: pytest.MonkeyPatch, tokens: Ids
) -> None:
    def summed(weights: Tensor, grams: list[Tensor], vectors_of: object) -> list[Tensor]:
        return [torch.einsum("bhts,bsh->bts", weights, g.diagonal(dim1=-2, dim2=-1).sqrt()) for g in grams]

    monkeypatch.setattr(carrying, "quadratic_norms", summed)
    with pytest.raises(ConservationError, match="explicit vectors"):
        analyze(tiny.build("bert"), tokens)


# What was captured isn't what the model did


@pytest.mark.parametrize("mistake", ["weights of another head", "value without its bias", "weights of another row"])
def test_attention_that_was_captured_wrongly_is_caught(
    mistake: str, monkeypatch: pytest.MonkeyPatch, tokens: Ids
) -> None:
    right = Tracer.capture

    def wrong(tracer: Tracer, call: AttentionCall) -> None:
        assert call.weights is not None
        changed = {
            "weights of another head": {"weights": call.weights.roll(1, 1)},
            "weights of another row": {"weights": call.weights.roll(1, 2)},
            "value without its bias": {"value": call.value - 0.1},
        }
        right(tracer, replace(call, **changed[mistake]))

    monkeypatch.setattr(Tracer, "capture", wrong)
    with pytest.raises(ConservationError):
        analyze(tiny.build("bert"), tokens)


def test_the_wrong_residual_stream_is_caught(monkeypatch: pytest.MonkeyPatch, tokens: Ids) -> None:
    right = Follower._add

    def wrong(follower: Follower, at: Any, call: FunctionCall) -> None:
        right(follower, at, replace(call, before=tuple(x.roll(1, 1) for x in call.before)))

    monkeypatch.setattr(Follower, "_add", wrong)
    with pytest.raises(ConservationError, match="residual"):
        analyze(tiny.build("llama"), tokens)


def test_a_model_that_asks_for_the_name_of_the_implementation_is_caught(tokens: Ids) -> None:
    model = tiny.build("bert")
    intermediate = model.encoder.layer[0].intermediate
    right = intermediate.forward

    def dependent(hidden_states: Tensor) -> Tensor:
        return right(hidden_states) * (1.0 if model.config._attn_implementation == "eager" else 1.1)

    intermediate.forward = dependent
    try:
        analysis = analyze(model, tokens)
    except Caught as error:
        assert "different output" in str(error)
        return
    reference = analyze(tiny.build("bert"), tokens)
    assert np.allclose(analysis["encoder"].norm, reference["encoder"].norm, atol=1e-6)


def test_weights_that_are_not_finite_never_give_numbers(tokens: Ids) -> None:
    model = tiny.build("bert")
    lens = normlens.load((model, None))
    with torch.no_grad():
        model.encoder.layer[1].attention.self.value.weight[0, 0] = torch.nan
    with pytest.raises(NormLensError):
        lens.analyze(tokens(7))


# Explicit vectors


def test_explicit_vectors_add_up_to_the_projected_output(tokens: Ids) -> None:
    block = blocks_of(tiny.build("gemma2", dtype=torch.float64), tokens(6))[0]
    assert block.residual is not None
    for target in range(6):
        vectors = sum(explicit_vector(block, "attention", 0, target, source) for source in range(6))
        assert torch.allclose(vectors, block.projection.output[0, target], atol=1e-12)  # Gemma's projection has no bias
        vectors = sum(explicit_vector(block, "residual", 0, target, source) for source in range(6))
        assert torch.allclose(vectors, block.residual.output[0, target], atol=1e-6)  # nor has its norm; σ is float32's


def test_pairs_of_every_scope_equal_explicit_vectors(tokens: Ids) -> None:
    for block in blocks_of(tiny.build("bert", dtype=torch.float64), tokens(6)):
        assert verify_pairs(block, block.scopes, torch.float64, pairs=40) <= 1e-12


def test_how_far_norms_were_from_vectors_is_kept(tokens: Ids) -> None:
    errors = [
        analyze(tiny.build("bert", dtype=dtype), tokens).attrs["vector_error"]
        for dtype in (torch.float32, torch.bfloat16)
    ]
    assert 0 < errors[0] < 1e-5
    assert errors[0] < errors[1]


@pytest.mark.parametrize("name", ["displacement", "contribution_weight"])
def test_measures_of_single_heads_that_are_wrong(name: str, tokens: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    right = measuring.head_measures

    def wrong(*args: Any) -> HeadMeasures:
        measures = right(*args)
        return replace(measures, **{name: 1.01 * getattr(measures, name)})

    monkeypatch.setattr(measuring, "head_measures", wrong)
    with pytest.raises(ConservationError, match="measures differ from those of explicit vectors"):
        analyze(tiny.build("bert"), tokens)
