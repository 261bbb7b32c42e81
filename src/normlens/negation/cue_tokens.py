"""The tokens of a cue, those of the other words, and what a map says that passes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from normlens.errors import InvalidInput
from normlens.words import SPECIAL

DIRECTIONS = ("from_cue", "to_cue")
"""From the cue (the source) to a word (the target), and from a word to the cue."""


@dataclass(frozen=True)
class CueTokens:
    """Which tokens of a text belong to a cue, and which to every other word.

    Attributes
    ----------
    in_cue
        The tokens of the cue, ``(token,)``.
    members
        The tokens of each word without those of the cue, ``(word, token)``.
    reached
        Where something can arrive, ``(direction, word)``: at and from words with tokens of their own; in a decoder, only
        from left to right.
    labels
        Each word as written; of the cue's word, the rest, unless the whole word is the cue.
    """

    in_cue: Bool[np.ndarray, " token"]
    members: Bool[np.ndarray, "word token"]
    reached: Bool[np.ndarray, "direction word"]
    labels: list[str]

    def read(self, values: Float[np.ndarray, "*rest target source"]) -> Float[np.ndarray, "direction *rest word"]:
        """What passes from the cue to each word, and from each word to the cue.

        Parameters
        ----------
        values
            Maps of tokens, such as weights, ``(..., target, source)``.

        Returns
        -------
        array, ``(direction, ..., word)``
            Summed over the source's tokens and averaged over the target's, as when sub-words are merged into words; NaN
            where nothing can arrive.
        """
        sums = self.members.T.astype(np.float64)
        means = sums / np.maximum(sums.sum(axis=0), 1)
        from_cue = values[..., self.in_cue].sum(axis=-1) @ means
        to_cue = values[..., self.in_cue, :].mean(axis=-2) @ sums
        reached = self.reached.reshape(len(DIRECTIONS), *(1,) * (values.ndim - 2), -1)
        return np.where(reached, np.stack([from_cue, to_cue]), np.nan)


def tokens_of_cue(
    data: xr.Dataset | xr.DataArray, cue: Sequence[tuple[int, int]], text: str, *, causal: bool
) -> CueTokens:
    """Locate a cue among the tokens of a text.

    The cue is the tokens that have at least half of their characters in it (if there is none, those with any), so that "un"
    of "unhappy" is a cue of its own wherever it is a token.

    Parameters
    ----------
    data
        A group of an analysis, or a map of attribution, with the coordinates of its sources.
    cue
        First character, and character after the last, of each piece of the cue.
    text
        The text that was analyzed.
    causal
        Whether a target receives nothing from the sources after it.

    Raises
    ------
    InvalidInput
        If no token belongs to the cue.
    """
    spans = np.stack([data["source_start"].values, data["source_end"].values], axis=1)
    words = data["source_word"].values
    in_cue = _overlapping(spans, words, cue, text)
    every = words == np.arange(words.max(initial=SPECIAL) + 1)[:, None]
    members = every & ~in_cue
    shown = np.where(members.any(axis=1)[:, None], members, every)
    return CueTokens(in_cue, members, _reached(members, in_cue, causal), [_label(spans[of], text) for of in shown])


def _overlapping(
    spans: Int[np.ndarray, "token 2"], words: Int[np.ndarray, " token"], cue: Sequence[tuple[int, int]], text: str
) -> Bool[np.ndarray, " token"]:
    inside = np.zeros(len(spans), dtype=np.int64)
    for start, end in cue:
        inside += np.clip(np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start), 0, None)
    inside[words == SPECIAL] = 0
    letters = np.array([len(text[start:end].strip()) for start, end in spans])
    half = (inside > 0) & (2 * inside >= letters)
    chosen = half if half.any() else inside > 0
    if not chosen.any():
        raise InvalidInput(
            f"The model reads no token of the cue {' … '.join(text[a:b] for a, b in cue)!r}; expected at least one. Is the "
            "text cut off before it?"
        )
    return np.asarray(chosen)


def _reached(
    members: Bool[np.ndarray, "word token"], in_cue: Bool[np.ndarray, " token"], causal: bool
) -> Bool[np.ndarray, "direction word"]:
    present = members.any(axis=1)
    if not causal:
        return np.stack([present, present])
    place = np.arange(len(in_cue))
    first = np.where(members, place, len(place)).min(axis=1)
    last = np.where(members, place, -1).max(axis=1)
    return np.stack([present & (last > place[in_cue].min()), present & (first < place[in_cue].max())])


def _label(spans: NDArray[np.int64], text: str) -> str:
    return text[spans[:, 0].min() : spans[:, 1].max()].strip() if len(spans) else ""
