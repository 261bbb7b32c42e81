"""The search for good clusterings: complete where that is feasible, and explicit about it where it isn't."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from normlens.clustering.candidates import candidates, extended, linkage_cuts, reassigned
from normlens.clustering.certificate import (
    COMPLETE,
    HEURISTIC,
    PROBABLY_COMPLETE,
    Certificate,
    Clustering,
    SearchResult,
    Status,
    check_parameters,
)
from normlens.clustering.distances import Distances, read_distances
from normlens.clustering.enumeration import Groups, PartitionWalk
from normlens.clustering.goodness import Convention, check_convention, goodness, point_ratios, smallest_size
from normlens.clustering.lemmas import (
    AVERAGE_LINKAGE_ABOVE,
    SINGLE_LINKAGE_ABOVE,
    SLACK,
    crowding_reach,
    inseparable_groups,
)
from normlens.clustering.sampling import SampleWalk, random_of, sample_size
from normlens.clustering.tree import LinkageMethod, good_cuts

MATRIX_UP_TO = 5000
MOST_CLUSTERINGS = 1000

_ROWS_SAMPLED = 64
# Above this number of groups a placement takes longer, so that fewer are tried.
_QUICK_GROUPS = 64
# For many points: the size of a subset that is searched first, its share of α - 1, and how many results are extended.
_SUBSET = 2000
_SUBSET_ALPHA = 0.8
_EXTENDED = 20


@dataclass(eq=False)
class _Search:
    """The parameters of a search, and its results so far."""

    distances: Distances
    alpha: float
    gamma: float
    delta: float
    convention: Convention
    budget: int
    random: RandomState
    seen: set[bytes] = field(default_factory=set)
    good: list[Clustering] = field(default_factory=list)
    nearest: Clustering | None = None

    @property
    def least(self) -> int:
        return smallest_size(len(self.distances), self.gamma)

    @property
    def most(self) -> int:
        return len(self.distances) // self.least

    def consider(self, labels: Int[np.ndarray, " n"]) -> None:
        """Verify a partition exactly, once, and keep it if it is good, or the nearest to a good one so far.

        A few points are measured first: α* is at most the smallest of their ratios.
        """
        numbered = _by_first_point(labels)
        key = numbered.astype(np.int32).tobytes()
        if key in self.seen or numbered.max() == 0 or np.bincount(numbered).min() < self.least:
            return
        self.seen.add(key)
        required = min(self.alpha, self.nearest.alpha) if self.nearest else 0.0
        if self.bound(numbered) < required:
            return
        measured = Clustering(numbered, goodness(self.distances, numbered, convention=self.convention))
        if self.nearest is None or measured.alpha > self.nearest.alpha:
            self.nearest = measured
        if measured.alpha >= self.alpha:
            self.good.append(measured)

    def bound(self, labels: Int[np.ndarray, " n"]) -> float:
        """Return an upper bound of α*, to rounding: the smallest ratio of 64 random points."""
        rows = self.random.randint(len(labels), size=_ROWS_SAMPLED)
        sizes = np.bincount(labels)
        means = self.distances.between(rows) @ np.eye(len(sizes))[labels] / sizes
        return float(point_ratios(means, labels[rows], sizes, "inclusive")[0].min()) * (1 + SLACK)

    def result(self, status: Status, method: str) -> SearchResult:
        """Return the result with its certificate."""
        self.good.sort(key=lambda clustering: -clustering.alpha)
        certificate = Certificate(
            status=status,
            found=len(self.good),
            method=method,
            alpha=self.alpha,
            gamma=self.gamma,
            delta=self.delta,
            points=len(self.distances),
            convention=self.convention,
        )
        return SearchResult(self.good, certificate, self.nearest)


def find_good_clusterings(
    data: ArrayLike | Distances,
    alpha: float = 2.0,
    gamma: float = 0.1,
    delta: float = 0.05,
    metric: str = "euclidean",
    convention: Convention = "inclusive",
    budget: int = 200_000,
    random_state: int | RandomState | None = 0,
) -> SearchResult:
    """Find the (α, γ)-good clusterings into any number of clusters, at least two, of at least two points each.

    The methods, in order, until one is complete: for α > 4 the single-linkage tree and for α > 2 + √3 the average-linkage
    tree, of which every good cluster is a node; the partitions of the groups that no good clustering separates; a sample as
    large as the bound requires, if its partitions can be enumerated; and last, without proof, small samples, the linkage
    trees, k-means++ and HDBSCAN with reassignment. Each clustering is verified exactly before it is returned.

    Parameters
    ----------
    data
        Points ``(n, d)``, distances ``(n, n)`` with ``metric="precomputed"``, or `Distances`.
    alpha
        How many times closer each point is to its own cluster than to any other, in mean distance; above 1.
    gamma
        Smallest share of the points in a cluster; above 0, at most 1/2.
    delta
        The probability with which a sample may miss a clustering; between 0 and 1.
    metric, convention
        See `read_distances` and `goodness`.
    budget
        Largest number of placements that the enumeration tries; 200,000 take about seven seconds.
    random_state
        Random seed.

    Returns
    -------
    SearchResult

    Raises
    ------
    InvalidDistances
        For α ≤ 1, γ outside (0, 1/2], δ outside (0, 1), or distances that aren't a metric.

    Examples
    --------
    >>> result = find_good_clusterings([[0.0], [1.0], [10.0], [11.0]], alpha=5, gamma=0.25)
    >>> result.clusterings[0].labels.tolist(), result.certificate.status
    ([0, 0, 1, 1], 'complete')
    """
    check_parameters(alpha, gamma, delta, budget)
    check_convention(convention)
    distances = data if isinstance(data, Distances) else read_distances(data, metric)
    random = random_of(random_state)
    matrix = distances.matrix() if len(distances) <= MATRIX_UP_TO else None
    in_full = distances if matrix is None else Distances(matrix, "matrix")
    search = _Search(in_full, float(alpha), float(gamma), float(delta), convention, budget, random)
    if search.most < 2:
        return search.result(COMPLETE, f"two clusters of {search.least} points don't fit into {len(distances)}")
    method = (_through_tree(search, matrix) or _through_groups(search, matrix)) if matrix is not None else None
    if method:
        if not search.good and matrix is not None:
            _note_nearest(search, matrix)
        return search.result(COMPLETE, method)
    method = _through_sample(search, matrix)
    if method:
        return search.result(PROBABLY_COMPLETE, method)
    if len(search.good) >= MOST_CLUSTERINGS:
        return search.result(HEURISTIC, f"the search stopped at {MOST_CLUSTERINGS} clusterings")
    return search.result(HEURISTIC, _by_candidates(search, distances, matrix))


def _through_tree(search: _Search, matrix: Float[np.ndarray, "n n"]) -> str | None:
    """Search the tree in which every good cluster is a node; None if α is too small or the walk stopped early."""
    if search.alpha > SINGLE_LINKAGE_ABOVE:
        method: LinkageMethod = "single"
        reason = "α > 4"
    elif search.alpha > AVERAGE_LINKAGE_ABOVE * (1 + SLACK):
        method, reason = "average", "α > 2 + √3"
    else:
        return None
    cuts = good_cuts(matrix, method, search.alpha, search.least, limit=MOST_CLUSTERINGS)
    for labels in cuts.labels:
        search.consider(labels)
    return f"for {reason} every good cluster is a node of the {method}-linkage tree" if cuts.complete else None


def _through_groups(search: _Search, matrix: Float[np.ndarray, "n n"]) -> str | None:
    """Enumerate the partitions of inseparable groups; None if that exceeds the budget."""
    if len(search.good) >= MOST_CLUSTERINGS:
        return None
    groups = inseparable_groups(matrix, search.alpha, search.least)
    count = int(groups.max()) + 1
    sums = matrix @ np.eye(count)[groups]
    budget = search.budget // max(1, count // _QUICK_GROUPS)
    walk = PartitionWalk(Groups.of(matrix, groups), search.alpha, search.least, search.most, budget)
    sizes = np.bincount(groups)
    for codes in walk:
        clusters = np.eye(int(codes.max()) + 1)[codes]
        means = sums @ clusters / (sizes @ clusters)
        labels = codes[groups]
        if point_ratios(means, labels, np.bincount(labels), "inclusive")[0].min() >= search.alpha * (1 - SLACK):
            search.consider(labels)
            if len(search.good) >= MOST_CLUSTERINGS:
                return None
    if not walk.complete:
        return None
    if count == 1:
        return "the points are so close together that no good clustering can separate any of them"
    return f"all partitions of {count} inseparable groups of points were tried"


def _through_sample(search: _Search, matrix: Float[np.ndarray, "n n"] | None) -> str | None:
    """Enumerate the partitions of a sample as large as the bound requires; None where that isn't feasible."""
    count = len(search.distances)
    size = sample_size(search.alpha, search.delta, count, search.least)
    if size is None or size >= count or size > MATRIX_UP_TO or len(search.good) >= MOST_CLUSTERINGS:
        return None
    sample = np.sort(search.random.choice(count, size, replace=False))
    if matrix is not None:
        together = inseparable_groups(matrix, search.alpha, search.least)[sample]
    else:
        together = _inseparable_in_sample(search, sample)
    together = np.unique(together, return_inverse=True)[1]
    walk = SampleWalk(
        search.distances, sample, search.alpha, search.least, search.most, budget=search.budget, together=together
    )
    for labels in walk:
        search.consider(labels)
        if len(search.good) >= MOST_CLUSTERINGS:
            return None
    return f"all partitions of a sample of {size} points were tried" if walk.complete else None


