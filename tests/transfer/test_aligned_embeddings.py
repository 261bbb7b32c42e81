"""Nearest neighbours against a dictionary, beside the same by slow formulas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from normlens.errors import InvalidInput
from normlens.transfer import dictionary_precision


@pytest.fixture
def tables() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    source = generator.normal(size=(30, 8))
    return source, np.concatenate([source + 0.6 * generator.normal(size=(30, 8)), generator.normal(size=(10, 8))])


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


@pytest.mark.parametrize("similarity", ["cosine", "csls"])
def test_it_is_the_slow_formula(tables: tuple[np.ndarray, np.ndarray], similarity: str) -> None:
    source, target = tables
    dictionary = {k: {k, (k + 3) % 40} for k in range(0, 30, 2)}

    def nearness(i: int, j: int) -> float:
        plain = cosine(source[i], target[j])
        if similarity == "cosine":
            return plain
        around_source = sorted(cosine(source[i], y) for y in target)[-10:]
        around_target = sorted(cosine(x, target[j]) for x in source)[-10:]
        return 2 * plain - float(np.mean(around_source)) - float(np.mean(around_target))

    ranked = {i: sorted(range(40), key=lambda j: -nearness(i, j)) for i in dictionary}
    measured = dictionary_precision(source, target, dictionary, similarity=similarity)  # type: ignore[arg-type]
    hits = [ranked[i][0] in dictionary[i] for i in dictionary]
    assert measured.hits_1 == tuple(hits) and 0 < measured.at_1 < 1
    assert measured.at_1 == pytest.approx(np.mean(hits))
    assert measured.at_5 == pytest.approx(np.mean([bool(dictionary[i] & set(ranked[i][:5])) for i in dictionary]))
    assert measured.words == 15


def test_chance_is_that_of_drawing_candidates(tables: tuple[np.ndarray, np.ndarray]) -> None:
    source, target = tables[0], tables[1][:7]
    measured = dictionary_precision(source, target, {0: {1}, 1: {2, 3}})
    draws = list(itertools.combinations(range(7), 5))
    expected = np.mean([np.mean([bool(set(draw) & right) for draw in draws]) for right in ({1}, {2, 3})])
    assert measured.chance_5 == pytest.approx(expected)
    assert measured.chance_1 == pytest.approx((1 / 7 + 2 / 7) / 2)
    few = dictionary_precision(source, target[:3], {0: {1}})
    assert few.chance_5 == few.at_5 == 1.0


def test_csls_mends_a_word_that_is_near_to_everything() -> None:
    source = np.eye(4) + 0.8
    hub = np.full((1, 4), 1.0)
    target = np.concatenate([np.eye(4), hub])
    dictionary = {k: {k} for k in range(4)}
    assert dictionary_precision(source, target, dictionary, similarity="cosine").at_1 == 0
    assert dictionary_precision(source, target, dictionary).at_1 == 1


def test_bad_input_is_refused(tables: tuple[np.ndarray, np.ndarray]) -> None:
    source, target = tables
    for dictionary in ({}, {0: set()}):
        with pytest.raises(InvalidInput, match="The dictionary is empty, or a word has no translation"):
            dictionary_precision(source, target, dictionary)  # type: ignore[arg-type]
    for dictionary in ({30: {1}}, {0: {40}}, {-1: {1}}, {0: {-1}}):
        with pytest.raises(InvalidInput, match="but they have 30 and 40"):
            dictionary_precision(source, target, dictionary)
    with pytest.raises(InvalidInput, match=r"shapes \(30, 8\) and \(40, 7\)"):
        dictionary_precision(source, target[:, :7], {0: {1}})
    target[4] = 0
    with pytest.raises(InvalidInput, match="Row 4 of the target is zero"):
        dictionary_precision(source, target, {0: {1}})
    with pytest.raises(InvalidInput, match="similarity is 'dot'; expected one of cosine, csls"):
        dictionary_precision(source, source, {0: {1}}, similarity="dot")  # type: ignore[arg-type]
