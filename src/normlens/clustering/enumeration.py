"""Every partition of a few groups of points that could be α-good: enumeration that prunes impossible branches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from normlens.clustering.lemmas import SLACK, kappa


@dataclass(frozen=True, eq=False)
class Groups:
    """Distances between groups of points; the points of a group are never separated.

    Parameters
    ----------
    sizes
        ``(g,)`` numbers of points.
    nearest, farthest
        ``(g, g)``: the smallest and the largest distance between points of two groups; `farthest` has the diameters on
        its diagonal.
    """

    sizes: Int[np.ndarray, " g"]
    nearest: Float[np.ndarray, "g g"]
    farthest: Float[np.ndarray, "g g"]

    @classmethod
    def of(cls, matrix: Float[np.ndarray, "n n"], groups: Int[np.ndarray, " n"]) -> "Groups":
        """Summarize a distance matrix by the group of each point, ``0 … g - 1``."""
        order = np.argsort(groups, kind="stable")
        sizes = np.bincount(groups)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        sorted_matrix = matrix[np.ix_(order, order)]
        nearest = np.minimum.reduceat(np.minimum.reduceat(sorted_matrix, starts, axis=0), starts, axis=1)
        farthest = np.maximum.reduceat(np.maximum.reduceat(sorted_matrix, starts, axis=0), starts, axis=1)
        return cls(sizes, nearest, farthest)


class PartitionWalk:
    """Iterate over the partitions of groups into at least two clusters that L6 and the sizes allow.

    The walk places one group after another, next always the one farthest from those already placed, and backtracks as soon
    as the current clusters contradict L6, which holds for every subset of a cluster. Partitions that it skips are not
    α-good; those that it yields need not be.

    Parameters
    ----------
    groups
        What to partition.
    alpha
        α > 1.
    least
        The smallest number of points in a cluster.
    most
        The largest number of clusters.
    budget
        Largest number of placements to try.

    Attributes
    ----------
    complete : bool
        After the iteration: whether it finished within the budget.
    """

    def __init__(self, groups: Groups, alpha: float, least: int, most: int, budget: int) -> None:
        self._order = _farthest_first(groups.nearest)
        self._sizes = groups.sizes[self._order]
        self._nearest = groups.nearest[np.ix_(self._order, self._order)]
        self._farthest = groups.farthest[np.ix_(self._order, self._order)]
        self._left = np.concatenate([np.cumsum(self._sizes[::-1])[::-1], [0]])
        self._alpha, self._least, self._most, self._budget = alpha, least, most, budget
        self._tried = 0
        self.complete = False

    def __iter__(self) -> Iterator[NDArray[np.intp]]:
        """Yield each partition as the groups' cluster numbers, ``(g,)``."""
        self._tried, self.complete = 0, False
        count = len(self._sizes)
        codes = np.zeros(count, dtype=np.intp)
        stack = [_Clusters.empty(count)]
        choices = [0]
        while stack:
            clusters, choice = stack[-1], choices[-1]
            placed = len(stack) - 1
            if placed == count or choice > min(clusters.count, self._most - 1):
                if placed == count and clusters.count > 1:
                    partition = np.empty(count, dtype=np.intp)
                    partition[self._order] = codes
                    yield partition
                stack.pop()
                choices.pop()
                continue
            if self._tried == self._budget:
                return
            self._tried += 1
            choices[-1] += 1
            further = clusters.with_group(self, placed, choice)
            if further is not None:
                codes[placed] = choice
                stack.append(further)
                choices.append(0)
        self.complete = True

    def allows(self, clusters: "_Clusters", changed: int, placed: int) -> bool:
        """Tell whether the clusters are still possible by their sizes and L6 after one of them has changed."""
        missing = np.maximum(self._least - clusters.sizes, 0).sum()
        missing += self._least * (clusters.count == 1)
        if missing > self._left[placed + 1]:
            return False
        k = kappa(self._alpha)
        widest = np.maximum(clusters.diameters, clusters.diameters[changed])
        needed = np.maximum((self._alpha - 1) / (2 * k) * widest, clusters.farthest[changed] / (k * k))
        possible = clusters.nearest[changed] * (1 + SLACK) >= needed
        possible[changed] = True
        return bool(possible.all())

    def placing(self, placed: int) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
        """Return a group's size and its nearest and farthest distances to all groups."""
        return int(self._sizes[placed]), self._nearest[placed], self._farthest[placed]


