"""The words that functors are applied to, and which of them have degrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from normlens.negation.sentiment_trees import LabeledTree, polarity

DEGREES = frozenset(
    [
        "very",
        "so",
        "too",
        "more",
        "most",
        "less",
        "least",
        "quite",
        "rather",
        "pretty",
        "really",
        "extremely",
        "incredibly",
        "fairly",
        "truly",
        "highly",
        "deeply",
        "utterly",
        "somewhat",
        "slightly",
        "how",
        "as",
        "enough",
        "surprisingly",
        "remarkably",
    ]
)
"""Adverbs of degree."""

_POLAR, _OFTEN = 0.5, 5


def polar_words(trees: Sequence[LabeledTree]) -> dict[str, float]:
    """Words that occur at least five times with a mean leaf label at least 0.5 from neutral, with that distance."""
    counts = Counter(word for tree in trees for word in tree.words if word)
    return {
        word: score for word, score in sorted(polarity(trees).items())
        if abs(score) >= _POLAR and counts[word] >= _OFTEN and word.isalpha()
    }  # fmt: skip


def gradable_words(trees: Sequence[LabeledTree]) -> frozenset[str]:
    """Words that an adverb of degree modifies somewhere: "very good" makes "good" gradable."""
    return frozenset(
        tree.words[right]
        for tree in trees
        for left, right in tree.children
        if left >= 0 and tree.words[left] in DEGREES and tree.words[right]
    )
