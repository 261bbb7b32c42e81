"""Scopes are scored as the corrected evaluator of *SEM 2012 does; every number is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from normlens.errors import InvalidInput
from normlens.negation import (
    AnnotatedNegation,
    AnnotatedSentence,
    MarkedWord,
    scope_counts,
    scope_scores,
    scored_words,
)

SENTENCE = AnnotatedSentence(("I", "do", "not", "know", ",", "Mr.", "unhappy", "."))
NOT = AnnotatedNegation((MarkedWord(2, "not"),), (MarkedWord(0, "I"), MarkedWord(1, "do"), MarkedWord(3, "know")))
UN = AnnotatedNegation((MarkedWord(6, "un"),), (MarkedWord(6, "happy"),))
EMPTY = AnnotatedNegation((MarkedWord(2, "not"),))


@pytest.mark.parametrize(
    ("negation", "predicted", "counts"),
    [
        (NOT, [0, 1, 3], [3, 0, 0, 1, 1, 1, 0]),
        (NOT, [0, 1, 3, 2, 4, 7], [3, 0, 0, 1, 1, 1, 0]),  # the cue and punctuation count for nothing
        (NOT, [1, 3, 5], [2, 1, 1, 0, 1, 1, 0]),
        (NOT, [], [0, 0, 3, 0, 1, 0, 0]),
        (UN, [6], [1, 0, 0, 1, 1, 1, 0]),  # of "unhappy", "happy" is in the scope of "un"
        (UN, [], [0, 0, 1, 0, 1, 0, 0]),
        (EMPTY, [], [0, 0, 0, 0, 0, 0, 0]),
        (EMPTY, [3], [0, 1, 0, 0, 0, 1, 1]),
    ],
)
def test_counts(negation: AnnotatedNegation, predicted: list[int], counts: list[int]) -> None:
    assert scope_counts(SENTENCE, negation, predicted).tolist() == counts


def test_scores_by_hand() -> None:
    """Of four annotated scopes two are right, one is half right, one is missed, and one is predicted for nothing."""
    parts = [(NOT, [0, 1, 3]), (UN, [6]), (NOT, [3, 5]), (NOT, []), (EMPTY, [0, 1])]
    scores = scope_scores(np.sum([scope_counts(SENTENCE, negation, words) for negation, words in parts], axis=0))
    assert scores.token_precision == pytest.approx(5 / 8)  # right 3 + 1 + 1; wrong 1 + 2
    assert scores.token_recall == pytest.approx(5 / 10)  # missed 2 + 3
    assert scores.token_f1 == pytest.approx(2 * 5 / 18)
    assert scores.scope_recall == pytest.approx(2 / 4)
    assert scores.scope_precision == pytest.approx(2 / 3)  # a wrong scope is a missed one; only the last is invented
    assert scores.scope_f1 == pytest.approx(4 / 7)
    assert scores.scope_precision_b == pytest.approx(2 / 4)
    assert scores.scope_f1_b == pytest.approx(2 * 0.5 * 0.5)


def test_no_scope_at_all_scores_zero() -> None:
    scores = scope_scores(np.zeros(7))
    assert (scores.token_f1, scores.scope_f1, scores.scope_f1_b) == (0.0, 0.0, 0.0)


def test_the_rest_of_an_affixed_word_is_what_comes_before_or_after() -> None:
    sentence = AnnotatedSentence(("Unkindly", "restlessly", "not"))
    texts = {
        affix: [mark.text for mark in scored_words(sentence, AnnotatedNegation((MarkedWord(word, affix),)))]
        for word, affix in enumerate(("un", "less", "not"))
    }
    assert texts == {
        "un": ["kindly", "restlessly", "not"],
        "less": ["Unkindly", "rest", "not"],
        "not": ["Unkindly", "restlessly"],
    }


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has word 8; the sentence has words 0 to 7"):
        scope_counts(SENTENCE, NOT, [8])
    with pytest.raises(InvalidInput, match=r"shape \(6,\)"):
        scope_scores(np.zeros(6))
