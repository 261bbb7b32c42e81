"""The surface of a token, which is its text: its category, and a readable form of it."""

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
"""The categories of sources in reductions and reports; a special first token is in the first two."""

_SHOWN = str.maketrans({" ": "␣", "\n": "⏎", "\r": "⏎", "\t": "⇥"})


def categories(offsets: ArrayLike, special: ArrayLike, text: str) -> NDArray[np.str_]:
    """Classify each token as "special", "punctuation" or "other" by its characters in the text.

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
        "punctuation" if the token has characters other than whitespace, and all of them are in the Unicode categories P*
        (punctuation) or S* (symbols, such as ``$``, ``+`` and emoji).

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
    """The sources of one text that belong to each of `SOURCE_CATEGORIES`.

    Parameters
    ----------
    categories
        One of `CATEGORIES` for each token of the text, ``(source,)``.

    Returns
    -------
    dict of str to array of bool, ``(source,)``
        The first token, often an attention sink, has its own category. If it is special, it is in "special" and in "first
        token"; every other source is in one category.

    Examples
    --------
    >>> chosen = sources_by_category(["special", "other"])
    >>> {name: sources.tolist() for name, sources in chosen.items() if sources.any()}
    {'special': [True, False], 'first token': [True, False], 'other': [False, True]}
    """
    names = np.asarray(categories, dtype=np.str_)
    is_first = np.arange(len(names)) == 0
    ordinary = {name: (names == name) & ~is_first for name in ("punctuation", "other")}
    return {"special": names == "special", "first token": is_first, **ordinary}


def joined_tokens(offsets: ArrayLike, categories: ArrayLike, text: str) -> NDArray[np.bool_]:
    """Whether each token directly follows the one before it, without a space between, or shares a character with it.

    Parameters
    ----------
    offsets
        First character and character after the last, ``(token, 2)``, within `text`; they may include the token's space.
    categories
        One of `CATEGORIES` for each token, ``(token,)``; no token is joined to a special one.
    text
        The text that was tokenized. If it is empty, because it is unavailable, tokens whose offsets touch are joined.

    Returns
    -------
    array of bool, ``(token,)``
    """
    spans, special = np.reshape(offsets, (-1, 2)), np.asarray(categories) == "special"
    joined = np.zeros(len(spans), dtype=bool)
    for k in np.flatnonzero((spans[1:, 0] <= spans[:-1, 1]) & ~special[1:] & ~special[:-1]) + 1:
        start, reached = int(spans[k, 0]), int(spans[k - 1, 1])
        joined[k] = (
            start < reached
            or not text
            or (0 < start < len(text) and not any(map(str.isspace, text[start - 1 : start + 1])))
        )
    return joined


def readable_tokens(
    tokens: Sequence[str], offsets: ArrayLike, special: ArrayLike, text: str, unknown: str | None = None
) -> NDArray[np.str_]:
    """The readable form of tokens: their text, not the tokenizer's spelling of it.

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
        The tokenizer's spelling of its unknown token; None if it has none.

    Returns
    -------
    array of str, ``(token,)``
        Tokens without the spaces around them. Spaces in a token that is nothing else appear as ``␣``, line breaks as ``⏎``,
        tabs as ``⇥``. Text that the model reads as an unknown token is followed by a space and that token: ``❤ [UNK]``.

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
    """A token's text without the spaces around it, and with visible marks for other whitespace.

    Parameters
    ----------
    surface
        At least one character. If all are spaces, they appear as ``␣``; line breaks appear as ``⏎``, tabs as ``⇥``.
    """
    return (surface.strip(" ") or surface).translate(_SHOWN)


def is_punctuation(character: str) -> bool:
    """Whether a character is punctuation or a symbol (Unicode categories P* and S*), or a mark that modifies one.

    Parameters
    ----------
    character
        One character. Modifying marks are the variation selectors and joiners in emoji.

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
