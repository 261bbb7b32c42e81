"""The algebra against explicit vectors, from the same weights, values and statistics; and what must hold for any."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from weighted_vectors import gram_matrices, head_vectors, own_contribution, summed_norms

from normlens.engine.contributions.gram import quadratic_norms, source_forms
from normlens.engine.contributions.vector_norms import (
    conservation_error,
    gated_norms,
    mixing_ratio,
    split_projection,
    vector_norms,
)
from normlens.engine.tracing.norms import NormForm

EXACT = 1e-10
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**31)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def attention(heads: int, targets: int, sources: int, batch: int = 2, seed: int = 0) -> Tensor:
    return (2 * normal(batch, heads, targets, sources, seed=seed)).softmax(-1)


def explicit(weights: Tensor, value: Tensor, projection: Tensor) -> Tensor:
    """Every contribution of every head as a vector, ``(batch, head, target, source, d)``; value per query head."""
    moved = torch.einsum("bhsk,hkd->bhsd", value, projection)
    return weights[..., None] * moved[:, :, None]


def algebra(weights: Tensor, value: Tensor, projection: Tensor) -> Tensor:
    return summed_norms(weights, [head_vectors(value, projection)])[0]


def gap(measured: Tensor, exact: Tensor) -> float:
    """Largest difference relative to the row's largest contribution."""
    return float(((measured - exact).abs() / exact.amax(-1, keepdim=True).clamp_min(1e-300)).max())


# Against the direct formula


