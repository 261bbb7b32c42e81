"""Clustering by a sample: partition it in all possible ways, and assign each point to the nearest cluster."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy.stats import hypergeom

from normlens.clustering.distances import Distances
from normlens.clustering.enumeration import Groups, PartitionWalk
from normlens.clustering.lemmas import kappa
from normlens.errors import InvalidInput


def points_per_cluster(alpha: float, delta: float, points: int, clusters: int) -> int:
    """Return the number of sampled points of each cluster for which every point's nearest sampled cluster is its own.

    m ≥ 2 κ⁴ ln(4 n k / δ): by Hoeffding's inequality, since by L2 distances to a cluster lie between 0 and κ D_ij and by L3
    the two means to distinguish differ by D_ij/κ, all n k means are accurate enough with probability at least 1 − δ/2.

    Parameters
    ----------
    alpha, delta
        α > 1; the probability of failure, half of which is spent here.
    points, clusters
        n and k.
    """
    return int(np.ceil(2 * kappa(alpha) ** 4 * np.log(4 * points * clusters / delta)))


def sample_size(alpha: float, delta: float, points: int, least: int) -> int | None:
    """Return the size of a sample that yields a good clustering with probability at least 1 − δ.

    The sample must contain `points_per_cluster` points of each of at most n/least clusters of at least `least` points, which
    it does with probability at least 1 − δ/2 (hypergeometric tail, summed over the clusters).

    Returns
    -------
    int or None
        None if all points together are not enough.
    """
    clusters = points // least
    needed = points_per_cluster(alpha, delta, points, clusters)
    if needed > least:
        return None
    low, high = needed, points
    while low < high:
        size = (low + high) // 2
        if clusters * hypergeom.cdf(needed - 1, points, least, size) <= delta / 2:
            high = size
        else:
            low = size + 1
    return low


class SampleWalk:
    """Iterate over the clusterings that the partitions of a sample extend to.

    Parameters
    ----------
    distances
        Distances between all n points.
    sample
        ``(s,)`` the sampled points.
    alpha
        α > 1. Partitions of the sample that are not the restriction of an α-good clustering (lemma L6) are left out.
    least
        The size of the smallest cluster.
    most
        Largest number of clusters.
    budget
        Largest number of placements of sampled points to try.
    together
        ``(s,)``: groups of inseparable sampled points. Default: one group per point.

    Attributes
    ----------
    complete : bool
        After the iteration: whether every partition of the sample was tried.
    """

    def __init__(
        self,
        distances: Distances,
        sample: Int[np.ndarray, " s"],
        alpha: float,
        least: int,
        most: int,
        *,
        budget: int = 20_000,
        together: Int[np.ndarray, " s"] | None = None,
    ) -> None:
        self._distances, self._sample = distances, sample
        self._groups = np.arange(len(sample)) if together is None else together
        self._least, self._most = least, most
        among = distances.between(sample, sample)
        self._walk = PartitionWalk(Groups.of(among, self._groups), alpha, 1, min(most, len(sample)), budget)
        self.complete = False

    def __iter__(self) -> Iterator[NDArray[np.intp]]:
        """Yield labels ``(n,)`` with clusters of at least `least` points; the same labels may occur more than once."""
        count = int(self._groups.max()) + 1
        members = np.eye(count)[self._groups]
        sums = np.empty((len(self._distances), count))
        for start in range(0, len(sums), 512):
            rows = slice(start, start + 512)
            sums[rows] = self._distances.between(rows, self._sample) @ members
        sizes = members.sum(axis=0)
        for codes in self._walk:
            clusters = np.eye(int(codes.max()) + 1)[codes]
            labels = np.argmin(sums @ clusters / (sizes @ clusters), axis=1)
            if np.bincount(labels, minlength=clusters.shape[1]).min() >= self._least:
                yield labels
        self.complete = self._walk.complete


def random_of(state: int | RandomState | None) -> RandomState:
    """A source of random numbers, from a seed or unchanged.

    Raises
    ------
    InvalidInput
        If it isn't a valid seed.
    """
    if isinstance(state, RandomState):
        return state
    try:
        return RandomState(state)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"random_state is {state!r}; expected an integer from 0 to {2**32 - 1}.") from error
