"""How well two tables of embeddings translate words: nearest neighbours against a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from normlens.errors import InvalidInput

Similarity = Literal["cosine", "csls"]
"""How near two words are: by their cosine, or by cross-domain similarity local scaling (Conneau et al. 2018)."""

_NEIGHBORS = 10


@dataclass(frozen=True)
class DictionaryPrecision:
    """Precision of nearest neighbours as translations.

    Attributes
    ----------
    at_1, at_5
        Share of the words of which one of the 1 or 5 nearest candidates is a translation.
    chance_1, chance_5
        The same expected of candidates drawn at random.
    words
        Number of words that were looked up.
    hits_1
        Of each word whether the nearest candidate is a translation, in the order of the dictionary.
    """

    at_1: float
    at_5: float
    chance_1: float
    chance_5: float
    words: int
    hits_1: tuple[bool, ...]


def dictionary_precision(
    source: Float[np.ndarray, "source width"],
    target: Float[np.ndarray, "target width"],
    dictionary: Mapping[int, Set[int]],
    *,
    similarity: Similarity = "csls",
) -> DictionaryPrecision:
    """Look words up by their embeddings.

    Parameters
    ----------
    source, target
        Embeddings of the words of two languages, ``(word, width)``; every row of `target` is a candidate.
    dictionary
        Rows of `target` that translate a row of `source`; a word may have several.
    similarity
        "csls", or "cosine".

    Returns
    -------
    DictionaryPrecision

    Raises
    ------
    InvalidInput
        If the dictionary is empty or names rows that aren't there, if widths differ, or a row that is used is zero.

    References
    ----------
    Conneau et al. 2018, "Word Translation Without Parallel Data": CSLS subtracts from twice the cosine the mean cosine of
    either word with its ten nearest neighbours in the other language, because some words are near to everything.
    """
    if similarity not in get_args(Similarity):
        raise InvalidInput(f"similarity is {similarity!r}; expected one of {', '.join(get_args(Similarity))}.")
    rows = np.array(sorted(dictionary), dtype=np.intp)
    translations = [sorted(dictionary[int(row)]) for row in rows]
    _check(source, target, rows, translations)
    near = _unit(source) @ _unit(target).T
    if similarity == "csls":
        k = min(_NEIGHBORS, *near.shape)
        near = 2 * near - _mean_of_nearest(near, k)[:, None] - _mean_of_nearest(near.T, k)
    near = near[rows]
    best = np.argsort(-near, axis=1, kind="stable")[:, :5]
    right = np.array([np.isin(of_word, correct) for of_word, correct in zip(best, translations, strict=True)])
    chance = np.array([_chance(len(correct), len(target)) for correct in translations]).mean(axis=0)
    return DictionaryPrecision(
        at_1=float(right[:, 0].mean()),
        at_5=float(right.any(axis=1).mean()),
        chance_1=float(chance[0]),
        chance_5=float(chance[1]),
        words=len(rows),
        hits_1=tuple(bool(hit) for hit in right[:, 0]),
    )


def _check(
    source: NDArray[np.floating], target: NDArray[np.floating], rows: NDArray[np.intp], translations: list[list[int]]
) -> None:
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
        raise InvalidInput(
            f"The embeddings have shapes {source.shape} and {target.shape}; expected two tables of one width."
        )
    if not len(rows) or not all(translations):
        raise InvalidInput("The dictionary is empty, or a word has no translation; expected at least one of each.")
    last = max(max(correct) for correct in translations)
    if rows[0] < 0 or rows[-1] >= len(source) or last >= len(target) or min(map(min, translations)) < 0:
        raise InvalidInput(
            f"The dictionary names row {rows[-1]} of the source and row {last} of the target, but they have {len(source)} "
            f"and {len(target)}."
        )
    for name, table in (("source", source), ("target", target)):
        zero = np.flatnonzero(~np.isfinite(table).all(axis=1) | (np.abs(table).max(axis=1) == 0))
        if len(zero):
            raise InvalidInput(
                f"Row {zero[0]} of the {name} is zero or not finite, so it has no direction. Leave it out."
            )


def _unit(table: NDArray[np.floating]) -> NDArray[np.float64]:
    x = table.astype(np.float64)
    unit: NDArray[np.float64] = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit


def _mean_of_nearest(near: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Mean similarity of each row's k nearest columns."""
    mean: NDArray[np.float64] = np.partition(near, near.shape[1] - k, axis=1)[:, -k:].mean(axis=1)
    return mean


def _chance(correct: int, candidates: int) -> tuple[float, float]:
    """Probability that one of 1 or 5 candidates drawn without replacement is correct."""
    wrong = candidates - correct
    miss = 1.0
    for drawn in range(min(5, candidates)):
        miss *= max(wrong - drawn, 0) / (candidates - drawn)
    return correct / candidates, 1 - miss
