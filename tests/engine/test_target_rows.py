"""Targets computed slice by slice: what the mask hides from a slice is left out where the model's function allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normlens.engine.capture.target_rows import EagerFunction, TargetRows
from normlens.engine.contributions.gram import reached_sources

LEAST = torch.finfo(torch.float32).min


def attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **others: Any) -> Any:
    """Attention as an eager function computes it."""
    scores = query @ key.transpose(-1, -2) + mask + others.get("bias", 0)
    weights = scores.softmax(-1)
    return (weights @ value).transpose(1, 2), weights


def scaled_by_length(module: nn.Module, query: Tensor, key: Tensor, *others: Tensor, **named: Any) -> Any:
    """Attention whose temperature depends on the number of sources."""
    return attention(module, query * key.shape[2] ** 0.5, key, *others, **named)


def made_for_one_length(module: nn.Module, query: Tensor, key: Tensor, *others: Tensor, **named: Any) -> Any:
    """Attention that has a table of all positions."""
    table = torch.zeros(7)
    return attention(module, query, key + table[:, None], *others, **named)


def causal(rows: int = 7) -> Tensor:
    """The mask of a causal model."""
    return torch.full((rows, rows), LEAST).triu(1)[None, None]


def rows_of(eager: EagerFunction, mask: Tensor | None, **others: Any) -> TargetRows:
    """A call with seven tokens and two heads."""
    query, key, value = torch.randn(3, 1, 2, 7, 4, generator=torch.Generator().manual_seed(0))
    return TargetRows(eager, nn.Identity(), query, key, value, mask, others)


def seen_lengths(eager: EagerFunction, lengths: list[int]) -> EagerFunction:
    """The function, which notes how many sources it is given."""

    def noting(module: nn.Module, query: Tensor, key: Tensor, *others: Any, **named: Any) -> Any:
        lengths.append(key.shape[2])
        return eager(module, query, key, *others, **named)

    return noting


def test_a_causal_slice_takes_only_the_sources_that_it_sees() -> None:
    lengths: list[int] = []
    rows, whole = rows_of(seen_lengths(attention, lengths), causal()), rows_of(attention, causal()).of(0, 7)
    output = rows.in_slices(3)
    assert lengths == [7, 3, 6, 7]  # the first slice is computed with and without what is hidden
    assert torch.allclose(output, whole[0], atol=1e-6)
    weights = torch.cat([rows.of(start, min(start + 3, 7))[1] for start in (0, 3, 6)], dim=2)
    assert weights.shape == (1, 2, 7, 7) and torch.allclose(weights, whole[1], atol=1e-7)
    assert not weights.triu(1).any()
    assert torch.allclose(rows.of(0, 2)[1], whole[1][:, :, :2], atol=1e-7)


def test_position_biases_are_cut_with_the_sources() -> None:
    bias = torch.randn(1, 2, 7, 7, generator=torch.Generator().manual_seed(1))
    rows, whole = rows_of(attention, causal(), bias=bias), rows_of(attention, causal(), bias=bias).of(0, 7)
    assert torch.allclose(rows.in_slices(3), whole[0], atol=1e-6) and rows.leaves_out
    one = rows.weights_sharing(1, 3, 6)
    assert one is not None and torch.allclose(one[:, 0], whole[1][:, 1, 3:6], atol=1e-7)


@pytest.mark.parametrize(
    ("eager", "mask"),
    [
        (scaled_by_length, causal),
        (made_for_one_length, causal),
        (attention, lambda: torch.zeros(1, 1, 7, 7)),
        (attention, lambda: causal().masked_fill(torch.arange(7)[:, None] == 1, LEAST)),  # one target sees nothing
        (attention, lambda: causal().clamp_min(-5)),  # a mask that only discourages
    ],
)
def test_otherwise_every_slice_takes_all_sources(eager: EagerFunction, mask: Callable[[], Tensor]) -> None:
    rows, whole = rows_of(eager, mask()), rows_of(eager, mask()).of(0, 7)
    assert torch.allclose(rows.in_slices(3), whole[0], atol=1e-6)
    assert not rows.leaves_out
    assert torch.allclose(rows.of(3, 6)[1], whole[1][:, :, 3:6], atol=1e-7)


def test_a_mask_of_truth_values_is_read_too() -> None:
    rows = rows_of(attention, torch.ones(1, 1, 7, 7, dtype=torch.bool).tril())
    rows.leaves_out = True
    assert rows._visible(0, 3) == 3 and rows._visible(5, 7) == 7


def test_the_last_source_with_a_weight_is_counted_whatever_its_sign() -> None:
    weights = torch.zeros(1, 2, 3, 6)
    assert reached_sources(weights) == 0
    weights[0, 1, 2, 3] = 0.5
    assert reached_sources(weights) == 4
    weights[0, 0, 0, 4] = -0.1
    assert reached_sources(weights) == 5
    weights[0, 0, 1, 5] = torch.nan
    assert reached_sources(weights) == 6