@dataclass(frozen=True, eq=False)
class _Clusters:
    """Clusters of the groups placed so far: distances among them, and from them to every group."""

    sizes: NDArray[np.intp]
    diameters: NDArray[np.float64]
    nearest: NDArray[np.float64]
    farthest: NDArray[np.float64]
    near_groups: NDArray[np.float64]
    far_groups: NDArray[np.float64]

    @property
    def count(self) -> int:
        return len(self.sizes)

    @classmethod
    def empty(cls, groups: int) -> "_Clusters":
        none = np.zeros((0, 0))
        return cls(np.zeros(0, dtype=np.intp), np.zeros(0), none, none, np.zeros((0, groups)), np.zeros((0, groups)))

    def with_group(self, walk: PartitionWalk, placed: int, cluster: int) -> "_Clusters | None":
        """The clusters with one more group in one of them, or in a new one; None if that can't become α-good."""
        size, near, far = walk.placing(placed)
        further = self._with_new(near, far) if cluster == self.count else self._copy()
        to_nearest, to_farthest = further.near_groups[:, placed], further.far_groups[:, placed]
        further.diameters[cluster] = max(further.diameters[cluster], to_farthest[cluster], far[placed])
        nearest = np.minimum(further.nearest[cluster], to_nearest)
        farthest = np.maximum(further.farthest[cluster], to_farthest)
        further.nearest[cluster] = further.nearest[:, cluster] = nearest
        further.farthest[cluster] = further.farthest[:, cluster] = farthest
        further.near_groups[cluster] = np.minimum(further.near_groups[cluster], near)
        further.far_groups[cluster] = np.maximum(further.far_groups[cluster], far)
        further.sizes[cluster] += size
        return further if walk.allows(further, cluster, placed) else None

    def _copy(self) -> "_Clusters":
        return _Clusters(
            self.sizes.copy(),
            self.diameters.copy(),
            self.nearest.copy(),
            self.farthest.copy(),
            self.near_groups.copy(),
            self.far_groups.copy(),
        )

    def _with_new(self, near: NDArray[np.float64], far: NDArray[np.float64]) -> "_Clusters":
        new = self.count
        sizes, diameters = np.zeros(new + 1, dtype=np.intp), np.zeros(new + 1)
        sizes[:new], diameters[:new] = self.sizes, self.diameters
        nearest, farthest = np.full((new + 1, new + 1), np.inf), np.zeros((new + 1, new + 1))
        nearest[:new, :new], farthest[:new, :new] = self.nearest, self.farthest
        near_groups, far_groups = np.empty((new + 1, len(near))), np.empty((new + 1, len(far)))
        near_groups[:new], far_groups[:new] = self.near_groups, self.far_groups
        near_groups[new], far_groups[new] = near, far
        return _Clusters(sizes, diameters, nearest, farthest, near_groups, far_groups)


def _farthest_first(nearest: Float[np.ndarray, "g g"]) -> NDArray[np.intp]:
    """Groups in an order in which each is the farthest from those before it."""
    order = [int(np.unravel_index(int(np.argmax(nearest)), nearest.shape)[0])]
    away = nearest[order[0]].copy()
    away[order[0]] = -np.inf
    while len(order) < len(nearest):
        order.append(int(np.argmax(away)))
        away = np.minimum(away, nearest[order[-1]])
        away[order] = -np.inf
    return np.array(order, dtype=np.intp)
