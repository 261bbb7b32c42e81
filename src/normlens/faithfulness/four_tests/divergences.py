"""How far two distributions of attention, or two predictions, are from each other: divergences in nats, and Kendall's τ.

Every function works along the last axis, in float64, for all leading axes at once. Rows may be any weights that are not
negative, such as α or norms: each is divided by its sum over the sources that the mask keeps, so that padding never counts
and a weight that underflowed to zero is an ordinary zero.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr
from scipy.stats import kendalltau

from normlens.errors import InvalidInput


def jensen_shannon(first: ArrayLike, second: ArrayLike, mask: ArrayLike | None = None) -> Float[np.ndarray, "*rest"]:
    """Jensen–Shannon divergence: the mean of KL(p ‖ m) and KL(q ‖ m) with m = (p + q)/2.

    Parameters
    ----------
    first, second
        Weights, ``(..., source)``.
    mask
        True for the sources that count, ``(..., source)``. Default: all of them.

    Returns
    -------
    array, ``(...)``
        In nats, from 0 (equal) to ln 2 (no source has weight in both). Symmetric.

    Raises
    ------
    InvalidInput
        If a weight is negative or not finite, a row has no weight, or the shapes don't fit.

    Examples
    --------
    >>> float(jensen_shannon([1.0, 0.0], [0.0, 1.0]) / np.log(2))
    1.0
    """
    p, q = _distributions(first, second, mask)
    both = p + q  # not halved: half of the smallest number is zero
    divergence = (rel_entr(2 * p, both) + rel_entr(2 * q, both)).sum(axis=-1) / 4
    return np.asarray(np.clip(divergence, 0.0, np.log(2)))


def kullback_leibler(first: ArrayLike, second: ArrayLike, mask: ArrayLike | None = None) -> Float[np.ndarray, "*rest"]:
    """Kullback–Leibler divergence KL(first ‖ second) = Σ p ln(p/q).

    Parameters
    ----------
    first, second, mask
        As for :func:`jensen_shannon`.

    Returns
    -------
    array, ``(...)``
        In nats, from 0; infinite where a source has weight in the first row and none in the second.

    Raises
    ------
    InvalidInput
        As :func:`jensen_shannon`.
    """
    p, q = _distributions(first, second, mask)
    return np.asarray(np.maximum(rel_entr(p, q).sum(axis=-1), 0.0))


def symmetric_kullback_leibler(
    first: ArrayLike, second: ArrayLike, mask: ArrayLike | None = None
) -> Float[np.ndarray, "*rest"]:
    """Jeffreys' divergence KL(first ‖ second) + KL(second ‖ first).

    Parameters
    ----------
    first, second, mask
        As for :func:`jensen_shannon`.

    Returns
    -------
    array, ``(...)``
        In nats, from 0; infinite where a source has weight in one row only. Symmetric.

    Raises
    ------
    InvalidInput
        As :func:`jensen_shannon`.
    """
    return np.asarray(kullback_leibler(first, second, mask) + kullback_leibler(second, first, mask))


def total_variation(first: ArrayLike, second: ArrayLike, mask: ArrayLike | None = None) -> Float[np.ndarray, "*rest"]:
    """Total variation distance ½ Σ |p − q| over all classes, or all sources.

    For two classes it is the difference of the probabilities of either; see :func:`one_output_total_variation` for what the
    paper's code prints instead.

    Parameters
    ----------
    first, second, mask
        As for :func:`jensen_shannon`.

    Returns
    -------
    array, ``(...)``
        From 0 (equal) to 1 (no class has weight in both). Symmetric.

    Raises
    ------
    InvalidInput
        As :func:`jensen_shannon`.
    """
    p, q = _distributions(first, second, mask)
    return np.asarray(np.minimum(np.abs(p - q).sum(axis=-1) / 2, 1.0))


def one_output_total_variation(first: ArrayLike, second: ArrayLike) -> Float[np.ndarray, "*rest"]:
    """Half the difference of the probabilities of the positive class, as the code of Wiegreffe & Pinter measures it.

    Their classifiers have one output, over which ½ Σ |p − q| has one term. It is half of :func:`total_variation` over the
    two classes. Their code adds it up over texts; this is one text's.

    Parameters
    ----------
    first, second
        Probabilities of the positive class, ``(...)``.

    Returns
    -------
    array, ``(...)``
        From 0 to ½. Symmetric.

    Raises
    ------
    InvalidInput
        If a probability is not between 0 and 1.

    Examples
    --------
    >>> float(one_output_total_variation(0.75, 0.25)), float(total_variation([0.25, 0.75], [0.75, 0.25]))
    (0.25, 0.5)
    """
    p, q = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    for probabilities in (p, q):
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise InvalidInput(
                f"Probabilities range from {probabilities.min():.6g} to {probabilities.max():.6g}; expected 0 to 1. Pass "
                "the probability of the positive class, not its logit."
            )
    return np.asarray(np.abs(p - q) / 2)


def kendall(first: ArrayLike, second: ArrayLike, mask: ArrayLike | None = None) -> Float[np.ndarray, "*rest"]:
    """Kendall's rank correlation τ-b, in which ties count neither for nor against.

    Parameters
    ----------
    first, second
        Scores of any sign, ``(..., source)``.
    mask
        As for :func:`jensen_shannon`.

    Returns
    -------
    array, ``(...)``
        From −1 (opposite order) to 1 (same order). NaN where fewer than two sources count or one side is constant.

    Raises
    ------
    InvalidInput
        If a score that counts is not finite, or the shapes don't fit.

    Examples
    --------
    >>> round(float(kendall([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])), 6)
    0.333333
    """
    left, right, counts = _aligned(first, second, mask)
    _refuse(left, counts & ~np.isfinite(left), "a finite score")
    _refuse(right, counts & ~np.isfinite(right), "a finite score")
    correlations = np.full(left.shape[:-1], np.nan)
    for row in np.ndindex(correlations.shape):
        if counts[row].sum() > 1:
            correlations[row] = kendalltau(left[row][counts[row]], right[row][counts[row]]).statistic
    return correlations


def _distributions(
    first: ArrayLike, second: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both rows, zero where nothing counts, each with sum one."""
    left, right, counts = _aligned(first, second, mask)
    return _normalized(left, counts), _normalized(right, counts)


