"""The word number of each token, by the tokenizer's character offsets."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray

from normlens.words.surface import checked_offsets, is_modifier, is_punctuation

SPECIAL = -1
"""The word number of a special token."""

_NO_POSITION = -2  # an ordinary token with empty offsets, until it is assigned to a neighbor's word


def word_numbers(
    offsets: ArrayLike, special: ArrayLike, text: str, *, split_punctuation: bool = True
) -> Int[np.ndarray, " token"]:
    """Number the words of a text, and return the number of each token's word.

    Whitespace at either end of a token is ignored (byte-level tokenizers include the space in the token). A token that
    spans several words, such as ``'s``, joins them, because it can't be split. A single space directly before a word belongs
    to that word (SentencePiece's ``▁``); any other token of whitespace is a separate word. A token with empty offsets
    belongs to the word at its position, or, if its offsets give no position, to the word of the token before it.

    Parameters
    ----------
    offsets
        First character and character after the last, for each token, ``(token, 2)``, within `text`.
    special
        True for special tokens, ``(token,)``.
    text
        The text that was tokenized. For a pair of texts, call once for each.
    split_punctuation
        Whether punctuation marks, symbols and CJK ideographs are separate words; otherwise only whitespace separates words.

    Returns
    -------
    array of int, ``(token,)``
        Word numbers 0, 1, 2, ... in the order of the text; -1 for special tokens.

    Raises
    ------
    InvalidInput
        If the offsets don't fit the flags or the text.

    Examples
    --------
    >>> word_numbers([(0, 0), (0, 3), (3, 6), (6, 7), (0, 0)], [1, 0, 0, 0, 1], "Lisbon!").tolist()
    [-1, 0, 0, 1, -1]
    """
    spans, is_special = checked_offsets(offsets, special, text)
    units = _units(text, split_punctuation, spans[is_special])
    first = np.full(len(spans), _NO_POSITION, dtype=np.int64)
    joined = np.zeros(max(units, default=-1) + 2, dtype=bool)
    reached = 0
    for token in np.flatnonzero(~is_special):
        start, stop = spans[token]
        low, high = _unit_range(text, units, start, stop, reached)
        first[token] = low
        joined[low + 1 : high + 1] = True
        reached = max(reached, stop)
    first[is_special] = SPECIAL
    first = _with_neighbors_units(first)
    word_of_unit = np.cumsum(~joined) - 1
    return _renumber(np.where(first < 0, first, word_of_unit[first]))


def whitespace_words(words: ArrayLike, offsets: ArrayLike, special: ArrayLike, text: str) -> Int[np.ndarray, " token"]:
    """Join words that no whitespace separates, such as a quotation mark and the word after it.

    Parameters
    ----------
    words
        Word numbers from :func:`word_numbers`, or the caller's own, ``(token,)``; no word is split.
    offsets, special, text
        As for :func:`word_numbers`. Tokens with empty offsets stay with their word.

    Returns
    -------
    array of int, ``(token,)``
        Word numbers 0, 1, 2, ... in the order of the text; -1 for special tokens.

    Raises
    ------
    InvalidInput
        If the offsets don't fit the flags or the text.
    """
    own = np.asarray(words, dtype=np.int64)
    spans, is_special = checked_offsets(offsets, special, text)
    joined = np.where(
        spans[:, 0] < spans[:, 1], word_numbers(spans, is_special, text, split_punctuation=False), _NO_POSITION
    )
    ordinary = np.flatnonzero((own != SPECIAL) & ~is_special)
    begins = [
        own[k] != own[before] and (joined[k] != joined[before] or _NO_POSITION in (joined[k], joined[before]))
        for before, k in pairwise(ordinary)
    ]
    numbers = np.full(len(own), SPECIAL, dtype=np.int64)
    numbers[ordinary] = np.cumsum([False, *begins])[: len(ordinary)]
    return numbers


def _units(text: str, split_punctuation: bool, marks: NDArray[np.int64]) -> list[int]:
    """The unit number of each character: a unit is a run of letters, a single mark, or a run of whitespace.

    A special token in the text itself, such as ``[MASK]``, is also a unit.
    """
    numbers: list[int] = []
    number, previous = -1, ""
    edges = {int(edge) for start, stop in marks if start < stop for edge in (start, stop)}
    for position, character in enumerate(text):
        modifies = is_modifier(character)
        previous = "" if position in edges else previous
        if not (modifies and previous not in ("", "space")):
            kind = _kind(character, split_punctuation)
            number += kind == "single" or kind != previous
            previous = kind
        numbers.append(number)
    return numbers


def _kind(character: str, split_punctuation: bool) -> str:
    """Whether a character is a unit by itself ("single"), or belongs to a run of its kind ("space", "letter")."""
    if character.isspace():
        return "space"
    return "single" if split_punctuation and (is_punctuation(character) or _is_ideograph(character)) else "letter"


def _is_ideograph(character: str) -> bool:
    """Whether a character is a CJK ideograph."""
    return unicodedata.name(character, "").startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"))


def _unit_range(text: str, units: list[int], start: int, stop: int, reached: int) -> tuple[int, int]:
    """First and last unit of the characters ``start:stop``; `_NO_POSITION` twice if an empty range gives no position."""
    surface = text[start:stop]
    low, high = start + len(surface) - len(surface.lstrip()), stop - (len(surface) - len(surface.rstrip()))
    if low < high:
        return units[low], units[high - 1]
    if start == stop and (start < reached or start >= len(text)):
        return _NO_POSITION, _NO_POSITION
    before_word = surface in ("", " ") and stop < len(text) and not text[stop].isspace()
    position = stop if before_word else start
    return units[position], units[position]


def _with_neighbors_units(first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Assign tokens without a position to the unit of the ordinary token before them, else after them, else to unit 0."""
    units = first.copy()
    positioned = np.flatnonzero(units >= 0)
    for token in np.flatnonzero(units == _NO_POSITION):
        before, after = positioned[positioned < token], positioned[positioned > token]
        units[token] = units[before[-1]] if len(before) else units[after[0]] if len(after) else 0
    return units


def _renumber(words: NDArray[np.int64]) -> Int[np.ndarray, " token"]:
    """Close the gaps in the numbering that are left by words without tokens."""
    numbers = np.full(len(words), SPECIAL, dtype=np.int64)
    ordinary = words >= 0
    numbers[ordinary] = np.unique(words[ordinary], return_inverse=True)[1]
    return numbers
