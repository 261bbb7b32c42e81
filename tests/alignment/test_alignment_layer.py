"""Rules that choose a layer, on maps of which one knows which layer aligns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sentences import SOURCES, TARGETS

from normlens.alignment import RULES, Extractor, Reading, choose_layer
from normlens.alignment.layer_rules import Evidence, MovedMaps, gather
from normlens.errors import InvalidInput

WORDS = 8


def _maps(order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Layer 0 looks at the end of the sentence, layer 1 aligns by ``order``, layer 2 looks everywhere."""
    ends = np.full((WORDS, WORDS + 1), 0.02)
    ends[:, -1] = 1.0
    aligned = np.full((WORDS, WORDS + 1), 0.05)
    aligned[np.arange(WORDS), order] = 2.0
    return np.stack([ends, aligned, np.full((WORDS, WORDS + 1), 0.1)])


@pytest.fixture
def evidence() -> Evidence:
    generator = np.random.default_rng(0)
    orders = [np.clip(np.arange(WORDS) + generator.permutation([-1, 1] * (WORDS // 2)), 0, WORDS - 1) for _ in range(9)]
    half = WORDS // 2
    exchanged = np.concatenate([np.arange(half, WORDS), np.arange(half)])
    return Evidence(
        [_maps(order) for order in orders],
        [_maps(np.argsort(order, kind="stable")) for order in orders],
        [MovedMaps(_maps(exchanged), half, half)],
    )


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_the_layer_that_aligns(rule: str, evidence: Evidence) -> None:
    scores = RULES[rule](evidence)

    assert scores.shape == (3,)
    assert int(scores.argmax()) == (0 if rule == "entropy" else 1)  # what looks at the end alone is sharp, too


def test_moved_words_by_hand() -> None:
    # Two words each; the first target word finds its own (second) sentence, the last looks into the wrong one.
    maps = np.array([[[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]]], dtype=float)

    assert RULES["moved"](Evidence([maps], None, [MovedMaps(maps, 2, 2)])) == pytest.approx([0.75])


def test_a_layer_that_follows_places_is_not_taken_in() -> None:
    straight = np.pad(np.eye(4), ((0, 0), (0, 1)))[None]

    assert RULES["moved"](Evidence([straight], None, [MovedMaps(straight, 2, 2)])) == pytest.approx([0.0])
    assert RULES["monotony"](Evidence([straight], None, [])) == pytest.approx([1.0])


def test_monotony_of_a_reversed_order() -> None:
    reversed_order = np.pad(np.eye(5)[::-1], ((0, 0), (0, 1)))[None]

    assert RULES["monotony"](Evidence([reversed_order], None, [])) == pytest.approx([-1.0])


def test_evidence_of_a_model(marian: Extractor, reverse_marian: Extractor) -> None:
    pairs = [marian.pair(*pair) for pair in zip(SOURCES, TARGETS, strict=True)]
    back = [reverse_marian.pair(*pair) for pair in zip(TARGETS, SOURCES, strict=True)]

    evidence = gather(marian, pairs, Reading(0), (reverse_marian, back))

    assert [maps.shape for maps in evidence.maps[:2]] == [(3, 5, 6), (3, 11, 10)]
    assert evidence.reverse is not None
    assert evidence.reverse[1].shape == (3, 9, 12)
    first = evidence.moved[0]
    assert first.maps.shape == (3, 16, 15)
    assert (first.sources, first.targets) == (5, 11)
    choice = choose_layer(marian, pairs, Reading(0), "norm")
    assert choice.scores[0] == pytest.approx(RULES["norm"](evidence))
    assert choice.reading.layer == int(choice.scores[0].argmax())


def test_two_layers_that_are_read_beside_each_other_are_chosen_each_by_its_own_rule(marian: Extractor) -> None:
    pairs = [marian.pair(*pair) for pair in zip(SOURCES, TARGETS, strict=True)]
    inputs, outputs = Reading(0), Reading(0, setting="awo")

    choice = choose_layer(marian, pairs, replace(inputs, beside=outputs))

    alone = [choose_layer(marian, pairs, inputs), choose_layer(marian, pairs, outputs)]
    assert [component.layer for component in choice.reading.components] == [one.reading.layer for one in alone]
    assert choice.rules == ("combined", "norm")
    assert choice.rule == "combined beside norm"
    assert choose_layer(marian, pairs, replace(inputs, beside=outputs), "coverage").rule == "coverage"


def test_the_highest_norm_is_looked_for_among_norms_also_where_weights_are_read(marian: Extractor) -> None:
    pairs = [marian.pair(*pair) for pair in zip(SOURCES, TARGETS, strict=True)]
    reading = Reading(0, setting="awo")

    by_weight, by_norm = (choose_layer(marian, pairs, one) for one in (reading.by("weight"), reading))

    assert by_weight.scores[0].tolist() == by_norm.scores[0].tolist()
    assert by_weight.reading == by_norm.reading.by("weight")


def test_what_cannot_be_chosen_by_is_refused(marian: Extractor) -> None:
    pairs = [marian.pair("haus", "house")]

    with pytest.raises(InvalidInput, match="no rule 'best'"):
        choose_layer(marian, pairs, Reading(0), "best")
    with pytest.raises(InvalidInput, match="no sentence pair"):
        choose_layer(marian, [], Reading(0))
    with pytest.raises(InvalidInput, match="needs a reverse model"):
        choose_layer(marian, pairs, Reading(0), "agreement")


def test_the_combined_rule_is_a_product_and_a_single_pair_is_judged_by_agreement_alone() -> None:
    straight = np.stack([np.array([[5.0, 1, 0], [1, 5, 0]]), np.array([[5.0, 1, 0], [5, 1, 0]])])
    moved = MovedMaps(straight, 1, 1)
    both, alone = Evidence([straight], None, [moved]), Evidence([straight], None, [])
    agreed, by_move = RULES["self-agreement"](both), RULES["moved"](both)
    assert agreed.tolist() == pytest.approx([1.0, 0.5])
    assert RULES["combined"](both).tolist() == pytest.approx((agreed * by_move).tolist())
    assert RULES["combined"](alone).tolist() == agreed.tolist()
