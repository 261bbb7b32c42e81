"""Other seeds: divergences by hand, their median over seeds, and bins of the largest weight."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.seeds import by_largest_weight, seed_divergences

BASE = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.4, 0.4]])
READABLE = np.array([[True, True, False], [True, True, False], [True, True, True]])
HALVED = 0.75 * math.log(4 / 3)
"""JSD of (1, 0) and (1/2, 1/2)."""


def test_a_copied_model_has_divergence_0_and_an_opposite_one_ln_2() -> None:
    opposite = np.array([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.4, 0.4]])
    divergences = seed_divergences(BASE, [BASE, opposite], READABLE)
    np.testing.assert_array_equal(divergences[0], 0)
    np.testing.assert_allclose(divergences[1], [math.log(2), 0, 0], atol=1e-15)


def test_the_median_over_seeds_stands_beside_class_and_bin() -> None:
    seeds = [BASE, np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], BASE[2]]), np.array([[0.0, 1.0, 0.0], BASE[1], BASE[2]])]
    table = by_largest_weight(seed_divergences(BASE, seeds, READABLE), BASE, np.array([1, 0, 1]))
    np.testing.assert_allclose(table["divergence"], [HALVED, 0, 0], atol=1e-12)
    assert table["largest_weight"].tolist() == [1.0, 0.5, 0.4]
    assert [bin.right for bin in table["bin"]] == [1.0, 0.5, 0.5]
    assert table["label"].tolist() == [1, 0, 1]


def test_a_sole_weight_that_rounding_lifts_above_1_has_a_bin() -> None:
    table = by_largest_weight(np.zeros((1, 1)), np.array([[1.0000001]], dtype=np.float32), np.array([0]))
    assert table["bin"].notna().all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected at least one"):
        seed_divergences(BASE, [], READABLE)
    with pytest.raises(InvalidInput, match="labels; expected as many"):
        by_largest_weight(np.zeros((2, 3)), BASE, np.array([1, 0]))
    for bins in [(0.0, 0.5), (0.1, 1.0), (0.0, 0.6, 0.4, 1.0), (0.0,)]:
        with pytest.raises(InvalidInput, match="ascend from 0 to 1"):
            by_largest_weight(np.zeros((1, 3)), BASE, np.array([1, 0, 1]), bins=bins)
