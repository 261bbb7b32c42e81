"""From a block to numbers: slices of targets, own vectors, ratios; and results that don't add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from architectures import tiny
from blocks_by_hand import KINDS, SCOPES, block_by_hand, contributions, normal, outer_norm_of, residual_of

from normlens.engine.contributions.measure import Measures, check_conservation, measure
from normlens.engine.tolerance import TOLERANCES
from normlens.errors import ConservationError

Ids = Callable[..., list[int]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", SCOPES)
def test_norms_equal_those_of_explicit_contributions(kind: str, scope: str) -> None:
    block = KINDS[kind]()
    (measures,) = measure(block, SCOPES)
    exact = contributions(block, scope).norm(dim=-1)
    assert torch.allclose(measures.norm[scope], exact, rtol=1e-10, atol=1e-12)
    assert float(measures.conservation_error[scope].max()) <= 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_slices_of_targets_equal_the_whole(kind: str) -> None:
    block = KINDS[kind]()
    (whole,) = measure(block, SCOPES)
    slices = list(measure(block, SCOPES, chunk_size=2))
    assert [measures.start for measures in slices] == [0, 2, 4]
    assert torch.equal(torch.cat([measures.weight for measures in slices], 2), whole.weight)
    for scope in SCOPES:
        for name in ("norm", "own", "mixing_ratio", "conservation_error"):
            if scope in getattr(whole, name):
                together = torch.cat([getattr(measures, name)[scope] for measures in slices], 1)
                assert torch.allclose(together, getattr(whole, name)[scope], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", SCOPES)
def test_mixing_ratio_sums_each_part_before_its_norm(kind: str, scope: str) -> None:
    block = KINDS[kind]()
    (measures,) = measure(block, SCOPES)
    each = contributions(block, scope)
    if block.cross:
        own, outer = residual_of(block).own, outer_norm_of(block)
        own = torch.zeros_like(own) if scope == "attention" else own
        own = outer.form.linear(own) * outer.scale if scope == "layernorm" else own
        context = each.sum(2)
    else:
        own = each.diagonal(dim1=1, dim2=2).transpose(1, 2)
        context = each.sum(2) - own
    exact = context.norm(dim=-1) / (context.norm(dim=-1) + own.norm(dim=-1))
    assert torch.allclose(measures.mixing_ratio[scope], exact, rtol=1e-9)


def test_in_cross_attention_the_target_s_vector_is_no_source() -> None:
    block = block_by_hand(cross=True)
    (measures,) = measure(block, SCOPES)
    own, outer = residual_of(block).own, outer_norm_of(block)
    assert torch.allclose(measures.own["residual"], own.norm(dim=-1))
    normed = outer.form.linear(own) * outer.scale
    assert torch.allclose(measures.own["layernorm"], normed.norm(dim=-1))
    assert "attention" not in measures.own
    assert not measures.mixing_ratio_weight


def test_ratio_by_weight_is_what_the_other_sources_get() -> None:
    block = block_by_hand()
    (measures,) = measure(block, SCOPES)
    others = 1 - measures.weight.diagonal(dim1=-2, dim2=-1).mean(1)
    assert torch.allclose(measures.mixing_ratio_weight["attention"], others)
    assert torch.allclose(measures.mixing_ratio_weight["residual"], others / 2)
    assert "layernorm" not in measures.mixing_ratio_weight


def test_behind_a_gate_no_vector_norm_belongs_to_the_source_alone() -> None:
    (measures,) = measure(block_by_hand(gated=True), ("attention",))
    assert measures.vector_norm.isnan().all()
    (plain,) = measure(block_by_hand(), ("attention",))
    assert not plain.vector_norm.isnan().any()


def test_the_feed_forward_part_of_a_parallel_block_is_left_out() -> None:
    block = block_by_hand()
    (before,) = measure(block, ("attention", "residual"))
    other_addend, residual = normal(2, 5, 4, seed=20), residual_of(block)
    block = replace(block, residual=replace(residual, other_addend=other_addend, output=residual.output + other_addend))
    (after,) = measure(block, ("attention", "residual"))
    assert torch.equal(before.norm["residual"], after.norm["residual"])
    assert float(after.conservation_error["residual"].max()) <= 1e-12


def with_error(error: float) -> Measures:
    (measures,) = measure(block_by_hand(), ("attention",))
    errors = torch.zeros(2, 5, dtype=torch.float64)
    errors[1, 4] = error
    return replace(measures, conservation_error={"attention": errors})


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_ten_times_the_tolerance_is_the_limit(dtype: torch.dtype) -> None:
    check_conservation(with_error(9.9 * TOLERANCES[dtype]), "layers.0.attention", dtype, None)
    for error in (10.1 * TOLERANCES[dtype], torch.nan, torch.inf):
        with pytest.raises(ConservationError, match=r"layers\.0\.attention.*'attention'"):
            check_conservation(with_error(error), "layers.0.attention", dtype, None)


def test_errors_at_padding_are_not_looked_at() -> None:
    valid = torch.ones(2, 5, dtype=torch.bool)
    valid[1, 4] = False
    check_conservation(with_error(1.0), "layers.0.attention", torch.float32, valid)


def test_tolerances_are_those_that_the_documentation_promises() -> None:
    assert TOLERANCES[torch.float32] == 1e-5
    assert (TOLERANCES[torch.float16], TOLERANCES[torch.bfloat16]) == (2e-3, 1e-2)


def test_models_with_a_gate_and_with_a_norm_between_attention_and_projection_add_up(lens_of, tokens: Ids) -> None:
    gated = [t for t in ("qwen3_next", "afmoe", "dots3_note_text") if t in tiny.model_types()]
    for model_type in [*gated, "bitnet"]:
        assert lens_of(model_type).analyze(tokens(6)).conservation_error <= 1e-5
