"""All good clusterings whose clusters are nodes of a linkage tree: for large α, all good clusterings."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from normlens.clustering.lemmas import SLACK

LinkageMethod = Literal["single", "average", "complete"]


@dataclass(frozen=True, eq=False)
class LinkageTree:
    """A binary tree over n points, its leaves in an order in which every node is a contiguous range.

    Parameters
    ----------
    leaves
        ``(n,)`` points from left to right.
    start, stop
        ``(2n - 1,)``: each node's range ``leaves[start:stop]``. Nodes 0 … n - 1 are single points.
    children
        ``(2n - 1, 2)`` left and right child; -1 for a point.
    """

    leaves: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " nodes"]
    stop: Int[np.ndarray, " nodes"]
    children: Int[np.ndarray, "nodes 2"]

    @classmethod
    def of(cls, matrix: Float[np.ndarray, "n n"], method: LinkageMethod) -> "LinkageTree":
        """Build the tree of a distance matrix by ``"single"``, ``"average"`` or ``"complete"`` linkage."""
        merges = linkage(squareform(matrix, checks=False), method)
        count = len(matrix)
        leaves = np.asarray(leaves_list(merges), dtype=np.intp)
        start, stop = np.empty(2 * count - 1, dtype=np.intp), np.empty(2 * count - 1, dtype=np.intp)
        start[leaves] = np.arange(count)
        stop[leaves] = np.arange(count) + 1
        children = np.full((2 * count - 1, 2), -1, dtype=np.intp)
        for node, pair in enumerate(merges[:, :2].astype(np.intp), start=count):
            children[node] = pair[np.argsort(start[pair])]
            start[node], stop[node] = start[pair].min(), stop[pair].max()
        return cls(leaves, start, stop, children)


@dataclass(frozen=True, eq=False)
class Cuts:
    """Cuts of a tree into clusters.

    Parameters
    ----------
    labels
        One array ``(n,)`` per cut.
    complete
        Whether these are all cuts; otherwise the walk stopped at its limits.
    """

    labels: list[NDArray[np.intp]]
    complete: bool


def good_cuts(
    matrix: Float[np.ndarray, "n n"],
    method: LinkageMethod,
    alpha: float,
    least: int,
    *,
    budget: int = 100_000,
    limit: int = 1000,
) -> Cuts:
    """Find the α-good clusterings, to rounding, whose clusters are nodes of a linkage tree.

    Goodness is a property of pairs: two nodes are compatible if each point of one is α times closer to its own node than
    to the other. The walk goes from the root down, keeps a node or splits it, and backtracks at the first incompatible
    pair, at a node that isn't α times closer to itself than to all the rest, and below nodes that no viable nodes cover.

    Parameters
    ----------
    matrix
        Distances ``(n, n)``.
    method
        The linkage. For α > 4 ``"single"`` misses no good clustering (lemma L8), for α > 2 + √3 ``"average"`` (L9).
    alpha, least
        α > 1, and the smallest size of a cluster.
    budget
        Largest number of steps of the walk.
    limit
        Largest number of clusterings: nested clusters can be split or kept independently, so there may be 2ⁿᐟ⁴ of them.

    Returns
    -------
    Cuts
    """
    tree = LinkageTree.of(matrix, method)
    ordered = matrix[np.ix_(tree.leaves, tree.leaves)]
    walk = _CutWalk(tree, ordered, alpha * (1 - SLACK), least)
    cuts: list[NDArray[np.intp]] = []
    stack: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), (len(tree.start) - 1,))]
    while stack:
        budget -= 1
        chosen, pending = stack.pop()
        if not pending:
            if len(cuts) == limit:
                return Cuts(cuts, complete=False)
            cuts.append(_labels(tree, chosen))
            continue
        if budget < 0:
            return Cuts(cuts, complete=False)
        stack.extend(walk.further(chosen, pending))
    return Cuts(cuts, complete=True)


class _CutWalk:
    """The steps of the walk down a tree, with cached properties of its nodes."""

    def __init__(self, tree: LinkageTree, ordered: Float[np.ndarray, "n n"], alpha: float, least: int) -> None:
        self._tree, self._ordered, self._alpha, self._least = tree, ordered, alpha, least
        self._viable = self._viable_nodes()
        self._coverable = self._viable.copy()
        for node in range(len(ordered), len(tree.start)):
            self._coverable[node] |= self._coverable[tree.children[node]].all()
        self._pairs: dict[tuple[int, int], bool] = {}
        self._most = len(ordered) // least

    def further(
        self, chosen: tuple[int, ...], pending: tuple[int, ...]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Decide the last pending node: split it, or choose it if it is compatible with the nodes chosen before."""
        node, rest = pending[-1], pending[:-1]
        steps = []
        left, right = self._tree.children[node]
        room = len(chosen) + len(pending) < self._most
        if room and left >= 0 and self._coverable[left] and self._coverable[right]:
            steps.append((chosen, (*rest, int(left), int(right))))
        if self._viable[node] and all(self._compatible(node, other) for other in chosen):
            steps.append(((*chosen, node), rest))
        return steps

    def _viable_nodes(self) -> NDArray[np.bool_]:
        """Nodes that are large enough, and α times closer to themselves than to all the rest together, at each point."""
        tree, count = self._tree, len(self._ordered)
        total = self._ordered.sum(axis=1)
        within = np.zeros(count)
        viable = np.zeros(len(tree.start), dtype=bool)
        for node in range(count, len(tree.start)):
            left, right = tree.children[node]
            first, cut, last = tree.start[left], tree.start[right], tree.stop[right]
            block = self._ordered[first:cut, cut:last]
            within[first:cut] += block.sum(axis=1)
            within[cut:last] += block.sum(axis=0)
            size, rest = last - first, count - (last - first)
            if min(size, rest) >= self._least:
                outside = total[first:last] - within[first:last]
                rounding = 1e-12 * total[first:last]
                viable[node] = bool((outside / rest + rounding >= self._alpha * within[first:last] / size).all())
        return viable

    def _compatible(self, one: int, other: int) -> bool:
        pair = (min(one, other), max(one, other))
        if pair not in self._pairs:
            self._pairs[pair] = self._separated(one, other) and self._separated(other, one)
        return self._pairs[pair]

    def _separated(self, node: int, other: int) -> bool:
        """Whether each point of a node is α times closer to the node than to another one."""
        own = slice(self._tree.start[node], self._tree.stop[node])
        away = slice(self._tree.start[other], self._tree.stop[other])
        outside = self._ordered[own, away].mean(axis=1)
        inside = self._ordered[own, own].mean(axis=1)
        return bool(((outside >= self._alpha * inside) & (outside > 0)).all())


def _labels(tree: LinkageTree, chosen: tuple[int, ...]) -> NDArray[np.intp]:
    """Number the chosen nodes from left to right."""
    labels = np.empty(len(tree.leaves), dtype=np.intp)
    for number, node in enumerate(sorted(chosen, key=lambda node: int(tree.start[node]))):
        labels[tree.leaves[tree.start[node] : tree.stop[node]]] = number
    return labels
