"""Metrics: the distances for which a clustering can be certified, checked on input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from normlens.clustering.divergence import root_divergence
from normlens.clustering.triangle import InvalidDistances, check_distance_matrix

METRICS = ("euclidean", "sqrt_jsd", "hellinger", "precomputed")
"""The distances by name; all are metrics."""

_INSTEAD = {
    "cosine": "metric='euclidean' on rows divided by their length, which ranks the pairs in the same order",
    "correlation": "metric='euclidean' on rows minus their mean, divided by their length",
    "sqeuclidean": "metric='euclidean', its square root",
    "jsd": "metric='sqrt_jsd', its square root",
    "jensenshannon": "metric='sqrt_jsd'",
    "kl": "metric='sqrt_jsd', a metric derived from two Kullback-Leibler divergences",
}
_SYNONYMS = {
    "cos": "cosine",
    "cosine_distance": "cosine",
    "squared_euclidean": "sqeuclidean",
    "jensen_shannon": "jensenshannon",
    "js": "jsd",
    "kullback_leibler": "kl",
    "kullback-leibler": "kl",
    "kl_divergence": "kl",
}


@dataclass(frozen=True, eq=False)
class Distances:
    """The distances between n objects, from a matrix or computed on demand.

    `read_distances` makes one. Only the requested rows are in memory.

    Parameters
    ----------
    values
        ``(n, n)`` distances, or ``(n, d)`` points or distributions.
    kind
        ``"matrix"``, ``"euclidean"`` or ``"sqrt_jsd"``: what `values` are, and hence how distances are computed.
    scale
        Factor of Euclidean distances.
    """

    values: NDArray[np.float64]
    kind: str
    scale: float = 1.0

    def __len__(self) -> int:
        """Return the number of objects, n."""
        return len(self.values)

    def between(self, rows: Any, columns: Any = slice(None)) -> Float[np.ndarray, "rows columns"]:
        """Return the distances from some of the objects to others; both are slices, indices or masks."""
        if self.kind == "matrix":
            block = self.values[rows]
            whole = isinstance(columns, slice) and columns == slice(None)
            return np.asarray(block if whole else block[:, columns])
        if self.kind == "sqrt_jsd":
            return root_divergence(self.values[rows], self.values[columns])
        return np.asarray(cdist(self.values[rows], self.values[columns]) * self.scale)

    def among(self, chosen: Int[np.ndarray, " s"]) -> "Distances":
        """Return the distances among some of the objects."""
        values = self.values[np.ix_(chosen, chosen)] if self.kind == "matrix" else self.values[chosen]
        return Distances(values, self.kind, self.scale)

    def matrix(self) -> Float[np.ndarray, "n n"]:
        """Return all distances at once, ``(n, n)``, exactly symmetric with a diagonal of zeros."""
        if self.kind == "matrix":
            return self.values
        full = self.between(slice(None))
        np.fill_diagonal(full, 0.0)
        return np.asarray((full + full.T) / 2)


def read_distances(data: ArrayLike, metric: str = "euclidean") -> Distances:
    """Read points or a distance matrix, and refuse distances that aren't a metric.

    Parameters
    ----------
    data
        ``(n, d)`` points; for ``"sqrt_jsd"`` and ``"hellinger"`` each row is a distribution (non-negative; it is divided
        by its sum). For ``"precomputed"``, ``(n, n)`` distances.
    metric
        ``"euclidean"``; ``"sqrt_jsd"``, the square root of the Jensen-Shannon divergence with logarithms to base 2, at
        most 1; ``"hellinger"``, ‖√p − √q‖/√2, at most 1; or ``"precomputed"``.

    Returns
    -------
    Distances

    Raises
    ------
    InvalidDistances
        For a distance that isn't a metric (cosine, KL: the message names a metric to use instead), NaN, fewer than two
        objects, objects that all coincide, or a matrix that `check_distance_matrix` refuses.
    """
    name = check_metric(metric)
    values = _numbers(data, name)
    if name == "precomputed":
        check_distance_matrix(values, resolution=_resolution(data))
        symmetric = values if np.array_equal(values, values.T) else (values + values.T) / 2
        return Distances(symmetric, "matrix")
    if name == "euclidean":
        distances = _euclidean(values)
    else:
        shares = _distributions(values, name)
        distances = (
            Distances(shares, name) if name == "sqrt_jsd" else Distances(np.sqrt(shares), "euclidean", np.sqrt(0.5))
        )
    if not np.ptp(distances.values, axis=0).any():
        raise InvalidDistances(
            f"All {len(values)} points lie in one place, so every distance is 0. Pass points that differ."
        )
    return distances


def _euclidean(points: Float[np.ndarray, "n d"]) -> Distances:
    """Points divided by a power of two close to their range, so that their squares neither underflow nor overflow."""
    spread = float(np.ptp(points / 2, axis=0).max())
    exponent = int(np.frexp(spread)[1])
    return Distances(np.ldexp(points, -exponent), "euclidean", float(np.ldexp(1.0, exponent)))


def check_metric(metric: str) -> str:
    """Return the name of the metric, or raise `InvalidDistances` with the metric to use instead."""
    name = str(metric).lower().replace(" ", "_")
    name = _SYNONYMS.get(name, name)
    if name in METRICS:
        return name
    if name in _INSTEAD:
        raise InvalidDistances(
            f"'{metric}' isn't a metric: it violates the triangle inequality or isn't symmetric, so the certificate doesn't "
            f"hold for it. Use {_INSTEAD[name]}."
            if name != "jensenshannon"
            else f"The metric is called 'sqrt_jsd' here, not '{metric}'. Use metric='sqrt_jsd'."
        )
    raise InvalidDistances(
        f"There is no metric '{metric}': expected one of {', '.join(METRICS)}. Choose one, or compute the distances "
        "yourself and pass them with metric='precomputed'."
    )


def _numbers(data: ArrayLike, metric: str) -> NDArray[np.float64]:
    """The data as a float64 table of at least two rows, without NaN."""
    try:
        values = np.ascontiguousarray(data, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDistances(
            f"The data can't be read as a table of real numbers: {error}. Expected an array (n, d) or (n, n)."
        ) from error
    if values.ndim != 2 or values.shape[1] == 0:
        raise InvalidDistances(f"The data has shape {values.shape}; expected a table with one row per object.")
    if len(values) < 2:
        raise InvalidDistances(
            f"There is only one point ({len(values)} row, n_samples = {len(values)}); a clustering needs at least two. Pass "
            "more points."
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        kind = "distance" if metric == "precomputed" else "point"
        raise InvalidDistances(
            f"{len(bad)} numbers aren't finite (NaN or infinity); the first is {values[row, column]} at {kind} "
            f"({row}, {column}). Every {kind} must be finite: leave out those rows."
        )
    return values


def _distributions(values: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Rows divided by their sums."""
    if (values < 0).any():
        row, column = np.argwhere(values < 0)[0]
        raise InvalidDistances(
            f"Row {row} has the negative entry {values[row, column]:g} at {column}; the metric '{metric}' compares "
            "distributions. Pass rows without negative entries, or use metric='euclidean'."
        )
    sums = values.sum(axis=1, keepdims=True)
    if not sums.all():
        raise InvalidDistances(
            f"All of row {int(np.argmin(sums))} is zero, so it isn't a distribution. Leave it out to use '{metric}'."
        )
    return np.asarray(values / sums)


def _resolution(data: ArrayLike) -> float:
    """The rounding of the caller's numbers: float32 distances can violate the triangle inequality by rounding."""
    dtype = getattr(data, "dtype", None)
    coarse = "float32" in str(dtype) or "float16" in str(dtype)
    return float(np.finfo(np.float16 if "float16" in str(dtype) else np.float32).eps) if coarse else 1e-12