@pytest.mark.parametrize(
    ("heads", "kv_heads", "targets", "sources"),
    [(4, 4, 6, 6), (8, 2, 5, 9), (9, 3, 7, 7), (6, 1, 3, 11), (1, 1, 4, 4), (3, 3, 5, 1)],
)
def test_norms_equal_those_of_explicit_vectors(heads: int, kv_heads: int, targets: int, sources: int) -> None:
    weights, value = attention(heads, targets, sources), normal(2, kv_heads, sources, 5, seed=1)
    projection = split_projection(normal(heads * 5, 12, seed=2), heads)
    per_query_head = value.repeat_interleave(heads // kv_heads, dim=1)
    each = explicit(weights, per_query_head, projection)
    vectors = head_vectors(value, projection)
    assert gap(summed_norms(weights, [vectors])[0], each.sum(1).norm(dim=-1)) <= EXACT
    lengths = vector_norms(gram_matrices(vectors))
    assert gap(weights * lengths[:, :, None], each.norm(dim=-1)) <= EXACT


def test_query_heads_of_a_group_share_the_group_s_value_head() -> None:
    value = normal(1, 2, 3, 4)
    projection = torch.eye(4, dtype=torch.float64).expand(6, 4, 4)
    vectors = head_vectors(value, projection)
    for head in range(6):
        assert torch.equal(vectors[0, :, head], value[0, head // 3])


def test_each_slice_of_the_projection_belongs_to_its_head() -> None:
    projection = torch.arange(24.0).reshape(6, 4)
    assert torch.equal(split_projection(projection, 3)[1], projection[2:4])


def test_all_weight_on_one_source_moves_that_source_s_vector_alone() -> None:
    weights = torch.zeros(1, 3, 4, 5, dtype=torch.float64)
    weights[..., 2] = 1
    value, projection = normal(1, 3, 5, 4, seed=1), normal(3, 4, 7, seed=2)
    norms = algebra(weights, value, projection)
    expected = head_vectors(value, projection)[0, 2].sum(0).norm()
    assert torch.allclose(norms[0, :, 2], expected, rtol=EXACT, atol=0)
    assert not norms[0, :, [0, 1, 3, 4]].any()


def test_norms_of_several_projections_come_in_their_order() -> None:
    weights, value = attention(3, 4, 4), normal(2, 3, 4, 5, seed=1)
    one, other = normal(3, 5, 7, seed=2), normal(3, 5, 7, seed=3)
    both = summed_norms(weights, [head_vectors(value, one), head_vectors(value, other)])
    assert torch.equal(both[0], algebra(weights, value, one))
    assert torch.equal(both[1], algebra(weights, value, other))


def test_a_gate_makes_f_depend_on_the_target() -> None:
    weights, value = attention(3, 5, 6), normal(2, 3, 6, 4, seed=1)
    gate, projection = normal(2, 5, 12, seed=2), normal(12, 7, seed=3)
    (norms,) = gated_norms(weights, value, gate, [projection])
    for b, i, j in [(0, 0, 0), (0, 4, 5), (1, 2, 3)]:
        mixed = torch.cat([weights[b, h, i, j] * value[b, h, j] for h in range(3)]) * gate[b, i]
        assert norms[b, i, j] == pytest.approx(float((mixed @ projection).norm()), rel=EXACT)


def test_gated_norms_are_the_same_a_few_targets_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, value = attention(2, 7, 6), normal(2, 2, 6, 4, seed=1)
    gate, projection = normal(2, 7, 8, seed=2), normal(8, 5, seed=3)
    (at_once,) = gated_norms(weights, value, gate, [projection])
    monkeypatch.setattr("normlens.engine.contributions.vector_norms._GATED_NUMBERS", 2 * 6 * 8)
    (in_chunks,) = gated_norms(weights, value, gate, [projection])
    assert torch.allclose(at_once, in_chunks, rtol=1e-12, atol=0)


def test_own_contribution_is_the_diagonal_of_the_contributions() -> None:
    weights, value, projection = attention(3, 4, 4), normal(2, 3, 4, 5, seed=1), normal(3, 5, 7, seed=2)
    each = explicit(weights, value, projection).sum(1)
    own = own_contribution(weights.diagonal(dim1=-2, dim2=-1).transpose(1, 2), head_vectors(value, projection))
    assert torch.allclose(own, torch.stack([each[:, i, i] for i in range(4)], 1), atol=1e-12)


# Blocks of sources and of targets


@pytest.fixture(params=["blocks larger than the input", "blocks of three"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "blocks of three":
        monkeypatch.setattr("normlens.engine.contributions.gram._SOURCES", 3)
        monkeypatch.setattr("normlens.engine.contributions.gram._FEWEST_TARGETS", 3)
        monkeypatch.setattr("normlens.engine.contributions.gram._NUMBERS", 1)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("kind", ["none", "LayerNorm", "RMSNorm"])
@pytest.mark.parametrize(("heads", "kv_heads", "length"), [(4, 4, 7), (6, 2, 10), (3, 1, 1)])
def test_block_by_block_the_forms_are_those_of_all_head_vectors(
    kind: str, heads: int, kv_heads: int, length: int
) -> None:
    value, projection = normal(2, kv_heads, length, 5, seed=1), normal(heads, 5, 9, seed=2)
    norm = None if kind == "none" else NormForm(normal(9, seed=3), normal(9, seed=4), kind == "LayerNorm")
    diagonal = normal(2, length, heads, seed=5)
    vectors = head_vectors(value, projection)
    forms = source_forms(value, projection, norm, diagonal)
    assert torch.allclose(forms.gram, gram_matrices(vectors), rtol=1e-12, atol=1e-12)
    assert forms.own is not None and torch.allclose(forms.own, own_contribution(diagonal, vectors), atol=1e-12)
    if norm is None:
        assert forms.normed is None
    else:
        behind = gram_matrices(norm.linear(vectors))
        assert forms.normed is not None and torch.allclose(forms.normed, behind, rtol=1e-12, atol=1e-12)
    assert source_forms(value, projection).own is None


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("signed", [False, True])
def test_block_by_block_the_norms_are_those_of_explicit_vectors(signed: bool) -> None:
    weights, value = attention(4, 7, 10), normal(2, 4, 10, 5, seed=1)
    weights = weights - 0.1 if signed else weights
    projections = [normal(4, 5, 9, seed=2), normal(4, 5, 6, seed=3)]
    sets = [head_vectors(value, projection) for projection in projections]
    sets[1][1, 4, 0] = -sets[1][1, 4, 1:].sum(0)  # the heads of one source nearly cancel where α is even
    weights[1, :, 3, 4] = 0.25
    by_block = quadratic_norms(weights, [gram_matrices(f) for f in sets], lambda b, j, k: sets[k][b, j])
    for norms, vectors in zip(by_block, sets, strict=True):
        assert gap(norms, torch.einsum("bhts,bshd->btsd", weights, vectors).norm(dim=-1)) <= EXACT
    assert float(by_block[1][1, 3, 4]) <= 1e-14


def test_one_target_and_no_target_are_fine() -> None:
    weights, vectors = attention(2, 1, 3, batch=1), normal(1, 3, 2, 4)
    gram = [gram_matrices(vectors)]
    assert quadratic_norms(weights, gram, lambda b, j, k: vectors[b, j])[0].shape == (1, 1, 3)


# Heads that cancel


def canceling(left: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Weights and head vectors of two heads that cancel to the share ``left`` of their length; a third is zero."""
    weights = attention(1, 5, 6, seed=3).expand(2, 2, 5, 6)
    weights = torch.cat([weights, attention(1, 5, 6, seed=4)], 1)
    one = normal(2, 6, 16, seed=5)
    vectors = torch.stack([one, -one + left * normal(2, 6, 16, seed=6), torch.zeros_like(one)], 2)
    return weights.to(dtype), vectors.to(dtype)


def test_heads_that_cancel_exactly_move_nothing() -> None:
    weights, vectors = canceling(0.0)
    assert not summed_norms(weights, [vectors])[0].isnan().any()
    assert float(summed_norms(weights, [vectors])[0].max()) <= 1e-14 * float(vectors.norm(dim=-1).max())


@pytest.mark.parametrize("left", [1e-1, 1e-2, 1e-3, 1e-5, 1e-8])
def test_heads_that_nearly_cancel_keep_their_digits(left: float) -> None:
    weights, vectors = canceling(left)
    exact = torch.einsum("bhts,bshd->btsd", weights, vectors).norm(dim=-1)
    longest = torch.einsum("bhts,bsh->bts", weights, vectors.norm(dim=-1))
    summed = summed_norms(weights, [vectors])[0]
    assert gap(summed, exact) <= EXACT or float(((summed - exact) / longest).abs().max()) <= 1e-15
    in_single = summed_norms(weights.float(), [vectors.float()])[0].double()
    # rounding of 6e-8 in the squares, divided by twice the 3 % of the length from which on QR takes over
    assert float(((in_single - exact).abs() / longest).max()) <= 3e-6


@pytest.mark.parametrize("left", [3e-2, 1e-2, 1e-3])
def test_in_float32_nearly_canceling_heads_are_off_by_rounding_only(left: float) -> None:
    weights, vectors = canceling(left, torch.float32)
    exact = torch.einsum("bhts,bshd->btsd", weights.double(), vectors.double()).norm(dim=-1)
    summed = summed_norms(weights, [vectors])[0].double()
    assert float(((summed - exact).abs() / exact).max()) <= 1e-6 / left


def test_canceling_rows_are_mended_in_the_shapes_of_wide_and_narrow_models() -> None:
    for heads, d in [(6, 3), (3, 6)]:
        vectors = normal(1, 2, heads, d, seed=heads)
        vectors[..., -1, :] = -vectors[..., :-1, :].sum(-2) * (1 + 1e-4)
        weights = torch.full((1, heads, 4, 2), 0.25, dtype=torch.float64)
        exact = (0.25 * vectors.sum(-2)).norm(dim=-1).unsqueeze(1).expand(1, 4, 2)
        assert gap(summed_norms(weights, [vectors])[0], exact) <= EXACT


# Properties


@quick
@given(seeds, st.floats(1e-3, 1e3), st.integers(1, 5), st.integers(1, 6))
def test_scaling_the_values_scales_the_norms(seed: int, factor: float, heads: int, sources: int) -> None:
    weights, value = attention(heads, 3, sources, seed=seed), normal(2, heads, sources, 4, seed=seed + 1)
    projection = normal(heads, 4, 7, seed=seed + 2)
    assert gap(algebra(weights, factor * value, projection), factor * algebra(weights, value, projection)) <= EXACT


@quick
@given(seeds, st.permutations(range(6)))
def test_permuting_the_sources_permutes_the_norms(seed: int, order: list[int]) -> None:
    weights, value = attention(3, 4, 6, seed=seed), normal(2, 3, 6, 5, seed=seed + 1)
    projection = normal(3, 5, 7, seed=seed + 2)
    permuted = algebra(weights[..., order], value[:, :, order], projection)
    assert gap(permuted, algebra(weights, value, projection)[..., order]) <= EXACT


@quick
@given(seeds, st.integers(1, 6))
def test_a_single_source_gives_the_whole_output(seed: int, heads: int) -> None:
    value, projection = normal(1, heads, 1, 4, seed=seed), normal(heads, 4, 7, seed=seed + 1)
    weights = torch.ones(1, heads, 3, 1, dtype=torch.float64)
    output = torch.einsum("hk,hkd->d", value[0, :, 0], projection)
    assert torch.allclose(algebra(weights, value, projection), output.norm(), rtol=1e-9, atol=1e-12)


@quick
@given(seeds, st.integers(1, 6), st.integers(1, 7))
def test_a_sum_is_never_longer_than_its_parts(seed: int, heads: int, sources: int) -> None:
    weights, value = attention(heads, 4, sources, seed=seed), normal(2, heads, sources, 5, seed=seed + 1)
    vectors = head_vectors(value, normal(heads, 5, 7, seed=seed + 2))
    bound = (weights * vector_norms(gram_matrices(vectors))[:, :, None]).sum(1)
    assert bool((summed_norms(weights, [vectors])[0] <= bound * (1 + 1e-9)).all())


@quick
@given(seeds, st.floats(0, 1))
def test_pairs_of_opposite_heads_leave_their_difference(seed: int, share: float) -> None:
    vectors = normal(1, 4, 1, 8, seed=seed)
    pair = torch.cat([vectors, -vectors], 2)
    weights = torch.empty(1, 2, 3, 4, dtype=torch.float64)
    weights[:, 0], weights[:, 1] = 1.0, share
    exact = (1 - share) * vectors[:, None, :, 0].norm(dim=-1).expand(1, 3, 4)
    summed = summed_norms(weights, [pair])[0]
    assert float(((summed - exact).abs() / vectors.norm(dim=-1).max()).max()) <= 1e-10


# Ratios and errors, by hand


def test_mixing_ratio_by_hand() -> None:
    context = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]])
    own = torch.tensor([[[0.0, 15.0], [2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    assert mixing_ratio(context, own).tolist() == [[0.25, 0.0, 1.0, 0.0]]


def test_conservation_error_by_hand() -> None:
    output = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    total = torch.tensor([[[3.0, 4.5], [0.0, 0.25]]])
    assert conservation_error(total, output).tolist() == [[pytest.approx(0.1), 0.25]]
