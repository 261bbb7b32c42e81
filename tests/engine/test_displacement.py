"""Displacement and contribution weights against the direct formula, head by head and summed over heads."""

from __future__ import annotations

import pytest
import torch
from blocks_by_hand import KINDS, SCOPES, block_by_hand, contributions, normal, outer_norm_of, residual_of

from normlens.engine.contributions.choice import DEFAULT_MEASURES, MEASURES, chosen_measures
from normlens.engine.contributions.displacement import head_measures
from normlens.engine.contributions.measure import Measures, measure
from normlens.engine.tracing.block import Block
from normlens.errors import InvalidInput

ALL = frozenset(MEASURES)


def head_vectors(block: Block) -> torch.Tensor:
    """f of each head at scope ``attention``, ``(batch, head, target, source, d)``, from explicit vectors."""
    value, heads = block.call.value, block.call.output.shape[2]
    batch, _, sources, size = value.shape
    targets = block.call.output.shape[1]
    vectors = []
    for head in range(heads):
        x = torch.zeros(batch, targets, sources, heads, size, dtype=value.dtype)
        x[:, :, :, head] = value[:, head * value.shape[1] // heads, None]
        x = x.flatten(3)
        x = x if block.gate is None else x * block.gate[:, :, None]
        if block.head_norm is not None:
            x = block.head_norm.form.linear(x) * block.head_norm.scale[:, :, None]
        vectors.append(x @ block.projection.weight)
    return torch.stack(vectors, dim=1)


def taken(block: Block, chunk_size: int | None = None) -> Measures:
    """All measures of a block; of slices, those of the last one."""
    return list(measure(block, SCOPES, chunk_size, chosen=ALL))[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_both_measures_of_a_head_equal_the_direct_formula(kind: str) -> None:
    block = KINDS[kind]()
    f, alpha = head_vectors(block), block.call.weights
    assert alpha is not None
    output = (alpha[..., None] * f).sum(3, keepdim=True)
    heads = taken(block).heads
    assert heads is not None
    assert torch.allclose(heads.displacement, alpha * (f - output).norm(dim=-1), rtol=1e-10, atol=1e-12)
    exact = alpha * (f * output).sum(-1) / output.square().sum(-1)
    assert torch.allclose(heads.contribution_weight, exact, rtol=1e-10, atol=1e-12)
    assert torch.allclose(heads.contribution_weight.sum(-1), torch.ones_like(exact[..., 0]), rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_output_norms_of_heads_equal_the_direct_formula(kind: str) -> None:
    block = KINDS[kind]()
    assert block.call.weights is not None
    exact = (block.call.weights[..., None] * head_vectors(block)).sum(3).norm(dim=-1)
    whole, last = taken(block).output_norm, taken(block, chunk_size=2).output_norm
    assert whole is not None
    assert last is not None
    assert torch.allclose(whole, exact, rtol=1e-10, atol=1e-12)
    assert torch.allclose(last, exact[:, :, 4:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", SCOPES)
def test_contribution_weights_of_the_sum_equal_the_direct_formula(kind: str, scope: str) -> None:
    block, measures = KINDS[kind](), taken(KINDS[kind]())
    c = contributions(block, scope)
    own = torch.zeros_like(c[:, :, 0])
    if block.cross and scope != "attention":
        outer = outer_norm_of(block)
        own = residual_of(block).own
        own = outer.form.linear(own) * outer.scale if scope == "layernorm" else own
    output = c.sum(2) + own
    exact = (c * output[:, :, None]).sum(-1) / output.square().sum(-1, keepdim=True)
    assert torch.allclose(measures.contribution_weight[scope], exact, rtol=1e-10, atol=1e-12)
    if block.cross and scope != "attention":
        of_own = (own * output).sum(-1) / output.square().sum(-1)
        assert torch.allclose(measures.own_contribution_weight[scope], of_own, rtol=1e-10)
    else:
        assert scope not in measures.own_contribution_weight


@pytest.mark.parametrize("kind", KINDS)
def test_slices_of_targets_have_the_same_measures(kind: str) -> None:
    whole, last = taken(KINDS[kind]()), taken(KINDS[kind](), chunk_size=2)
    assert whole.heads is not None
    assert last.heads is not None
    assert torch.allclose(last.heads.displacement, whole.heads.displacement[:, :, 4:], rtol=1e-10, atol=1e-12)
    for scope in SCOPES:
        expected = whole.contribution_weight[scope][:, 4:]
        assert torch.allclose(last.contribution_weight[scope], expected, rtol=1e-10, atol=1e-12)


def test_a_source_that_is_the_output_is_not_displaced() -> None:
    """With α = 1, f is o: the difference of squares would leave √ε ‖f‖."""
    value, projection = normal(1, 2, 3, 4, seed=0).float(), normal(2, 4, 5, seed=1).float()
    weights = torch.eye(3).expand(1, 2, 3, 3)
    measured = head_measures(weights, value, projection)
    assert torch.equal(measured.displacement, torch.zeros(1, 2, 3, 3))
    assert torch.allclose(measured.contribution_weight, weights)


def test_sources_close_to_the_output_keep_their_digits() -> None:
    value = 1 + 1e-4 * normal(1, 1, 6, 4, seed=0)
    weights, projection = normal(1, 1, 5, 6, seed=1).softmax(-1), normal(1, 4, 5, seed=2)
    exact = head_measures(weights, value, projection).displacement
    f = value @ projection
    direct = weights * (f[:, :, None] - (weights @ f)[:, :, :, None]).norm(dim=-1)
    assert torch.allclose(exact, direct, rtol=1e-9)
    single = head_measures(weights.float(), value.float(), projection.float()).displacement
    assert torch.allclose(single.double(), exact, rtol=2e-2)  # the digits that float32 values have


def test_grouped_heads_share_values() -> None:
    value, weights, projection = (
        normal(1, 2, 3, 4, seed=0),
        normal(1, 6, 3, 3, seed=1).softmax(-1),
        normal(6, 4, 5, seed=2),
    )
    shared = head_measures(weights, value, projection)
    repeated = head_measures(weights, value.repeat_interleave(3, dim=1), projection)
    assert torch.equal(shared.displacement, repeated.displacement)


def test_by_hand() -> None:
    """f = (1, 0) and (0, 1) with α = ¾ and ¼: o = (¾, ¼); displacements ¾·¼√2 and ¼·¾√2; shares 9/10 and 1/10."""
    value, weights = torch.eye(2)[None, None], torch.tensor([[[[0.75, 0.25]]]])
    measured = head_measures(weights, value, torch.eye(2)[None])
    assert measured.displacement.flatten().tolist() == pytest.approx([0.1875 * 2**0.5] * 2)
    assert measured.contribution_weight.flatten().tolist() == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize("values", [[1.0, -1.0], [1.1, 2.3, -3.4]], ids=["zero", "zero up to rounding"])
def test_a_head_without_output_has_no_contribution_weights(values: list[float]) -> None:
    value, weights = torch.tensor(values)[None, None, :, None], torch.full((1, 1, 1, len(values)), 1 / len(values))
    measured = head_measures(weights, value, torch.ones(1, 1, 1))
    assert measured.contribution_weight.isnan().all()
    expected = [abs(x) / len(values) for x in values]
    assert measured.displacement.flatten().tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_asked_for_is_not_measured_and_the_rest_stays(kind: str) -> None:
    (default,) = measure(KINDS[kind](), SCOPES)
    assert default.heads is None
    assert not default.contribution_weight
    (few,) = measure(KINDS[kind](), SCOPES, chosen=chosen_measures(["weighted_norm"]))
    assert not few.norm
    assert not few.mixing_ratio
    assert torch.allclose(few.vector_norm, default.vector_norm, rtol=1e-10, equal_nan=True)
    for scope in SCOPES:
        assert torch.equal(few.conservation_error[scope], default.conservation_error[scope])


def test_measures_have_names() -> None:
    assert chosen_measures(None) == frozenset(DEFAULT_MEASURES) - {"weighted_norm"}
    assert chosen_measures(["displacement"]) == {"displacement"}
    assert chosen_measures("weighted_norm") == {"weight", "vector_norm"}
    with pytest.raises(InvalidInput, match="Did you mean 'displacement'"):
        chosen_measures(["displacment"])
    with pytest.raises(InvalidInput, match="empty"):
        chosen_measures([])


def test_an_extra_source_counts_in_the_sum() -> None:
    measures = taken(block_by_hand(cross=True))
    rows = measures.contribution_weight["residual"].sum(-1) + measures.own_contribution_weight["residual"]
    assert torch.allclose(rows, torch.ones_like(rows), rtol=1e-14)
