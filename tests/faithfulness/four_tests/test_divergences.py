"""Divergences equal a direct float64 formula, are symmetric where they should be, and stay within their bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests import (
    jensen_shannon,
    kendall,
    kullback_leibler,
    one_output_total_variation,
    symmetric_kullback_leibler,
    total_variation,
)

WEIGHTS = st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 1e-300), st.floats(1e-3, 1e300))
Rows = tuple[list[float], list[float]]


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    size = draw(st.integers(1, 12))
    one = st.lists(WEIGHTS, min_size=size, max_size=size).filter(lambda row: max(row) > 0)
    return draw(one), draw(one)


def shares(row: list[float]) -> list[float]:
    largest = max(row)
    whole = math.fsum(x / largest for x in row)
    return [x / largest / whole for x in row]


def kl(p: list[float], q: list[float]) -> float:
    if any(x > 0 and y == 0 for x, y in zip(p, q, strict=True)):
        return math.inf
    return math.fsum(x * (math.log(x) - math.log(y)) for x, y in zip(p, q, strict=True) if x > 0)


def js(p: list[float], q: list[float]) -> float:
    terms = [
        x * math.log(2 / (1 + y / x)) / 2 if y <= x else x * (math.log(2) + math.log(x) - math.log(x + y)) / 2
        for one, other in ((p, q), (q, p))
        for x, y in zip(one, other, strict=True)
        if x > 0
    ]
    return math.fsum(terms)


@given(rows())
@example(([0.0, 0.0, 1.0], [0.0, 5e-324, 1.0]))
def test_divergences_equal_the_direct_formula(pair: Rows) -> None:
    p, q = map(shares, pair)
    assert float(jensen_shannon(*pair)) == pytest.approx(js(p, q), abs=1e-12)
    assert float(kullback_leibler(*pair)) == pytest.approx(kl(p, q), rel=1e-12, abs=1e-12)
    assert float(symmetric_kullback_leibler(*pair)) == pytest.approx(kl(p, q) + kl(q, p), rel=1e-12, abs=1e-12)
    half = math.fsum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2
    assert float(total_variation(*pair)) == pytest.approx(half, abs=1e-12)


@given(rows())
def test_divergences_are_symmetric_and_within_their_bounds(pair: Rows) -> None:
    first, second = pair
    for divergence, largest in (
        (jensen_shannon, math.log(2)),
        (symmetric_kullback_leibler, math.inf),
        (total_variation, 1.0),
    ):
        value = float(divergence(first, second))
        assert 0 <= value <= largest
        assert value == float(divergence(second, first))
        assert divergence(first, first) == 0
    assert kullback_leibler(first, second) >= 0
    assert kullback_leibler(first, first) == 0
    # Pinsker's inequality binds the two families together.
    assert total_variation(first, second) <= math.sqrt(kullback_leibler(first, second) / 2) + 1e-7


@given(rows(), st.integers(1, 5))
def test_what_the_mask_leaves_out_changes_nothing(pair: Rows, padding: int) -> None:
    first, second = (row + [math.nan] * padding for row in pair)
    mask = [True] * len(pair[0]) + [False] * padding
    for divergence in (jensen_shannon, kullback_leibler, symmetric_kullback_leibler, total_variation):
        assert divergence(first, second, mask) == pytest.approx(float(divergence(*pair)), rel=1e-12, abs=1e-12)
    np.testing.assert_array_equal(kendall(first, second, mask), kendall(*pair))


def test_values_by_hand() -> None:
    assert float(jensen_shannon([1, 0], [0.5, 0.5])) == pytest.approx(0.75 * math.log(4 / 3))
    assert float(kullback_leibler([1, 0], [0.5, 0.5])) == pytest.approx(math.log(2))
    assert kullback_leibler([0.5, 0.5], [1, 0]) == math.inf
    assert float(total_variation([0.2, 0.3, 0.5], [0.5, 0.3, 0.2])) == pytest.approx(0.3)
    assert float(kullback_leibler([1.0, 0.0], [5e-324, 1.0])) == pytest.approx(1074 * math.log(2))


def test_the_two_class_distance_is_twice_that_of_one_output() -> None:
    p, q = np.array([0.1, 0.9]), np.array([0.7, 0.9])
    both = total_variation(np.stack([1 - p, p], axis=-1), np.stack([1 - q, q], axis=-1))
    np.testing.assert_allclose(one_output_total_variation(p, q), both / 2, atol=1e-15)


def test_kendall_counts_pairs_and_leaves_ties_to_neither_side() -> None:
    # Pairs of (1, 2, 2, 3) and (1, 2, 3, 2): 3 concordant, 1 discordant, 1 tied on each side.
    assert float(kendall([1, 2, 2, 3], [1, 2, 3, 2])) == pytest.approx((3 - 1) / 5)
    assert float(kendall([1, 2, 3], [3, 2, 1])) == pytest.approx(-1)
    assert np.isnan(kendall([1, 1, 1], [1, 2, 3])) and np.isnan(kendall([1], [1]))


def test_leading_axes_are_kept() -> None:
    table = np.random.default_rng(0).random((3, 4, 5))
    for function in (jensen_shannon, kendall):
        divergences = function(table, table[0, 0])
        assert divergences.shape == (3, 4)
        assert divergences[2, 1] == pytest.approx(float(function(table[2, 1], table[0, 0])))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jensen_shannon([0.5, -0.5], [1, 0]), "holds -0.5; expected finite weights"),
        (lambda: jensen_shannon([math.nan, 1], [1, 0]), "holds nan; expected finite weights"),
        (lambda: total_variation([0, 0], [1, 0]), "no weight on any source"),
        (lambda: jensen_shannon([1.0], [1.0], [False]), "no weight on any source"),
        (lambda: kullback_leibler([1, 2], [1, 2, 3]), "expected the same number of sources"),
        (lambda: kullback_leibler(np.ones((2, 3)), np.ones((4, 3))), "which don't fit"),
        (lambda: kullback_leibler([], []), "at least one"),
        (lambda: kendall([math.inf, 1], [1, 0]), "holds inf; expected a finite score"),
        (lambda: one_output_total_variation(2.0, 0.5), "not its logit"),
    ],
)
def test_what_is_no_distribution_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()
