"""√JSD, the square root of the Jensen-Shannon divergence: a metric, with logarithms to base 2 and so at most 1.

scipy's `jensenshannon` returns NaN for rows that differ by rounding alone; here such rows are compared term by term.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

# Divergences below this are recomputed without the cancellation of entropies; above it √JSD is accurate to 1e-10.
_SMALL = 1e-10
_TINY = 1e-300
_ENTRIES_AT_ONCE = 65_536


def root_divergence(left: Float[np.ndarray, "a d"], right: Float[np.ndarray, "b d"]) -> Float[np.ndarray, "a b"]:
    """Return √JSD between each row of one table and each row of another; rows sum to one."""
    whole = np.zeros(1, dtype=np.intp)
    own, other = negentropies(left, whole), negentropies(right, whole)
    step = max(1, _ENTRIES_AT_ONCE // left.shape[1])
    distances = np.empty((len(left), len(right)))
    for row in range(len(left)):
        for start in range(0, len(right), step):
            others = slice(start, start + step)
            distances[row, others] = root_divergences(left[row], right[others], whole, own[row], other[others])[:, 0]
    return distances


def negentropies(rows: Float[np.ndarray, "a d"], starts: Int[np.ndarray, " t"]) -> Float[np.ndarray, "a t"]:
    """Return Σ p log₂ p over each run of entries that begins at one of `starts`."""
    return np.add.reduceat(rows * np.log2(rows + _TINY), starts, axis=1)


def root_divergences(
    one: Float[np.ndarray, " d"],
    others: Float[np.ndarray, "b d"],
    starts: Int[np.ndarray, " t"],
    negentropy: Float[np.ndarray, " t"],
    negentropy_of_others: Float[np.ndarray, "b t"],
) -> Float[np.ndarray, "b t"]:
    """Return √JSD between one row of distributions and others, each distribution being a run of entries.

    JSD = 1 + (Σ p log p + Σ q log q − Σ (p + q) log (p + q))/2 with logarithms to base 2.

    Parameters
    ----------
    one, others
        Several distributions, concatenated, each with sum one.
    starts
        Index of the first entry of each.
    negentropy, negentropy_of_others
        The result of `negentropies` for them.
    """
    both = others + one
    logarithm = both + _TINY
    np.log2(logarithm, out=logarithm)
    np.multiply(both, logarithm, out=both)
    mixed = np.add.reduceat(both, starts, axis=1)
    divergence = 1 + (negentropy + negentropy_of_others - mixed) / 2
    if divergence.min() < _SMALL:
        _refine(divergence, one, others, starts)
    return np.asarray(np.sqrt(np.minimum(divergence, 1.0)))


def _refine(
    divergence: NDArray[np.float64], one: NDArray[np.float64], others: NDArray[np.float64], starts: NDArray[np.intp]
) -> None:
    """Recompute small divergences in place, as a sum of terms that don't cancel.

    With s = p + q and r = (p − q)/s, JSD = Σ s/2 · g(r), where g(r) = ((1 + r) ln(1 + r) + (1 − r) ln(1 − r))/2 is
    r²/2 + r⁴/12 + r⁶/30 + … and also r artanh r + ln(1 − r²)/2.
    """
    ends = np.append(starts[1:], len(one))
    small = divergence < _SMALL
    for target in np.flatnonzero(small.any(axis=0)):
        entries = slice(starts[target], ends[target])
        rows = small[:, target]
        p, q = one[entries], others[rows, entries]
        ratio = np.abs(p - q) / (p + q + _TINY)
        square = np.minimum(ratio * ratio, 1 - 1e-15)
        series = square / 2 + square**2 / 12 + square**3 / 30
        terms = np.where(ratio < 0.02, series, ratio * np.arctanh(np.sqrt(square)) + np.log1p(-square) / 2)
        divergence[rows, target] = ((p + q) * terms).sum(axis=1) / 2 / np.log(2)
