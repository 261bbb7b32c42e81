"""Where pieces lie whose offsets say it only in part: pieces of spaces alone, and marks that the tokenizer drops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray

from normlens.words.surface import is_modifier

_SPACES = "▁Ġ "
"""How tokenizers spell a space: SentencePiece, byte-level BPE, and as it is."""


def corrected_offsets(
    tokens: Sequence[str], offsets: ArrayLike, special: ArrayLike, text: str
) -> Int[np.ndarray, "token 2"]:
    """Give pieces of spaces alone the place of their space, and letters the accents that belong to them.

    Tokenizers that put a mark before each word, such as ``▁``, give it the offsets of the word's first letter; where the
    mark is a piece by itself, two pieces lie on that letter. Others leave the piece without a place. Tokenizers that
    remove accents leave them out of the offsets, so that a word would end before its last accent.

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
        The same, except for pieces of spaces (the space before the word, if it belongs to no earlier piece; else nothing,
        before the word), and for letters in front of marks that are in no piece.
    """
    placed = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    ordinary = np.flatnonzero(~np.asarray(special, dtype=bool)).tolist()
    reached = 0
    for k in ordinary:
        start, stop = placed[k].tolist()
        if not tokens[k].strip(_SPACES) and (start == stop or not _is_spelled(tokens[k], text[start:stop])):
            placed[k] = _place(text, start, reached)
        reached = max(reached, int(placed[k, 1]))
    if not text.isascii():
        _take_marks(placed, ordinary, text)
    return placed


def _is_spelled(token: str, surface: str) -> bool:
    """Whether a piece that looks like spaces stands for these characters: spaces, or its mark itself."""
    return surface.isspace() or surface == token


def _place(text: str, start: int, reached: int) -> tuple[int, int]:
    """The free space before a place or else behind it; else nothing, there."""
    for space in (start - 1, start):
        if reached <= space < len(text) and text[space] == " ":
            return space, space + 1
    return start, start


def _take_marks(placed: NDArray[np.int64], ordinary: Sequence[int], text: str) -> None:
    """Lengthen pieces by the marks behind them that are in no piece."""
    taken = np.zeros(len(text) + 1, dtype=bool)
    for start, stop in placed.tolist():
        taken[start:stop] = True
    for k in ordinary:
        start, stop = placed[k].tolist()
        while start < stop < len(text) and not taken[stop] and is_modifier(text[stop]):
            stop += 1
        placed[k, 1] = stop