def _aligned(
    first: ArrayLike, second: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both sides and the mask in one shape."""
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    counts = np.asarray(True if mask is None else mask, dtype=bool)
    sizes = {x.shape[-1:] for x in (left, right)} | ({counts.shape[-1:]} if mask is not None else set())
    shapes = [left.shape, right.shape, counts.shape]
    if len(sizes) > 1 or sizes == {()} or (0,) in sizes:
        raise InvalidInput(
            f"Two rows and their mask have shapes {shapes}; expected the same number of sources, at least one, in each."
        )
    try:
        left, right, counts = np.broadcast_arrays(left, right, counts)
    except ValueError:
        raise InvalidInput(
            f"Two tables and their mask have shapes {shapes}, which don't fit; expected equal ones."
        ) from None
    return left, right, counts


def _normalized(weights: NDArray[np.float64], counts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Rows divided by their sum over what counts; by their largest weight first, so that no sum overflows."""
    _refuse(weights, counts & ~(np.isfinite(weights) & (weights >= 0)), "finite weights that are not negative")
    kept = np.where(counts, weights, 0.0)
    largest = kept.max(axis=-1, keepdims=True)
    if not (largest > 0).all():
        raise InvalidInput("A row has no weight on any source that counts; expected a positive one. Check the mask.")
    scaled = kept / largest
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def _refuse(values: NDArray[np.float64], wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        raise InvalidInput(f"A row holds {values[wrong][0]!s}; expected {expected}. Mask the padding.")
