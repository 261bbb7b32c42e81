"""Which word each token belongs to, by the character offsets of the tokenizer."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray

from normlens.words.surface import checked_offsets, is_modifier, is_punctuation

SPECIAL = -1
"""The word number of a special token."""

_NO_PLACE = -2  # an ordinary token whose offsets are empty, until its neighbors have told where it belongs


def word_numbers(
    offsets: ArrayLike, special: ArrayLike, text: str, *, split_punctuation: bool = True
) -> Int[np.ndarray, " token"]:
    """Tell which word each token belongs to.

    Whitespace at either end of a token is not looked at (byte-level tokenizers put the space into the token). A token
    that spans several words, such as ``'s``, joins them, since it can't be cut. A lone space directly before a word
    belongs to that word (SentencePiece's ``▁``); any other token of whitespace is a word of its own. A token with empty
    offsets belongs to the word at its place, or, where it has no place, to the word of the token before it.

    Parameters
    ----------
    offsets
        First character and character after the last, for each token, ``(token, 2)``, within `text`.
    special
        True for special tokens, ``(token,)``.
    text
        The text that was tokenized. Call once per text where a model reads a pair of them.
    split_punctuation
        Whether punctuation, symbols and CJK ideographs are words of their own; otherwise only whitespace separates.

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
    first = np.full(len(spans), _NO_PLACE, dtype=np.int64)
    joined = np.zeros(max(units, default=-1) + 2, dtype=bool)
    reached = 0
    for token in np.flatnonzero(~is_special):
        start, stop = spans[token]
        low, high = _unit_range(text, units, start, stop, reached)
        first[token] = low
        joined[low + 1 : high + 1] = True
        reached = max(reached, stop)
    first[is_special] = SPECIAL
    placed = _place_the_rest(first)
    word_of_unit = np.cumsum(~joined) - 1
    return _renumber(np.where(placed < 0, placed, word_of_unit[placed]))


def whitespace_words(words: ArrayLike, offsets: ArrayLike, special: ArrayLike, text: str) -> Int[np.ndarray, " token"]:
    """Join words that no whitespace separates, such as a quotation mark and the word behind it.

    Parameters
    ----------
    words
        From :func:`word_numbers`, or the caller's own, ``(token,)``; none of them is divided.
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
        spans[:, 0] < spans[:, 1], word_numbers(spans, is_special, text, split_punctuation=False), _NO_PLACE
    )
    places = np.flatnonzero((own != SPECIAL) & ~is_special)
    begins = [
        own[k] != own[before] and (joined[k] != joined[before] or _NO_PLACE in (joined[k], joined[before]))
        for before, k in pairwise(places)
    ]
    numbers = np.full(len(own), SPECIAL, dtype=np.int64)
    numbers[places] = np.cumsum([False, *begins])[: len(places)]
    return numbers


def _units(text: str, split_punctuation: bool, marks: NDArray[np.int64]) -> list[int]:
    """Give each character the number of its unit: a stretch of letters, a single mark, or a run of whitespace.

    Special tokens that are written in the text, such as ``[MASK]``, are units too.
    """
    numbers: list[int] = []
    number, previous = -1, ""
    edges = {int(place) for start, stop in marks if start < stop for place in (start, stop)}
    for place, character in enumerate(text):
        modifies = is_modifier(character)
        previous = "" if place in edges else previous
        if not (modifies and previous not in ("", "space")):
            kind = _kind(character, split_punctuation)
            number += kind == "single" or kind != previous
            previous = kind
        numbers.append(number)
    return numbers


def _kind(character: str, split_punctuation: bool) -> str:
    """Tell a character that is a unit alone ("single") from those that run on ("space", "letter")."""
    if character.isspace():
        return "space"
    return "single" if split_punctuation and (is_punctuation(character) or _is_ideograph(character)) else "letter"


def _is_ideograph(character: str) -> bool:
    """Whether a character is a CJK ideograph."""
    return unicodedata.name(character, "").startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"))


def _unit_range(text: str, units: list[int], start: int, stop: int, reached: int) -> tuple[int, int]:
    """First and last unit of the characters ``start:stop``; `_NO_PLACE` twice if they are none and tell no place."""
    surface = text[start:stop]
    low, high = start + len(surface) - len(surface.lstrip()), stop - (len(surface) - len(surface.rstrip()))
    if low < high:
        return units[low], units[high - 1]
    if start == stop and (start < reached or start >= len(text)):
        return _NO_PLACE, _NO_PLACE
    before_word = surface in ("", " ") and stop < len(text) and not text[stop].isspace()
    place = stop if before_word else start
    return units[place], units[place]


def _place_the_rest(first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give tokens without a place the unit of the ordinary token before, else after; else 0."""
    placed = first.copy()
    known = np.flatnonzero(placed >= 0)
    for token in np.flatnonzero(placed == _NO_PLACE):
        before, after = known[known < token], known[known > token]
        placed[token] = placed[before[-1]] if len(before) else placed[after[0]] if len(after) else 0
    return placed


def _renumber(words: NDArray[np.int64]) -> Int[np.ndarray, " token"]:
    """Close the gaps that words without a token leave in the numbering."""
    numbers = np.full(len(words), SPECIAL, dtype=np.int64)
    ordinary = words >= 0
    numbers[ordinary] = np.unique(words[ordinary], return_inverse=True)[1]
    return numbers
