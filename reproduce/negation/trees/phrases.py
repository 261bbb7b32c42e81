"""Negated phrases as minimal pairs: labels and predictions of a scope alone, and of the phrase that negates it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from normlens.negation.sentiment_trees import LabeledTree, NegatedPhrase, negated_phrases

NEUTRAL = 2


@dataclass(frozen=True)
class Pairs:
    """Minimal pairs.

    Attributes
    ----------
    phrases, trees
        Where they are.
    before, after
        Labels of the scope and of the negated phrase, centered, from −2 to 2.
    held_out
        Whether the scope holds a word that training doesn't show negated.
    lengths
        Words in the scope.
    """

    phrases: list[NegatedPhrase]
    trees: Sequence[LabeledTree]
    before: Int[np.ndarray, " pair"]
    after: Int[np.ndarray, " pair"]
    held_out: Bool[np.ndarray, " pair"]
    lengths: Int[np.ndarray, " pair"]

    @staticmethod
    def of(trees: Sequence[LabeledTree], words: frozenset[str]) -> Pairs:
        """The pairs of trees, with the words that are held out."""
        phrases = negated_phrases(trees)
        spans = [trees[p.tree].span(p.scope) for p in phrases]
        before, after = (
            np.array([int(trees[p.tree].labels[node]) - NEUTRAL for p, node in nodes], dtype=np.int64)
            for nodes in ([(p, p.scope) for p in phrases], [(p, p.node) for p in phrases])
        )
        held_out = np.array([not words.isdisjoint(span) for span in spans], dtype=bool)
        return Pairs(phrases, trees, before, after, held_out, np.array(list(map(len, spans)), dtype=np.int64))

    @property
    def cues(self) -> np.ndarray:
        """The cue of each pair."""
        return np.array([phrase.cue for phrase in self.phrases])

    def predictions(
        self, probabilities: Sequence[Float[np.ndarray, "node label"]]
    ) -> tuple[Float[np.ndarray, "pair label"], Float[np.ndarray, "pair label"]]:
        """Probabilities of the labels of scopes and of negated phrases."""
        return (
            np.array([probabilities[p.tree][p.scope] for p in self.phrases]),
            np.array([probabilities[p.tree][p.node] for p in self.phrases]),
        )


def sentiment(probabilities: Float[np.ndarray, "*rest label"]) -> Float[np.ndarray, "*rest"]:
    """The expected label, centered: from −2 to 2."""
    labels = np.arange(probabilities.shape[-1]) - NEUTRAL
    return np.asarray(probabilities @ labels, dtype=np.float64)


def polarity_sign(probabilities: Float[np.ndarray, "*rest label"]) -> Int[np.ndarray, "*rest"]:
    """1 if positive labels are more probable than negative ones, else −1."""
    return np.where(probabilities[..., NEUTRAL + 1 :].sum(-1) > probabilities[..., :NEUTRAL].sum(-1), 1, -1)


def scores(
    before: Int[np.ndarray, " pair"],
    after: Int[np.ndarray, " pair"],
    scope: Float[np.ndarray, "pair label"],
    phrase: Float[np.ndarray, "pair label"],
) -> Mapping[str, Float[np.ndarray, " pair"]]:
    """What a model gets right of each pair; NaN where a measure doesn't apply.

    Returns
    -------
    mapping
        ``accuracy``: the phrase's label among five. ``polarity``: its sign, where it is not neutral. ``direction``: whether
        the sentiment rises or falls from scope to phrase as the labels do, where they differ. ``flips``: both signs, where
        the labels have opposite ones.
    """
    signs = polarity_sign(scope), polarity_sign(phrase)
    moved = np.sign(sentiment(phrase) - sentiment(scope))
    right = (signs[0] == np.sign(before)) & (signs[1] == np.sign(after))
    return {
        "accuracy": (phrase.argmax(axis=1) == after + NEUTRAL).astype(np.float64),
        "polarity": np.where(after != 0, signs[1] == np.sign(after), np.nan),
        "direction": np.where(after != before, moved == np.sign(after - before), np.nan),
        "flips": np.where(after * before < 0, right, np.nan),
    }
