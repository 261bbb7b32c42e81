"""Sources chosen by displacement and jointly: the choices of the definition, in functions and models; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from architectures import tiny
from formula import dense_scores
from switched_models import Ids, gap, run
from torch import Tensor

from normlens import topk
from normlens.errors import InvalidInput
from normlens.topk import projection_factors, topk_attention

HEADS, WIDTH, SOURCES, DIM = 4, 11, 9, 3
SINKS = torch.tensor([0.3, -1.0, 2.0, 0.0], dtype=torch.float64)

Choice = Callable[[Tensor, Tensor, int, float], list[int]]
"""From α of one target, the vectors of all sources, k, and the sink's weight (1 for the full denominator)."""


def visible() -> Tensor:
    """Some sources hidden; target 2 of the first text sees nothing, target 5 of the second only source 3."""
    mask = torch.rand(2, 1, SOURCES, SOURCES, generator=torch.Generator().manual_seed(1)) > 0.25
    mask[0, 0, 2] = False
    mask[1, 0, 5] = torch.arange(SOURCES) == 3
    return mask


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys, values and W_O, with values of very unequal lengths and in one direction on average."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, HEADS, SOURCES, DIM), (2, 2, SOURCES, DIM), (2, 2, SOURCES, DIM), (HEADS * DIM, WIDTH)
    query, key, value, projection = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return 2 * query, key, value * torch.logspace(-1, 1, SOURCES, dtype=torch.float64)[:, None] + 0.5, projection


def by_displacement(weights: Tensor, vectors: Tensor, k: int, rest: float) -> list[int]:
    distances = (vectors - weights @ vectors).norm(dim=-1)
    return (weights * distances).masked_fill(weights == 0, -1).argsort(descending=True)[:k].tolist()


def jointly(weights: Tensor, vectors: Tensor, k: int, rest: float) -> list[int]:
    output, chosen = weights @ vectors, [int(weights.argmax())]
    while len(chosen) < min(k, int((weights > 0).sum())):
        errors = {}
        for j in set(weights.nonzero().flatten().tolist()) - set(chosen):
            kept = [*chosen, j]
            total = 1 if rest == 1 else weights[kept].sum() + rest
            errors[j] = float((weights[kept] @ vectors[kept] / total - output).norm())
        chosen.append(min(errors, key=errors.__getitem__))
    return chosen


def slowly(choice: Choice, k: int, sinks: Tensor | None, renormalize: bool) -> Tensor:
    """The output, target by target."""
    query, key, value, projection = inputs()
    value = value.repeat_interleave(2, 1)
    vectors = torch.einsum("bhsd,hde->bhse", value, projection.view(HEADS, DIM, WIDTH))
    exponents = dense_scores(query, key).masked_fill(~visible(), -torch.inf).exp()
    sink = torch.zeros(HEADS, dtype=torch.float64) if sinks is None else sinks.exp()
    output = torch.zeros_like(value)
    for b, h, i in torch.cartesian_prod(torch.arange(2), torch.arange(HEADS), torch.arange(SOURCES)).tolist():
        if not exponents[b, h, i].any():
            continue
        total = exponents[b, h, i].sum() + sink[h]
        weights, rest = exponents[b, h, i] / total, float(sink[h] / total)
        kept = choice(weights, vectors[b, h], k, rest if renormalize else 1)
        kept = [j for j in kept if weights[j] > 0]
        output[b, h, i] = weights[kept] @ value[b, h, kept] / (weights[kept].sum() + rest if renormalize else 1)
    return output


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("sinks", [None, SINKS], ids=["no sink", "sinks"])
@pytest.mark.parametrize(("measure", "choice"), [("displacement", by_displacement), ("joint", jointly)])
def test_what_is_kept_is_what_the_definition_keeps(
    measure: str, choice: Choice, sinks: Tensor | None, renormalize: bool
) -> None:
    query, key, value, projection = inputs()
    factors = projection_factors(projection, HEADS)
    for k, chunk_size in ((1, 100), (2, 2), (4, 100), (8, 3)):
        ours = topk_attention(
            query, key, value, visible(), k=k, measure=measure, factors=factors, sinks=sinks, renormalize=renormalize,
            chunk_size=chunk_size,
        )  # fmt: skip
        assert torch.allclose(ours, slowly(choice, k, sinks, renormalize), atol=1e-10), k


def test_two_sources_chosen_together_are_nearer_to_the_output_than_any_second_one() -> None:
    query, key, value, projection = inputs()
    factors = projection_factors(projection, HEADS)
    dense = topk_attention(query, key, value, visible(), k=None)

    def error(measure: str) -> Tensor:
        moved = topk_attention(query, key, value, visible(), k=2, measure=measure, factors=factors) - dense
        return torch.einsum("bhtd,hde->bhte", moved, projection.view(HEADS, DIM, WIDTH)).norm(dim=-1)

    assert (error("joint") <= error("weight") + 1e-10).all()
    assert (error("joint") < 0.99 * error("weight")).any()


@pytest.mark.parametrize("measure", ["displacement", "joint"])
def test_the_choice_has_no_gradient_and_the_rest_has(measure: str) -> None:
    query, key, value, projection = inputs()
    factors = projection_factors(projection, HEADS)

    def attend(*tensors: Tensor) -> Tensor:
        return topk_attention(*tensors, visible(), k=3, measure=measure, factors=factors, chunk_size=4)

    assert torch.autograd.gradcheck(attend, tuple(x.requires_grad_() for x in (query, key, value)), fast_mode=True)


@pytest.mark.parametrize("measure", ["displacement", "joint"])
@pytest.mark.parametrize("model_type", ["bert", "llama", "gpt2", "gpt_oss", "marian"])
def test_models(model_type: str, measure: str, tokens: Ids) -> None:
    model, ids = tiny.build(model_type), torch.tensor([tokens(12), tokens(12, 1)])
    before = run(model, ids)
    with topk.use(model, k=12, measure=measure, chunk_size=5):
        assert gap(run(model, ids), before) < 1e-6
    with topk.use(model, k=3, measure=measure, chunk_size=5):
        few = run(model, ids)
    with topk.use(model, k=3):
        by_weight = run(model, ids)
    assert gap(few, before) > 1e-5 and gap(few, by_weight) > 1e-6
    assert torch.equal(run(model, ids), before)


@pytest.mark.parametrize("measure", ["displacement", "joint"])
@pytest.mark.parametrize("factors", [None, torch.ones(HEADS, DIM), torch.ones(2, DIM, DIM), torch.ones(HEADS, DIM, 5)])
def test_factors_that_do_not_fit_are_refused(measure: str, factors: Tensor | None) -> None:
    query, key, value, _ = inputs()
    with pytest.raises(InvalidInput, match=rf"measure='{measure}' needs factors of shape \(4, rank, 3\)"):
        topk_attention(query, key, value, k=2, measure=measure, factors=factors)


def test_feedforward_units_are_ranked_by_weight_or_norm() -> None:
    options: dict[str, Any] = {"k": 3, "measure": "joint"}
    with pytest.raises(InvalidInput, match="measure must be one of weight, norm, got 'joint'"):
        topk.use_feedforward(tiny.build("bert"), **options)
