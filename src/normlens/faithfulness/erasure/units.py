"""The units that are erased: the words of a text, or its tokens. Special tokens belong to no unit and always stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from normlens.errors import InvalidInput
from normlens.inputs.tokens import Tokens
from normlens.words import SPECIAL, groups, merge_sources, merge_spans


@dataclass(frozen=True)
class Units:
    """The units of one text.

    Attributes
    ----------
    of_token
        Number of each token's unit, 0, 1, 2, … from left to right; -1 for special tokens, ``(token,)``.
    lengths
        Number of characters of each unit, without a space that the tokenizer includes, ``(unit,)``.
    """

    of_token: Int[np.ndarray, " token"]
    lengths: Int[np.ndarray, " unit"]

    def __len__(self) -> int:
        return len(self.lengths)

    def tokens(self, erased: Bool[np.ndarray, " unit"]) -> Bool[np.ndarray, " token"]:
        """Return a mask of the tokens of some units.

        Parameters
        ----------
        erased
            True for the units, ``(unit,)``.
        """
        return np.asarray(np.append(erased, False)[self.of_token])

    def scores(self, values: ArrayLike) -> Float[np.ndarray, " unit"]:
        """Sum the scores over the tokens of each unit.

        Parameters
        ----------
        values
            One score for each token (special ones included), for each word and special token (as merged results have
            them), or for each unit.

        Raises
        ------
        InvalidInput
            If the number of scores is none of these, or the score of a unit isn't finite.
        """
        array = np.asarray(values, dtype=np.float64)
        merged = groups(self.of_token)
        if array.shape == self.of_token.shape:
            array = np.asarray(merge_sources(array, self.of_token))
        if array.shape == (merged.max(initial=-1) + 1,):
            ordinary = self.of_token != SPECIAL
            by_unit = np.empty(len(self))
            by_unit[self.of_token[ordinary]] = array[merged[ordinary]]
            array = by_unit
        if array.shape != self.lengths.shape:
            raise InvalidInput(
                f"The scores have shape {array.shape} for a text of {len(self.of_token)} tokens in {len(self)} units; "
                "expected one score for each token, special ones included, or one for each unit."
            )
        if not np.isfinite(array).all():
            raise InvalidInput(
                f"The scores of units {np.flatnonzero(~np.isfinite(array)).tolist()} aren't finite; expected a finite "
                "number per unit. Leave out methods that are undefined for this model."
            )
        return array


def words_of(tokens: Tokens) -> Units:
    """Take each word as a unit; words are separated by whitespace, and every punctuation mark is a word.

    Parameters
    ----------
    tokens
        The text as the model reads it.
    """
    return _units(tokens, np.asarray(tokens.words))


def tokens_of(tokens: Tokens) -> Units:
    """Take each token that is not special as a unit.

    Parameters
    ----------
    tokens
        The text as the model reads it.
    """
    return _units(tokens, np.where(tokens.special, SPECIAL, np.cumsum(~tokens.special) - 1))


UNITS: dict[str, Callable[[Tokens], Units]] = {"word": words_of, "token": tokens_of}
"""Functions that divide a text into units, by name."""


def units_named(by: str) -> Callable[[Tokens], Units]:
    """Return the function that divides a text into units.

    Raises
    ------
    InvalidInput
        If there is none of this name.
    """
    if by not in UNITS:
        raise InvalidInput(f"There are no units {by!r}; expected one of {', '.join(UNITS)}.")
    return UNITS[by]


def _units(tokens: Tokens, of_token: Int[np.ndarray, " token"]) -> Units:
    ordinary = of_token != SPECIAL
    numbers = np.full(len(of_token), SPECIAL, dtype=np.int64)
    numbers[ordinary] = np.unique(of_token[ordinary], return_inverse=True)[1]
    spans = merge_spans(tokens.offsets[ordinary], numbers[ordinary])
    order = groups(numbers[ordinary])
    lengths = np.zeros(numbers.max(initial=SPECIAL) + 1, dtype=np.int64)
    letters = np.array([len(tokens.text[start:end].strip()) for start, end in spans], dtype=np.int64)
    lengths[numbers[ordinary]] = letters[order]
    return Units(numbers, lengths)
