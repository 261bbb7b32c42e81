"""Measures of one text's maps: shares, dispersion, rank correlation. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from normlens.errors import InvalidInput


def mean_over_targets(maps: ArrayLike) -> Float[np.ndarray, "*rest source"]:
    """Average over the targets what each source contributes, or receives.

    Parameters
    ----------
    maps
        Weights or norms, ``(..., target, source)``.

    Returns
    -------
    array, ``(..., source)``, float64
    """
    return np.asarray(np.asarray(maps).mean(axis=-2, dtype=np.float64))


def mean_over_seeing_targets(weight: ArrayLike) -> Float[np.ndarray, "layer head source"]:
    """Average α over the targets that can see a source: those for which any head of the layer gives it weight.

    In a decoder only one target sees the last source; a mean over all targets would measure the position, not the
    attention.

    Parameters
    ----------
    weight
        α, ``(layer, head, target, source)``.

    Returns
    -------
    array, ``(layer, head, source)``, float64
        0 for a source that no target sees.
    """
    alpha = np.asarray(weight)
    seen = np.logical_or(alpha > 0, alpha < 0).any(axis=1, keepdims=True).sum(axis=-2)
    return np.asarray(alpha.sum(axis=-2, dtype=np.float64) / np.maximum(seen, 1))


def share(values: ArrayLike, members: ArrayLike, *, elsewhere: ArrayLike = 0.0) -> Float[np.ndarray, "*rest"]:
    """Return the share of a total that belongs to some of the sources.

    Parameters
    ----------
    values
        Amount of each source, averaged over targets, ``(..., source)``.
    members
        True for the sources in question, ``(source,)``. If there are none, the share is 0.
    elsewhere
        Amount in the total that belongs to no source (the weight of an attention sink), ``(...)``.

    Returns
    -------
    array, ``(...)``
        Between 0 and 1; NaN where the total is 0 or NaN.
    """
    amounts, chosen = _sources(values, members)
    total = amounts.sum(axis=-1) + np.asarray(elsewhere, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(amounts[..., chosen].sum(axis=-1) / total)


def mean_of_members(values: ArrayLike, members: ArrayLike) -> Float[np.ndarray, "*rest"]:
    """Average values over some of the sources.

    Parameters
    ----------
    values
        Values per source, ``(..., source)``.
    members
        True for the sources to average over, ``(source,)``.

    Returns
    -------
    array, ``(...)``
        NaN if there are no members; later means leave it out.
    """
    amounts, chosen = _sources(values, members)
    if not chosen.any():
        return np.full(amounts.shape[:-1], np.nan)
    return np.asarray(amounts[..., chosen].mean(axis=-1))


def coefficient_of_variation(values: ArrayLike) -> Float[np.ndarray, "*rest"]:
    """Divide the standard deviation over sources by their mean: how unequal the norms are (0: all equal).

    Parameters
    ----------
    values
        Norms, ``(..., source)``. The standard deviation is that of the population (divided by n, not n - 1).

    Returns
    -------
    array, ``(...)``
        NaN where the mean is 0.
    """
    amounts = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(amounts.std(axis=-1) / amounts.mean(axis=-1))


def rank_correlation(first: ArrayLike, second: ArrayLike) -> Float[np.ndarray, "*rest"]:
    """Spearman's rank correlation along the last axis, for all leading axes at once; ties get their average rank.

    Parameters
    ----------
    first, second
        Arrays that broadcast against each other, ``(..., source)``. A source that is NaN in every row of either side (a
        token of unknown frequency) is left out; any other NaN (an absent head) makes its row NaN.

    Returns
    -------
    array, ``(...)``
        Between -1 and 1; NaN where there are fewer than three sources or one side is constant.

    Raises
    ------
    InvalidInput
        If the two differ in length.

    Examples
    --------
    >>> float(rank_correlation([1.0, 2.0, 3.0, 4.0], [10.0, 30.0, 20.0, 40.0]))
    0.8
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.shape[-1:] != right.shape[-1:]:
        raise InvalidInput(
            f"Rank correlation got {left.shape[-1:]} and {right.shape[-1:]} values; expected equal numbers. "
            "Pass values of the same tokens."
        )
    ranked = _somewhere_finite(left) & _somewhere_finite(right)
    shape = np.broadcast_shapes(left.shape[:-1], right.shape[:-1])
    if ranked.sum() < 3:
        return np.full(shape, np.nan)
    x, y = _centered_ranks(left[..., ranked]), _centered_ranks(right[..., ranked])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((x * y).sum(axis=-1) / np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1)))


def _sources(values: ArrayLike, members: ArrayLike) -> tuple[NDArray[np.float64], Bool[np.ndarray, " source"]]:
    """Values as float64 and members as bool, of the same number of sources."""
    amounts, chosen = np.asarray(values, dtype=np.float64), np.asarray(members, dtype=bool)
    if amounts.shape[-1:] != chosen.shape:
        raise InvalidInput(
            f"The values have shape {amounts.shape} and the mask of members {chosen.shape}; expected one flag per entry of "
            "the last axis. Pass the mask of the sources of these values."
        )
    return amounts, chosen


def _somewhere_finite(values: NDArray[np.float64]) -> Bool[np.ndarray, " source"]:
    """Columns with a number in any row."""
    return np.asarray(np.isfinite(values).reshape(-1, values.shape[-1]).any(axis=0))


def _centered_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks along the last axis minus their mean; all NaN in a row with a NaN."""
    ranks = rankdata(values, axis=-1, nan_policy="propagate")
    return np.asarray(ranks - ranks.mean(axis=-1, keepdims=True))
