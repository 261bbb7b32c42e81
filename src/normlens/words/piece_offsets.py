"""Correction of incomplete offsets: for pieces that are only spaces, and for accents that the tokenizer drops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray

from normlens.words.surface import is_modifier

_SPACES = "▁Ġ "
"""Spellings of a space: SentencePiece's, that of byte-level BPE, and a plain space."""


def corrected_offsets(
    tokens: Sequence[str], offsets: ArrayLike, special: ArrayLike, text: str
) -> Int[np.ndarray, "token 2"]:
    """Correct the offsets of pieces that are only spaces, and of letters with dropped accents.

    Tokenizers that mark the beginning of each word, as with ``▁``, give the mark the offsets of the word's first letter; if
    the mark is a separate piece, two pieces claim that letter. Other tokenizers give the piece empty offsets. Tokenizers
    that remove accents omit them from the offsets, so that a word would end before its last accent.

    Parameters
    ----------
    tokens
        The tokenizer's own spelling.
    offsets
        First character and character after the last, ``(token, 2)``, within `text`.
    special
        True for special tokens, ``(token,)``.
    text
        The text that was tokenized.

    Returns
    -------
    array of int, ``(token, 2)``
        The offsets. A piece of spaces gets the space before the word, if no earlier piece covers it, or else an empty span
        before the word. A letter also gets the accents after it that no piece covers.
    """
    corrected = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    ordinary = np.flatnonzero(~np.asarray(special, dtype=bool)).tolist()
    reached = 0
    for k in ordinary:
        start, stop = corrected[k].tolist()
        if not tokens[k].strip(_SPACES) and (start == stop or not _is_spelled(tokens[k], text[start:stop])):
            corrected[k] = _space_at(text, start, reached)
        reached = max(reached, int(corrected[k, 1]))
    if not text.isascii():
        _extend_over_accents(corrected, ordinary, text)
    return corrected


def _is_spelled(token: str, surface: str) -> bool:
    """Whether a piece of space characters covers exactly such text: whitespace, or the same characters."""
    return surface.isspace() or surface == token


def _space_at(text: str, start: int, reached: int) -> tuple[int, int]:
    """The span of an uncovered space before a position, or else at it; else an empty span there."""
    for space in (start - 1, start):
        if reached <= space < len(text) and text[space] == " ":
            return space, space + 1
    return start, start


def _extend_over_accents(offsets: NDArray[np.int64], ordinary: Sequence[int], text: str) -> None:
    """Extend pieces over the accents after them that no piece covers."""
    covered = np.zeros(len(text) + 1, dtype=bool)
    for start, stop in offsets.tolist():
        covered[start:stop] = True
    for k in ordinary:
        start, stop = offsets[k].tolist()
        while start < stop < len(text) and not covered[stop] and is_modifier(text[stop]):
            stop += 1
        offsets[k, 1] = stop
