"""Merging of tokens' maps and values into those of words, by indicator matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from normlens.errors import InvalidInput
from normlens.words.numbering import SPECIAL


def merge_map(
    values: ArrayLike, target_words: ArrayLike, source_words: ArrayLike
) -> Float[np.ndarray, "*rest target_word source_word"]:
    """Merge a map of tokens into a map of words: sum over source pieces, average over target pieces.

    Rows that add up to one (attention weights) still add up to one.

    Parameters
    ----------
    values
        Weights or norms, ``(..., target, source)``.
    target_words, source_words
        Word numbers, -1 for special tokens, ``(target,)`` and ``(source,)``.

    Returns
    -------
    array, ``(..., target_word, source_word)``
        In the dtype of `values`.

    Raises
    ------
    InvalidInput
        If the last two axes of `values` don't fit the word numbers.

    Examples
    --------
    >>> merge_map([[0.5, 0.25, 0.25], [0.1, 0.4, 0.5], [0.2, 0.2, 0.6]], [0, 0, 1], [0, 0, 1]).round(3).tolist()
    [[0.625, 0.375], [0.4, 0.6]]
    """
    by_source = merge_sources(values, source_words)
    return np.swapaxes(merge_targets(np.swapaxes(by_source, -1, -2), target_words), -1, -2)


def merge_sources(values: ArrayLike, source_words: ArrayLike) -> Float[np.ndarray, "*rest word"]:
    """Sum values over the pieces of each source word (Kobayashi et al. 2020).

    Parameters
    ----------
    values
        Weights or norms, ``(..., source)``.
    source_words
        Word number of each source, -1 for special tokens, ``(source,)``.

    Returns
    -------
    array, ``(..., word)``
        One entry per word and per special token, in the order of first appearance; in the dtype of `values`.

    Raises
    ------
    InvalidInput
        If the last axis of `values` is not as long as `source_words`.
    """
    return _merged(values, source_words, average=False)


def merge_targets(values: ArrayLike, target_words: ArrayLike) -> Float[np.ndarray, "*rest word"]:
    """Average values over the pieces of each target word (Kobayashi et al. 2020).

    Parameters
    ----------
    values
        Values per target, ``(..., target)``: a mixing ratio, or a map with its last two axes swapped.
    target_words
        Word number of each target, -1 for special tokens, ``(target,)``.

    Returns
    -------
    array, ``(..., word)``
        One entry per word and per special token, in the order of first appearance; in the dtype of `values`.

    Raises
    ------
    InvalidInput
        If the last axis of `values` is not as long as `target_words`.
    """
    return _merged(values, target_words, average=True)


def merge_spans(offsets: ArrayLike, words: ArrayLike) -> Int[np.ndarray, "word 2"]:
    """Return the character span of each merged entry, from its first piece to its last.

    Parameters
    ----------
    offsets
        First character and character after the last, ``(token, 2)``.
    words
        Word number of each token, -1 for special tokens, ``(token,)``.

    Returns
    -------
    array of int, ``(word, 2)``
        Pieces with empty offsets are ignored, unless a word has no others.
    """
    spans, group = np.asarray(offsets, dtype=np.int64).reshape(-1, 2), groups(words)
    merged = np.zeros((group.max(initial=-1) + 1, 2), dtype=np.int64)
    for entry in range(len(merged)):
        pieces = spans[group == entry]
        pieces = pieces[pieces[:, 0] < pieces[:, 1]] if (pieces[:, 0] < pieces[:, 1]).any() else pieces
        merged[entry] = pieces[:, 0].min(), pieces[:, 1].max()
    return merged


def groups(words: ArrayLike) -> Int[np.ndarray, " token"]:
    """Index of each token's entry after merging: one entry per word, and one per special token.

    Parameters
    ----------
    words
        Word numbers, -1 for special tokens, ``(token,)``.

    Returns
    -------
    array of int, ``(token,)``
        0, 1, 2, ... in the order of first appearance.

    Examples
    --------
    >>> groups([-1, 0, 0, 1, -1]).tolist()
    [0, 1, 1, 2, 3]
    """
    number = np.asarray(words, dtype=np.int64)
    alone = number.max(initial=SPECIAL) + 1 + np.arange(len(number))
    _, first, inverse = np.unique(np.where(number == SPECIAL, alone, number), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], dtype=np.int64)


def _merged(values: ArrayLike, words: ArrayLike, *, average: bool) -> NDArray[Any]:
    """Sum or average the last axis over the pieces of each word, with an indicator matrix (token, word)."""
    array, group = np.asarray(values), groups(words)
    if array.ndim == 0 or array.shape[-1] != len(group):
        raise InvalidInput(
            f"The array to merge has shape {array.shape}, but there are {len(group)} word numbers; expected a last "
            "axis of that length. Pass the word numbers of this axis: sources for sources, targets for targets."
        )
    indicator = (group[:, None] == np.arange(group.max(initial=-1) + 1)).astype(np.float64)
    if average:
        indicator /= indicator.sum(axis=0)
    dtype = array.dtype if np.issubdtype(array.dtype, np.floating) else np.float64
    return np.asarray((array @ indicator).astype(dtype))
