"""A sample decides: partition it in every possible way, and let each point join the part nearest in mean distance."""

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
    """Return how many sampled points of each cluster make "nearest in mean distance" right for every point.

    m ≥ 2 κ⁴ ln(4 n k / δ): by Hoeffding's inequality, since by L2 distances to a cluster lie between 0 and κ D_ij and by L3
    the two means to tell apart differ by D_ij/κ, all n k means are near enough with probability 1 − δ/2 or more.

    Parameters
    ----------
    alpha, delta
        α > 1; the probability to fail, of which this takes half.
    points, clusters
        n and k.
    """
    return int(np.ceil(2 * kappa(alpha) ** 4 * np.log(4 * points * clusters / delta)))


def sample_size(alpha: float, delta: float, points: int, least: int) -> int | None:
    """Return how many points to draw so that a good clustering is found with probability 1 − δ or more.

    The sample must hold `points_per_cluster` points of each of at most n/least clusters of at least `least` points, which
    it does with probability 1 − δ/2 or more (hypergeometric tail, summed over the clusters).

    Returns
    -------
    int or None
        None if not even all points are enough.
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
        Between all n points.
    sample
        ``(s,)`` which points were drawn.
    alpha
        α > 1. Partitions of the sample that no α-good clustering can restrict to (lemma L6) are left out.
    least
        The size of the smallest cluster.
    most
        How many clusters at most.
    budget
        How many placements of sampled points to try at most.
    together
        ``(s,)``: the sampled points' groups, if some are known to be inseparable. Default: each on its own.

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
        """Yield labels ``(n,)`` with clusters of at least `least` points; the same labels may come more than once."""
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
    """A source of random numbers, from a seed or as it is.

    Raises
    ------
    InvalidInput
        If it is no seed.
    """
    if isinstance(state, RandomState):
        return state
    try:
        return RandomState(state)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"random_state is {state!r}; expected a whole number from 0 to {2**32 - 1}.") from error
