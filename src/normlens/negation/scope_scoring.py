"""Scores of negation scopes, as the corrected evaluator of *SEM 2012 defines them, where the cues are annotated."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from normlens.errors import InvalidInput
from normlens.negation.annotations import AnnotatedNegation, AnnotatedSentence, MarkedWord

COUNTS = ("right", "wrong", "missed", "exact", "annotated", "predicted", "invented")
"""What :func:`scope_counts` counts: words in both scopes, in the predicted one alone, in the annotated one alone; and, as 0
or 1, whether the two are equal and not empty, whether each has a word, and whether only the predicted one has."""

_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class ScopeScores:
    """Precision, recall and F1 of predicted scopes, each from 0 to 1.

    Attributes
    ----------
    token_precision, token_recall, token_f1
        Over the words of all scopes ("scope tokens").
    scope_precision, scope_recall, scope_f1
        Over scopes, right only if every word is. As in the shared task, a scope that is wrong counts once, as missed: of the
        predicted scopes, only those where nothing is annotated count as wrong.
    scope_precision_b, scope_f1_b
        The same with every wrong scope counted in the precision too ("B").
    """

    token_precision: float
    token_recall: float
    token_f1: float
    scope_precision: float
    scope_recall: float
    scope_f1: float
    scope_precision_b: float
    scope_f1_b: float


def scored_words(sentence: AnnotatedSentence, negation: AnnotatedNegation) -> list[MarkedWord]:
    """The words that may be in the scope: all but punctuation and the cue; of a word with an affix as its cue, the rest.

    Parameters
    ----------
    sentence, negation
        The sentence, and one of its negations.

    Examples
    --------
    >>> sentence = AnnotatedSentence(("He", "was", "restlessly", "quiet", "."))
    >>> [mark.text for mark in scored_words(sentence, AnnotatedNegation((MarkedWord(2, "less"),)))]
    ['He', 'was', 'rest', 'quiet']
    """
    cue = {mark.word: mark.text for mark in negation.cue}
    left = (
        MarkedWord(number, _rest(word, cue[number]) if number in cue else word)
        for number, word in enumerate(sentence.words)
    )
    return [mark for mark in left if _WORD.search(mark.text)]


def scope_counts(
    sentence: AnnotatedSentence, negation: AnnotatedNegation, predicted: Iterable[int]
) -> Int[np.ndarray, " 7"]:
    """Compare the predicted scope of a cue with the annotated one.

    Punctuation is left out. A word is right if its number and its text are: of a word with an affix as its cue, the rest.

    Parameters
    ----------
    sentence, negation
        The sentence, and one of its negations.
    predicted
        Numbers of the words of the predicted scope. Those of the cue count only if the cue is an affix.

    Returns
    -------
    array of int, ``(7,)``
        The numbers of `COUNTS`. Summed over negations, they are what :func:`scope_scores` takes.

    Raises
    ------
    InvalidInput
        If the sentence has no word of such a number.

    Examples
    --------
    >>> sentence = AnnotatedSentence(("I", "do", "not", "know", "."))
    >>> scope = MarkedWord(0, "I"), MarkedWord(1, "do"), MarkedWord(3, "know")
    >>> negation = AnnotatedNegation((MarkedWord(2, "not"),), scope)
    >>> scope_counts(sentence, negation, [3, 4]).tolist()
    [1, 0, 2, 0, 1, 1, 0]
    """
    numbers = set(predicted)
    outside = sorted(number for number in numbers if not 0 <= number < len(sentence.words))
    if outside:
        raise InvalidInput(
            f"The predicted scope has word {outside[0]}; the sentence has words 0 to {len(sentence.words) - 1}."
        )
    annotated = {mark for mark in negation.scope if _WORD.search(mark.text)}
    own = {mark for mark in scored_words(sentence, negation) if mark.word in numbers}
    counts = len(own & annotated), len(own - annotated), len(annotated - own)
    exact, has, predicts = bool(own) and own == annotated, bool(annotated), bool(own)
    return np.array([*counts, exact, has, predicts, predicts and not has], dtype=np.int64)


def scope_scores(counts: ArrayLike) -> ScopeScores:
    """Precision, recall and F1 from counts.

    Parameters
    ----------
    counts
        The sum of :func:`scope_counts` over negations, ``(7,)``.

    Raises
    ------
    InvalidInput
        If there are not seven counts.

    References
    ----------
    Sineva, Grünewald, Friedrich & Kuhn (2021), Negation-Instance Based Evaluation of End-to-End Negation Resolution: the
    scores "partial cue, no punct" of their extended evaluator.
    """
    values = np.asarray(counts, dtype=np.float64)
    if values.shape != (len(COUNTS),):
        raise InvalidInput(f"The counts have shape {values.shape}; expected ({len(COUNTS)},): {', '.join(COUNTS)}.")
    right, wrong, missed, exact, annotated, predicted, invented = values.tolist()
    token_precision, token_recall = _share(right, right + wrong), _share(right, right + missed)
    scope_precision, scope_recall = _share(exact, exact + invented), _share(exact, annotated)
    precision_b = _share(exact, predicted)
    return ScopeScores(
        token_precision=token_precision,
        token_recall=token_recall,
        token_f1=_f1(token_precision, token_recall),
        scope_precision=scope_precision,
        scope_recall=scope_recall,
        scope_f1=_f1(scope_precision, scope_recall),
        scope_precision_b=precision_b,
        scope_f1_b=_f1(precision_b, scope_recall),
    )


def _rest(word: str, affix: str) -> str:
    """A word without its affix; of "restlessly", what comes before "less". Nothing is left if the whole word is the cue."""
    before, _, after = word.lower().partition(affix.lower())
    return word[: len(before)] if before else word[len(word) - len(after) :] if after else ""


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return _share(2 * precision * recall, precision + recall)
