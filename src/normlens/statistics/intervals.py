"""Means over texts and their bootstrap intervals; missing values are left out, never imputed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from normlens.errors import InvalidInput

_NUMBERS_AT_ONCE = 8_000_000  # of resampled means: 64 MB


def mean_of_present(values: ArrayLike, axis: int | tuple[int, ...]) -> Float[np.ndarray, "*rest"]:
    """Average the values that are present.

    Parameters
    ----------
    values
        Any shape; NaN stands for a missing value.
    axis
        Axis or axes to average over.

    Returns
    -------
    array
        `values` without these axes; NaN where no value is present.
    """
    array = np.asarray(values, dtype=np.float64)
    present = np.isfinite(array)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(present, array, 0.0).sum(axis=axis) / present.sum(axis=axis))


def bootstrap_interval(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[Float[np.ndarray, "*rest"], Float[np.ndarray, "*rest"]]:
    """Bootstrap percentile interval of the mean over texts.

    Texts are drawn with replacement, the same draws for every column, so that columns can be compared. A column's mean
    leaves out the texts where it is NaN. Drawing n of n texts is the same as giving each text a multinomial count, so
    all means are one matrix product: counts @ values (`scipy.stats.bootstrap` would keep every resample in memory).

    Parameters
    ----------
    values
        One row per text, ``(text, ...)``.
    confidence
        Share of the resampled means inside the interval, between 0 and 1.
    resamples
        Number of draws.
    seed
        Seed of NumPy's default generator; the same seed gives the same interval.

    Returns
    -------
    low, high
        Each of the shape of one row. NaN where fewer than two texts have a value.

    Raises
    ------
    InvalidInput
        If there are no texts, or an option is out of range.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or len(array) == 0 or not 0 < confidence < 1 or resamples < 1:
        raise InvalidInput(
            f"The bootstrap got values of shape {array.shape}, confidence {confidence} and {resamples} resamples; "
            "expected at least one text, a confidence between 0 and 1, and at least one resample."
        )
    rows = array.reshape(len(array), -1)
    counts = np.random.default_rng(seed).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=resamples)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    step = max(1, _NUMBERS_AT_ONCE // resamples)
    blocks = [_interval(rows[:, at : at + step], counts, tails) for at in range(0, rows.shape[1], step)]
    low, high = np.concatenate(blocks, axis=1) if blocks else np.empty((2, 0))
    return low.reshape(array.shape[1:]), high.reshape(array.shape[1:])


def _interval(rows: NDArray[np.float64], counts: NDArray[np.int64], tails: list[float]) -> NDArray[np.float64]:
    """Quantiles of the resampled means of some columns, ``(2, column)``."""
    present = np.isfinite(rows)
    draws = counts.astype(np.float64)
    with np.errstate(invalid="ignore"):
        means = (draws @ np.where(present, rows, 0.0)) / (draws @ present)
    quantiles = np.full((2, rows.shape[1]), np.nan)
    enough = present.sum(axis=0) >= 2
    if enough.any():
        quantiles[:, enough] = np.nanquantile(means[:, enough], tails, axis=0)
    return quantiles
