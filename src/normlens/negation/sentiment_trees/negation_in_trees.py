"""Negated phrases in labeled trees: a cue whose sister is its scope, and words that are held out negated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from normlens.errors import InvalidInput, did_you_mean
from normlens.negation.sentiment_trees.labeled_trees import LabeledTree

CUES = ("not", "n't", "never", "no", "hardly")
"""The cues whose meaning is examined."""

ALL_CUES = (*CUES, "without", "nothing", "none", "nobody", "neither", "nor", "barely", "scarcely", "rarely", "seldom",
            "lack", "lacks")  # fmt: skip
"""The cues under which a held-out word must not be seen."""

_NEUTRAL = 2
_POLAR = 0.5  # distance of a word's mean label from neutral


@dataclass(frozen=True)
class NegatedPhrase:
    """A cue with its scope: a minimal pair of the scope alone, and the phrase that negates it.

    Attributes
    ----------
    tree
        Number of the tree.
    node
        The negated phrase.
    scope
        The node that is negated.
    cue
        The word that negates.
    """

    tree: int
    node: int
    scope: int
    cue: str


def negated_phrases(trees: Sequence[LabeledTree], cues: Collection[str] = CUES) -> list[NegatedPhrase]:
    """Every phrase whose left child is a cue, or a word with a cue behind it ("does n't"); the right child is the scope.

    Parameters
    ----------
    trees
        Where to look.
    cues
        Some of `ALL_CUES`.

    Raises
    ------
    InvalidInput
        If a cue is unknown.
    """
    for cue in cues:
        if cue not in ALL_CUES:
            raise InvalidInput(
                f"{cue!r} is no cue; expected some of {', '.join(ALL_CUES)}.{did_you_mean(cue, ALL_CUES)}"
            )
    phrases = []
    for number, tree in enumerate(trees):
        for node, (left, right) in enumerate(tree.children):
            if left >= 0 and (cue := _cue(tree, left, cues)):
                phrases.append(NegatedPhrase(number, node, int(right), cue))
    return phrases


def _cue(tree: LabeledTree, node: int, cues: Collection[str]) -> str:
    """The cue that a node is; empty if it is none."""
    first, second = tree.children[node]
    if first < 0:
        return tree.words[node] if tree.words[node] in cues else ""
    return tree.words[second] if tree.words[first] and tree.words[second] in cues else ""


def polarity(trees: Sequence[LabeledTree]) -> dict[str, float]:
    """Mean label of each word as a leaf, centered: from −2 to 2."""
    sums: dict[str, list[int]] = {}
    for tree in trees:
        for word, label in zip(tree.words, tree.labels, strict=True):
            if word:
                sums.setdefault(word, []).append(int(label))
    return {word: float(np.mean(labels)) - _NEUTRAL for word, labels in sums.items()}


@dataclass(frozen=True)
class HeldOut:
    """A split by word.

    Attributes
    ----------
    words
        The words that training never shows negated.
    kept, removed
        Numbers of the trees that stay in the training, and of those in which one of the words is negated.
    """

    words: frozenset[str]
    kept: Int[np.ndarray, " tree"]
    removed: Int[np.ndarray, " tree"]


def hold_out(trees: Sequence[LabeledTree], share: float, seed: int) -> HeldOut:
    """Choose words that training won't show negated, and remove every tree in which one of them is.

    Candidates are the words of some polarity (mean leaf label at least 0.5 from neutral) that occur negated, and in at least
    two other trees where they are not.

    Parameters
    ----------
    trees
        The training trees.
    share
        Of the candidates, from 0 to 1.
    seed
        Chooses them.

    Raises
    ------
    InvalidInput
        If the share is out of range.
    """
    if not 0 <= share <= 1:
        raise InvalidInput(f"The share of held-out words is {share}; expected a number from 0 to 1.")
    negated = words_in_scope(trees)
    scores = polarity(trees)
    where: dict[str, set[int]] = {}
    for number, tree in enumerate(trees):
        for word in set(filter(None, tree.words)) - negated.get(number, frozenset()):
            where.setdefault(word, set()).add(number)
    candidates = sorted(
        word for word in frozenset[str]().union(*negated.values())
        if abs(scores[word]) >= _POLAR and len(where.get(word, ())) >= 2
    )  # fmt: skip
    count = round(share * len(candidates))
    words = (
        frozenset(np.random.default_rng(seed).choice(candidates, count, replace=False).tolist())
        if count
        else frozenset()
    )
    removed = np.array([number for number, inside in negated.items() if inside & words], dtype=np.int64)
    return HeldOut(words, np.setdiff1d(np.arange(len(trees)), removed), removed)


def words_in_scope(trees: Sequence[LabeledTree]) -> dict[int, frozenset[str]]:
    """The words inside the scope of any cue, by the number of the tree."""
    inside: dict[int, frozenset[str]] = {}
    for phrase in negated_phrases(trees, ALL_CUES):
        inside[phrase.tree] = inside.get(phrase.tree, frozenset()) | frozenset(trees[phrase.tree].span(phrase.scope))
    return inside
