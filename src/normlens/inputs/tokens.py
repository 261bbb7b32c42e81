"""The tokens of one sequence, with the labels that a person reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokens:
    """The positions of one sequence, and their labels.

    Attributes
    ----------
    ids
        Token ids, ``(token,)``; -1 where a position has none (patches of an image).
    text
        The text that the offsets refer to.
    labels
        Tokens in readable form, ``(token,)``.
    special
        True for tokens that represent no text, ``(token,)``.
    offsets
        First character and character after the last, ``(token, 2)``.
    words
        Word numbers, -1 for special tokens, ``(token,)``.
    categories
        "special", "punctuation" or "other", ``(token,)``.
    """

    ids: Int[np.ndarray, " token"]
    text: str
    labels: NDArray[np.str_]
    special: Bool[np.ndarray, " token"]
    offsets: Int[np.ndarray, "token 2"]
    words: Int[np.ndarray, " token"]
    categories: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)

    def none(self) -> Tokens:
        """No tokens of the same text."""
        columns = ("ids", "labels", "special", "offsets", "words", "categories")
        return replace(self, **{name: getattr(self, name)[:0] for name in columns})
