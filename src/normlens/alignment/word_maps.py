"""Maps of tokens merged to maps of words for word alignment: AWI or AWO, the end of the sentence in the last column.

The decoder's row t reads token y_{t-1} and predicts y_t. With the target's tokens numbered from 0 and a start
token before them, token k is *predicted* in row k (AWO, alignment with output) and is the *input* of row k + 1 (AWI,
alignment with input).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from normlens.alignment.subwords import NO_WORD, Subwords

Setting = Literal["awi", "awo"]
SETTINGS: tuple[Setting, ...] = ("awi", "awo")


def word_map(
    values: Float[np.ndarray, "*rest row token"], source: Subwords, target: Subwords, setting: Setting
) -> Float[np.ndarray, "*rest target source+1"]:
    """Sum over the subwords of each source word, average over those of each target word (2020, section 5).

    Parameters
    ----------
    values
        Weights or norms, one row per decoder input, one column per source token, ``(..., row, token)``.
    source, target
        The two sentences.
    setting
        "awi" or "awo".

    Returns
    -------
    array, ``(..., target, source + 1)``
        The last column is the amount that belongs to no source word: the end of the sentence. NaN for target words without a
        token; zero for source words without one.

    References
    ----------
    Kobayashi et al. 2020, section 5; the two settings are from Chen et al. 2020, "Accurate Word Alignment Induction from
    Neural Machine Translation".
    """
    rows = np.flatnonzero(target.words != NO_WORD)
    columns = _indicator(np.where(source.words == NO_WORD, source.number, source.words), source.number + 1)
    members = _indicator(target.words[rows], target.number).T
    with np.errstate(invalid="ignore"):
        members /= members.sum(axis=1, keepdims=True)
    merged: NDArray[np.float64] = members @ (values[..., rows + (setting == "awi"), :] @ columns)
    return merged


def _indicator(numbers: Int[np.ndarray, " token"], size: int) -> NDArray[np.float64]:
    return np.asarray(numbers[:, None] == np.arange(size), dtype=np.float64)
