"""The verifier: how good a partition is, exactly, with the point that decides it.

Δ(x, A) is the mean distance from x to the points of A. A partition is α-good if Δ(x, C_j) ≥ α Δ(x, C_i) for every x in
C_i and every other cluster C_j. Every clustering that the search returns has been verified here.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from normlens.clustering.distances import Distances, read_distances
from normlens.clustering.triangle import InvalidDistances
from normlens.errors import InvalidInput
from normlens.words.three_lines import Summarized, first_few

Convention = Literal["inclusive", "exclusive"]
CONVENTIONS = ("inclusive", "exclusive")

_ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Witness:
    """The point that decides α*: its mean distance to its own cluster and to the nearest other one.

    Parameters
    ----------
    point
        Its row.
    own, other
        The label of its cluster, and of the other cluster that is nearest.
    own_distance, other_distance
        Δ(x, C_own) and Δ(x, C_other).
    """

    point: int
    own: int | str
    other: int | str
    own_distance: float
    other_distance: float


@dataclass(frozen=True, eq=False, repr=False)
class Goodness(Summarized):
    """What `goodness` measured of a partition.

    Parameters
    ----------
    alpha
        α*, the largest α for which the partition is α-good: the smallest of `ratios`. Below 1, some point is closer to
        another cluster than to its own.
    gamma
        γ*, the share of the points in the smallest cluster.
    witness
        The point whose ratio is α*.
    ratios
        ``(n,)``: Δ(x, nearest other cluster) / Δ(x, own cluster); infinite where all of the own cluster coincides with x,
        and 1 where the other cluster does too.
    labels, sizes
        The names of the clusters in sorted order, and their numbers of points.
    convention
        ``"inclusive"``: Δ(x, own cluster) counts x itself. ``"exclusive"``: it doesn't.
    """

    alpha: float
    gamma: float
    witness: Witness
    ratios: Float[np.ndarray, " n"]
    labels: tuple[int | str, ...]
    sizes: tuple[int, ...]
    convention: Convention

    def _summary(self) -> tuple[str, str, str]:
        return (
            f"<Goodness of {len(self.ratios)} points in {len(self.sizes)} clusters: {bounds(self)}>",
            members(self),
            "Next: .alpha, .gamma, .witness, .ratios, .share_above(alpha), .is_good(alpha, gamma)",
        )

    def share_above(self, alpha: float) -> float:
        """Return the share of the points, between 0 and 1, whose ratio is at least `alpha`."""
        return float(np.mean(self.ratios >= alpha))

    def is_good(self, alpha: float, gamma: float = 0.0) -> bool:
        """Tell whether the partition is (α, γ)-good with at least two points in each cluster."""
        least = smallest_size(len(self.ratios), gamma) if gamma else 2
        return self.alpha >= alpha and min(self.sizes) >= least


def goodness(
    data: ArrayLike | Distances, labels: ArrayLike, metric: str = "euclidean", convention: Convention = "inclusive"
) -> Goodness:
    """Measure a partition exactly: α*, γ*, every point's ratio, and the witness.

    Takes O(n²) time; memory is 128 rows of distances and the n × k mean distances, enough for ten thousand points and more.

    Parameters
    ----------
    data
        Points ``(n, d)``, or distances ``(n, n)`` with ``metric="precomputed"``, or the result of `read_distances`.
    labels
        ``(n,)`` names of the clusters, numbers or strings. -1, which means noise in scikit-learn, is refused: a
        partition covers every point.
    metric
        See `read_distances`.
    convention
        Whether Δ(x, C_i) counts x itself, at distance 0, for x in C_i. The lemmas (`normlens.clustering.lemmas`) hold for
        ``"inclusive"``. ``"exclusive"`` divides the ratios of a cluster by |C_i| / (|C_i| − 1), so it is stricter:
        a clustering that is good exclusively is good inclusively.

    Returns
    -------
    Goodness

    Raises
    ------
    InvalidDistances
        If the distances aren't a metric, or the labels aren't a partition into at least two clusters.

    References
    ----------
    Daniely, Linial and Saks 2012, "Clustering is difficult only when it does not matter".

    Examples
    --------
    >>> measured = goodness([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1])
    >>> measured.alpha, measured.gamma, measured.witness.point
    (19.0, 0.5, 1)
    """
    check_convention(convention)
    distances = data if isinstance(data, Distances) else read_distances(data, metric)
    names, codes = _partition(labels, len(distances))
    sizes = np.bincount(codes)
    means = cluster_sums(distances, codes, len(names)) / sizes
    return _judge(means, codes, sizes, names, convention)


def bounds(measured: Goodness) -> str:
    """α* and γ* of a partition, in words."""
    return f"α* {measured.alpha:.4g}, γ* {measured.gamma:.3g}, {measured.convention} means"


def members(measured: Goodness) -> str:
    """The sizes of the clusters and the witness of a partition, in words."""
    sizes = first_few(f"{size} in {label!r}" for size, label in zip(measured.sizes, measured.labels, strict=True))
    witness = measured.witness
    return (
        f"Points: {sizes}. Witness: point {witness.point}, {witness.own_distance:.4g} from its cluster {witness.own!r}, "
        f"{witness.other_distance:.4g} from {witness.other!r}"
    )


def cluster_sums(distances: Distances, codes: Int[np.ndarray, " n"], count: int) -> Float[np.ndarray, "n k"]:
    """Add up the distances from each point to the points of each cluster, 128 rows at a time, ``(n, k)``."""
    members = np.eye(count)[codes]
    sums = np.empty((len(distances), count))
    for start in range(0, len(distances), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        sums[rows] = distances.between(rows) @ members
    return sums


def point_ratios(
    means: Float[np.ndarray, "n k"], codes: Int[np.ndarray, " n"], sizes: Int[np.ndarray, " k"], convention: Convention
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Divide each point's mean distance to the nearest other cluster by that to its own.

    Parameters
    ----------
    means
        Δ(x, C) with x counted, for each point and cluster.
    codes, sizes
        Each point's cluster, ``0 … k - 1``, and each cluster's size.
    convention
        See `goodness`.

    Returns
    -------
    ratios, nearest
        The ratios, and the number of the nearest other cluster.
    """
    every = np.arange(len(codes))
    own = means[every, codes]
    if convention == "exclusive":
        own = own * (sizes / np.maximum(sizes - 1, 1))[codes]
    others = means.copy()
    others[every, codes] = np.inf
    nearest = np.argmin(others, axis=1)
    away = others[every, nearest]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((own == 0) & (away == 0), 1.0, away / own), nearest


