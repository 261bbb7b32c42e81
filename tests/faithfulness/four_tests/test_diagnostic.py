"""Guides: what the controls keep and what they lose, and a guide that knows the label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.diagnostic import (
    guide_from,
    label_guide,
    permuted_guide,
    random_guide,
    token_evidence,
    uniform_guide,
)

MASKS = [np.array([False, True, True, True, False]), np.array([False, True, True, False])]
GUIDE = [np.array([0, 0.7, 0.2, 0.1, 0]), np.array([0, 0.5, 0.5, 0])]


def test_scores_of_any_sign_become_weights_on_what_may_be_read() -> None:
    guides = guide_from([np.array([9.0, -3, 1, 0, 9]), np.array([1.0, 0, 0, 1])], MASKS)
    np.testing.assert_allclose(guides[0], [0, 0.75, 0.25, 0, 0])
    np.testing.assert_allclose(guides[1], [0, 0.5, 0.5, 0])  # all zero: equal weights
    with pytest.raises(InvalidInput, match="text 1 is not finite"):
        guide_from([np.zeros(5), np.array([0, np.nan, 0, 0])], MASKS)


def test_a_permuted_guide_keeps_the_weights_and_loses_their_tokens() -> None:
    drawn = [permuted_guide(GUIDE, MASKS, seed)[0] for seed in range(60)]
    assert all(sorted(row) == sorted(GUIDE[0]) and not row[~MASKS[0]].any() for row in drawn)
    assert len({tuple(row) for row in drawn}) == 6  # every order of three weights


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=8), st.integers(0, 100))
def test_a_random_guide_keeps_the_entropy(weights: list[float], seed: int) -> None:
    guide = np.array(weights) / np.sum(weights)
    [drawn] = random_guide([guide], [np.ones(len(guide), dtype=bool)], seed)
    assert drawn.sum() == pytest.approx(1)
    assert entropy(drawn) == pytest.approx(entropy(guide), abs=1e-6)


def test_uniform_and_label_guides() -> None:
    np.testing.assert_allclose(uniform_guide(MASKS)[0], [0, 1 / 3, 1 / 3, 1 / 3, 0])
    ids = [np.array([0, 5, 6, 6, 0]), np.array([0, 5, 7, 0])]
    evidence = token_evidence(ids, np.array([0, 1]), classes=2, size=8)
    # Token 6 was seen once, in class 0: (1 + 1)/(1 + 2) of the counts, against a prior of one half.
    assert evidence[6, 0] == pytest.approx(np.log(2 / 3) - np.log(1 / 2))
    assert evidence[5].tolist() == pytest.approx([0, 0])
    guide = label_guide(ids, np.array([0, 1]), MASKS, evidence)
    assert guide[0][2] == guide[0][3] > guide[0][1] and guide[1][2] > guide[1][1]
