"""What a token looks like in the text: its category, and how a person reads it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike, NDArray

from normlens.errors import InvalidInput

CATEGORIES = ("special", "punctuation", "other")
"""The categories of tokens; each token is in exactly one."""

SOURCE_CATEGORIES = ("special", "first token", "punctuation", "other")
"""The categories that what a target receives is told by; a special first token is in the first two."""

_SHOWN = str.maketrans({" ": "␣", "\n": "⏎", "\r": "⏎", "\t": "⇥"})


def categories(offsets: ArrayLike, special: ArrayLike, text: str) -> NDArray[np.str_]:
    """Sort each token into "special", "punctuation" or "other", by the characters it stands for in the text.

    Parameters
    ----------
    offsets
        First character and character after the last, ``(token, 2)``, within `text`.
    special
        True for special tokens, ``(token,)``.
    text
        The text that was tokenized.

    Returns
    -------
    array of str, ``(token,)``
        "punctuation" if every character but whitespace is of a Unicode category P* (punctuation) or S* (symbols, such
        as ``$``, ``+`` and emoji), and there is one.

    Raises
    ------
    InvalidInput
        If the offsets don't fit the flags or the text.
    """
    spans, is_special = checked_offsets(offsets, special, text)
    surfaces = ["".join(text[start:stop].split()) for start, stop in spans]
    ordinary = ["punctuation" if surface and all(map(is_punctuation, surface)) else "other" for surface in surfaces]
    return np.where(is_special, "special", np.array(ordinary, dtype=np.str_))


def sources_by_category(categories: ArrayLike) -> dict[str, Bool[np.ndarray, " source"]]:
    """Tell which sources of one text belong to each of `SOURCE_CATEGORIES`.

    Parameters
    ----------
    categories
        One of `CATEGORIES` for each token, from the first one on, ``(source,)``.

    Returns
    -------
    dict of str to array of bool, ``(source,)``
        The first token, often an attention sink, stands alone. Where it is special, it is in "special" and in "first
        token"; otherwise each source is in one category.

    Examples
    --------
    >>> {name: chosen.tolist() for name, chosen in sources_by_category(["special", "other"]).items()}
    {'special': [True, False], 'first token': [True, False], 'punctuation': [False, False], 'other': [False, True]}
    """
    names = np.asarray(categories, dtype=np.str_)
    is_first = np.arange(len(names)) == 0
    ordinary = {name: (names == name) & ~is_first for name in ("punctuation", "other")}
    return {"special": names == "special", "first token": is_first, **ordinary}


def joined_tokens(offsets: ArrayLike, categories: ArrayLike, text: str) -> NDArray[np.bool_]:
    """Tell which tokens are written onto the one before them, or share a character with it: no space lies between.

    Parameters
    ----------
    offsets
        First character and character after the last, ``(token, 2)``, within `text`; a space that belongs to a token may be
        counted in.
    categories
        One of `CATEGORIES` for each token, ``(token,)``; nothing is joined to a special one.
    text
        The text that was tokenized; empty if it isn't known, so that what touches is joined.

    Returns
    -------
    array of bool, ``(token,)``
    """
    spans, special = np.reshape(offsets, (-1, 2)), np.asarray(categories) == "special"
    found = np.zeros(len(spans), dtype=bool)
    for k in np.flatnonzero((spans[1:, 0] <= spans[:-1, 1]) & ~special[1:] & ~special[:-1]) + 1:
        start, reached = int(spans[k, 0]), int(spans[k - 1, 1])
        found[k] = (
            start < reached
            or not text
            or (0 < start < len(text) and not any(map(str.isspace, text[start - 1 : start + 1])))
        )
    return found


def readable_tokens(
    tokens: Sequence[str], offsets: ArrayLike, special: ArrayLike, text: str, unknown: str | None = None
) -> NDArray[np.str_]:
    """Give tokens as a person reads them: the text they stand for, not the tokenizer's spelling of it.

    Parameters
    ----------
    tokens
        The tokenizer's own spelling; kept for special tokens and for those with empty offsets.
    offsets
        First character and character after the last, ``(token, 2)``, within `text`.
    special
        True for special tokens, ``(token,)``.
    text
        The text that was tokenized.
    unknown
        The tokenizer's spelling of the token that stands for whatever it doesn't know; None if it has no such token.

    Returns
    -------
    array of str, ``(token,)``
        Spaces around a token are left out; a token of spaces alone shows them as ``␣``, line breaks show as ``⏎``, tabs
        as ``⇥``. Behind text that the model can't tell from other text stands a space and the unknown token: ``❤ [UNK]``.

    Raises
    ------
    InvalidInput
        If tokens, offsets, flags and text don't fit each other.
    """
    spans, is_special = checked_offsets(offsets, special, text)
    if len(tokens) != len(spans):
        raise InvalidInput(
            f"{len(tokens)} tokens came with {len(spans)} offsets; expected one pair of offsets for each token. "
            "Take both from one call of the tokenizer."
        )
    shown = [
        token if flag or start == stop else visible(text[start:stop])
        for token, flag, (start, stop) in zip(tokens, is_special, spans, strict=True)
    ]
    marked = [
        f"{surface} {unknown}" if token == unknown != surface else surface
        for token, surface in zip(tokens, shown, strict=True)
    ]
    return np.array(marked, dtype=np.str_)


def visible(surface: str) -> str:
    """Show a stretch of text: without the spaces around it, other whitespace by visible marks.

    Parameters
    ----------
    surface
        At least one character. Spaces alone show as ``␣``, line breaks as ``⏎``, tabs as ``⇥``.
    """
    return (surface.strip(" ") or surface).translate(_SHOWN)


def is_punctuation(character: str) -> bool:
    """Whether a character is punctuation or a symbol (Unicode categories P* and S*), or a mark that modifies one.

    Parameters
    ----------
    character
        One character. The marks are the variation selectors and joiners inside emoji.

    Returns
    -------
    bool
    """
    return unicodedata.category(character)[0] in "PS" or character in "\ufe0e\ufe0f\u200d"


def is_modifier(character: str) -> bool:
    """Whether a character modifies the one before it: an accent, a vowel sign, a joiner (Unicode M* and Cf).

    Parameters
    ----------
    character
        One character.
    """
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf")


def checked_offsets(offsets: ArrayLike, special: ArrayLike, text: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Check offsets and special flags against each other and the text.

    Parameters
    ----------
    offsets
        First character and character after the last, ``(token, 2)``.
    special
        True for special tokens, ``(token,)``.
    text
        The text that was tokenized.

    Returns
    -------
    spans, flags
        ``(token, 2)`` of int and ``(token,)`` of bool.

    Raises
    ------
    InvalidInput
        If the shapes differ or an offset lies outside the text.
    """
    spans, flags = np.asarray(offsets, dtype=np.int64), np.asarray(special, dtype=bool)
    spans = spans.reshape(0, 2) if spans.size == 0 else spans
    if spans.ndim != 2 or spans.shape[1] != 2 or flags.shape != spans.shape[:1]:
        raise InvalidInput(
            f"Offsets have shape {spans.shape} and special flags {flags.shape}; expected (token, 2) and (token,). "
            "Ask the tokenizer for both with return_offsets_mapping=True and return_special_tokens_mask=True."
        )
    wrong = np.flatnonzero((spans[:, 0] < 0) | (spans[:, 1] < spans[:, 0]) | (spans[:, 1] > len(text)))
    if len(wrong):
        raise InvalidInput(
            f"Token {wrong[0]} has the offsets {tuple(spans[wrong[0]].tolist())}, but the text has {len(text)} "
            "characters; expected 0 <= start <= end <= length. Pass the text that these tokens were made from."
        )
    return spans, flags
