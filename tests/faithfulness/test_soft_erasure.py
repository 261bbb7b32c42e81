"""Soft erasure by hand on a model that adds up, and the control of how many units are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from bag_of_words import Adding
from hypothesis import given
from hypothesis import strategies as st

from normlens.errors import InvalidInput
from normlens.faithfulness import soft_evaluate
from normlens.faithfulness.erasure.soft_erasure import choice_probabilities

TEXT = "good fine the bad"  # p = .5 + .2 + .1 + 0 − .1 = .7
RIGHT = [0, 4.0, 3, 2, 1, 0]  # the special tokens' scores count for nothing


def test_falls_are_expected_sums_of_weights(adding: Adding) -> None:
    """Probabilities of the units: 1, 2/3, 1/3, 0. Their expected weight is .2 + .1 · 2/3; the rest of .2 stays."""
    measured = soft_evaluate(adding, [TEXT], {"right": [RIGHT]}, draws=4000).sel(attribution="right").isel(text=0)
    assert float(measured["soft_comprehensiveness"]) == pytest.approx(0.2667, abs=0.005)
    assert float(measured["soft_sufficiency"]) == pytest.approx(-0.0667, abs=0.005)
    assert float(measured["chosen"]) == pytest.approx(0.5, abs=0.01)


def test_the_baseline_erases_every_unit_as_often(adding: Adding) -> None:
    measured = soft_evaluate(adding, [TEXT], {"right": [RIGHT]}, share=0.3, draws=4000).sel(attribution="random")
    assert float(measured["soft_comprehensiveness"][0]) == pytest.approx(0.3 * 0.2, abs=0.01)
    assert float(measured["chosen"][0]) == pytest.approx(0.3, abs=0.01)


def test_without_the_control_flat_scores_choose_more_units_and_seem_sufficient(adding: Adding) -> None:
    scores = {"peaked": [[0, 9.0, 1, 1, 0, 0]], "flat": [[0, 1.0, 0.95, 0.95, 0, 0]]}  # one order of the units
    free = soft_evaluate(adding, [TEXT], scores, share=None, draws=500)
    assert float(free["chosen"].sel(attribution="flat")[0] - free["chosen"].sel(attribution="peaked")[0]) > 0.3
    held = soft_evaluate(adding, [TEXT], scores, draws=500)
    assert np.ptp(held["chosen"].sel(attribution=["flat", "peaked"]).values) < 0.05


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0.01, 0.99))
def test_probabilities_have_the_mean_that_was_asked_for_and_the_order_of_the_scores(
    scores: list[float], share: float
) -> None:
    chances = choice_probabilities(scores, share)
    assert chances.mean() == pytest.approx(share, abs=1e-6)
    assert (chances >= 0).all() and (chances <= 1).all()
    assert (np.diff(chances[np.argsort(scores, kind="stable")]) >= -1e-9).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "share is 0.0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"draws": 0}, "draws is 0"),
        ({"by": "letter"}, "letter"),
        ({"erasure": "burn"}, "burn"),
    ],
)
def test_bad_options_are_refused(adding: Adding, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        soft_evaluate(adding, [TEXT], {"right": [RIGHT]}, **options)
    with pytest.raises(InvalidInput, match="scores of 2 texts; expected 1"):
        soft_evaluate(adding, [TEXT], {"right": [RIGHT, RIGHT]})
    with pytest.raises(InvalidInput, match="name of the baseline"):
        soft_evaluate(adding, [TEXT], {"random": [RIGHT]})