def smallest_size(count: int, gamma: float) -> int:
    """Return the smallest number of points in a cluster of an (α, γ)-good clustering of `count` points; at least two."""
    return max(2, int(np.ceil(gamma * count * (1 - 1e-12))))


def check_convention(convention: str) -> None:
    """Raise `InvalidInput` unless the convention is one of `CONVENTIONS`."""
    if convention not in CONVENTIONS:
        raise InvalidInput(
            f"There is no convention '{convention}': expected 'inclusive' (a point counts in its own cluster, as in the "
            "lemmas) or 'exclusive'. Choose one."
        )


def _partition(labels: ArrayLike, count: int) -> tuple[tuple[int | str, ...], NDArray[np.intp]]:
    """The names of the clusters, and the number of each point's cluster."""
    array = np.asarray(labels)
    if array.shape != (count,):
        raise InvalidDistances(
            f"There are {count} points, but labels of shape {array.shape}. Give each point one label."
        )
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.round(array))).all():
        raise InvalidDistances(
            "The labels contain NaN or fractions; expected integers or strings. Give every cluster a name."
        )
    if array.dtype.kind in "if" and (array == -1).any():
        raise InvalidDistances(
            f"{int((array == -1).sum())} points have the label -1 (noise); the first is {int(np.argmax(array == -1))}. A "
            "partition covers every point: assign them to a cluster, or leave the points out."
        )
    names, codes = np.unique(array, return_inverse=True)
    if len(names) < 2:
        raise InvalidDistances(
            f"All {count} points have the label {names[0]}; expected at least two, since one cluster is vacuously good."
        )
    return tuple(str(name) if array.dtype.kind in "USO" else int(name) for name in names), codes


def _judge(
    means: Float[np.ndarray, "n k"],
    codes: NDArray[np.intp],
    sizes: NDArray[np.intp],
    names: tuple[int | str, ...],
    convention: Convention,
) -> Goodness:
    ratios, nearest = point_ratios(means, codes, sizes, convention)
    at = int(np.argmin(ratios))
    own = means[at, codes[at]]
    if convention == "exclusive":
        own *= sizes[codes[at]] / max(int(sizes[codes[at]]) - 1, 1)
    witness = Witness(at, names[codes[at]], names[nearest[at]], float(own), float(means[at, nearest[at]]))
    return Goodness(
        alpha=float(ratios[at]),
        gamma=float(sizes.min() / len(codes)),
        witness=witness,
        ratios=ratios,
        labels=names,
        sizes=tuple(int(size) for size in sizes),
        convention=convention,
    )