def _inseparable_in_sample(search: _Search, sample: Int[np.ndarray, " s"]) -> Int[np.ndarray, " s"]:
    """Groups of sampled points that no good clustering of all points separates."""
    reach = np.concatenate(
        [
            crowding_reach(search.distances.between(sample[start : start + 128]), search.alpha, search.least)
            for start in range(0, len(sample), 128)
        ]
    )
    return inseparable_groups(search.distances.between(sample, sample), search.alpha, search.least, reach)


def _by_candidates(search: _Search, original: Distances, matrix: Float[np.ndarray, "n n"] | None) -> str:
    """Verify likely partitions."""
    if matrix is None:
        return _from_subset(search)
    for labels in candidates(original, matrix, search.alpha, search.least, search.random):
        search.consider(labels)
        if len(search.good) >= MOST_CLUSTERINGS:
            return f"the search stopped at {MOST_CLUSTERINGS} clusterings"
    return "linkage, k-means++, HDBSCAN and small samples, refined by reassignment, were tried"


def _from_subset(search: _Search) -> str:
    """Search 2000 of the points for a smaller α and γ, and extend the results to all points."""
    chosen = np.sort(search.random.choice(len(search.distances), _SUBSET, replace=False))
    subset = search.distances.among(chosen)
    matrix = subset.matrix()
    alpha = 1 + _SUBSET_ALPHA * (search.alpha - 1)
    inner = replace(search, distances=Distances(matrix, "matrix"), alpha=alpha, gamma=search.gamma / 2)
    inner.seen, inner.good, inner.nearest = set(), [], None
    method = _by_candidates(inner, subset, matrix)
    inner.good.sort(key=lambda clustering: -clustering.alpha)
    promising = inner.good[:_EXTENDED] or ([inner.nearest] if inner.nearest else [])
    for clustering in promising:
        search.consider(extended(search.distances, chosen, clustering.labels))
    return f"in {_SUBSET} of the points {method}"


def _note_nearest(search: _Search, matrix: Float[np.ndarray, "n n"]) -> None:
    """Look for a partition that is nearly good, to say how close the data comes."""
    for labels in linkage_cuts(matrix, min(search.most, 10)):
        search.consider(labels)
        search.consider(reassigned(matrix, labels, search.least))


def _by_first_point(labels: Int[np.ndarray, " n"]) -> NDArray[np.intp]:
    """Number the clusters in the order of their first points."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[codes], dtype=np.intp)
