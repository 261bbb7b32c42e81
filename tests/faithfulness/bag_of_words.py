"""A classifier whose numbers a person can check: it adds up weights of words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from normlens.faithfulness import Replacement
from normlens.inputs.tokens import Tokens
from normlens.words import categories, word_numbers

START, END, MASK = 100, 101, 102


class Adding:
    """Two classes; the probability of class 1 is one half and the weights of the words, nothing else.

    Word number k of `weights` has the id k; every word is one token, but "two" makes two tokens of that id.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        self.names, self.weights = list(weights), np.append(np.array(list(weights.values())), np.zeros(200))
        self.weights[len(self.names) :] = 0.0
        self.read: list[list[int]] = []

    def encode(self, text: str) -> Tokens:
        words = [(m[0], m.start(), m.end()) for m in re.finditer(r"\w+", text)]
        pieces = [(word, *span) for word, *span in words for _ in range(2 if word == "two" else 1)]
        pieces = [("[S]", 0, 0), *pieces, ("[E]", 0, 0)]
        ids = [START, *(self.names.index(word) for word, *_ in pieces[1:-1]), END]
        special = np.array([True, *[False] * (len(pieces) - 2), True])
        spans = np.array([span for _, *span in pieces])
        labels, kinds = np.array([word for word, *_ in pieces]), categories(spans, special, text)
        return Tokens(np.array(ids), text, labels, special, spans, word_numbers(spans, special, text), kinds)

    def probabilities(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        self.read += [list(map(int, ids)) for ids in sequences]
        one = np.array([0.5 + self.weights[np.asarray(ids)].sum() for ids in sequences])
        return np.stack([1 - one, one], axis=1)

    def replacement(self, token: str | None) -> Replacement:
        return Replacement("[MASK]", MASK)
