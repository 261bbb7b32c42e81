"""The search for good clusterings on instances with a certain answer: planted, noise, and small enough to enumerate."""

from __future__ import annotations

import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score

from normlens.clustering import find_good_clusterings, goodness, planted_points, read_distances
from normlens.clustering.sampling import points_per_cluster

ALPHAS = (1.1, 1.2, 1.3, 1.5, 2.0, 3.0, 5.0)
SIZES = (20, 12, 8)
DIMENSIONS = 5
GAMMA = 0.2
SAMPLED = (1, 2, 3, 4, 6, 8)
"""Numbers of points per cluster in a sample."""

NEED_K = ("k-means", "single linkage", "average linkage", "spectral")
"""Methods that get the true number of clusters."""

SLOW_BELOW = 3.0
"""Below this α the search may be incomplete and tries guesses, which takes half a second."""

_BUDGET = 1000
_DELTA = 0.05
_ROUNDING = 1e-6


def planted(instances: int, slow: int, seed: int) -> dict[str, Any]:
    """Plant clusterings of each α, and count the exact recoveries of each method.

    Parameters
    ----------
    instances
        Number of instances for each α.
    slow
        Number of instances on which the search runs for α below `SLOW_BELOW`.
    seed
        Random seed.

    Returns
    -------
    dict
        For each α the rate of exact recovery and the mean adjusted Rand index by method, how many instances the search
        saw, what its certificates said, and the rate at which samples of m points per cluster extend to the planted
        clustering.
    """
    settings = []
    for alpha in ALPHAS:
        random = np.random.default_rng([seed, round(100 * alpha)])
        searched = instances if alpha >= SLOW_BELOW else min(slow, instances)
        exact: Counter[str] = Counter()
        index: defaultdict[str, float] = defaultdict(float)
        sampled: Counter[str] = Counter()
        status: Counter[str] = Counter()
        for number in range(instances):
            points, labels = planted_points(SIZES, alpha, DIMENSIONS, random)
            for name, estimated in _others(points):
                exact[name] += _same(estimated, labels)
                index[name] += float(adjusted_rand_score(labels, estimated))
            if number < searched:
                result = find_good_clusterings(
                    points, alpha * (1 - _ROUNDING), GAMMA, budget=_BUDGET, random_state=number
                )
                exact["search"] += any(_same(one.labels, labels) for one in result.clusterings)
                status[result.certificate.status] += 1
            for count in SAMPLED:
                sampled[str(count)] += _same(_from_sample(points, labels, count, random), labels)
        settings.append(
            {
                "alpha": alpha,
                "searched": searched,
                "exact": {name: exact[name] / (searched if name == "search" else instances) for name in exact},
                "rand": {name: index[name] / instances for name in index},
                "sampled": {name: count / instances for name, count in sampled.items()},
                "bound": points_per_cluster(alpha, _DELTA, sum(SIZES), len(SIZES)),
                "status": dict(status),
            }
        )
    return {"instances": instances, "sizes": SIZES, "dimensions": DIMENSIONS, "gamma": GAMMA, "settings": settings}


def noise(instances: int, seed: int) -> dict[str, Any]:
    """Search noise: how often a clustering is returned, and whether the verifier accepts all of them."""
    rows = []
    for kind in ("uniform", "one blob"):
        for count, dimensions in ((100, 2), (100, 10), (300, 2)):
            random = np.random.default_rng([seed, count, dimensions])
            returned = refused = 0
            status: Counter[str] = Counter()
            nearest = []
            for number in range(instances):
                shape = (count, dimensions)
                points = random.uniform(size=shape) if kind == "uniform" else random.normal(size=shape)
                result = find_good_clusterings(points, 1.5, 0.1, budget=_BUDGET, random_state=number)
                returned += bool(result.clusterings)
                refused += sum(not goodness(points, one.labels).is_good(1.5, 0.1) for one in result.clusterings)
                status[result.certificate.status] += 1
                nearest.append(result.nearest.alpha if result.nearest else np.nan)
            rows.append(
                {
                    "kind": kind, "points": count, "dimensions": dimensions, "instances": instances,
                    "returned": returned, "refused": refused, "status": dict(status),
                    "nearest": float(np.nanmax(nearest)) if not np.isnan(nearest).all() else None,
                }
            )  # fmt: skip
    return {"alpha": 1.5, "gamma": 0.1, "rows": rows}


def soundness(instances: int, seed: int) -> dict[str, Any]:
    """Compare the results of the search with an enumeration of all partitions, on 4 to 9 points."""
    partitions = {count: np.array(list(_partitions(count))) for count in range(4, 10)}
    random = np.random.default_rng(seed)
    agreed = good = complete = 0
    for number in range(instances):
        count, alpha = int(random.integers(4, 10)), float(random.choice([1.05, 1.3, 1.7, 2.0, 3.0, 4.5]))
        points = random.normal(size=(count, int(random.integers(1, 4))))
        if number % 3 == 0:
            points, _ = planted_points((count // 2, count - count // 2), float(random.uniform(1.05, 6)), 2, random)
        expected = _counted_out(read_distances(points).matrix(), partitions[count], alpha)
        result = find_good_clusterings(points, alpha, 2 / count, random_state=number)
        labelings = {tuple(one.labels.tolist()) for one in result.clusterings}
        agreed, good = agreed + (labelings == expected), good + len(expected)
        complete += result.certificate.status == "complete"
    return {"instances": instances, "agreed": agreed, "good": good, "complete": complete}


def timings(seed: int) -> dict[str, Any]:
    """Time the verifier on 10,000 points in 50 dimensions, and the search on 2,000."""
    random = np.random.default_rng(seed)
    labels = random.integers(4, size=10_000)
    points = random.normal(size=(10_000, 50)) + 2 * random.normal(size=(4, 50))[labels]
    start = time.perf_counter()
    goodness(points, labels)
    verified = time.perf_counter() - start
    rows = [{"what": "10,000 points in R^50 verified", "seconds": verified, "certificate": ""}]
    for alpha in (1.5, 3.0):
        planted_here, _ = planted_points((900, 700, 400), alpha, 50, random)
        start = time.perf_counter()
        result = find_good_clusterings(planted_here, alpha * (1 - _ROUNDING), 0.1, random_state=seed)
        rows.append(
            {
                "what": f"2,000 points in R^50 searched, planted α {alpha:g}",
                "seconds": time.perf_counter() - start,
                "certificate": f"{result.certificate.found} found, {result.certificate.status}",
            }
        )
    return {"rows": rows}


def _others(points: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Clusterings of other methods; HDBSCAN's noise counts as a separate cluster."""
    count = len(SIZES)
    methods: Mapping[str, Any] = {
        "k-means": KMeans(count, n_init=5, random_state=0),
        "single linkage": AgglomerativeClustering(count, linkage="single"),
        "average linkage": AgglomerativeClustering(count, linkage="average"),
        "spectral": SpectralClustering(count, affinity="nearest_neighbors", n_neighbors=8, random_state=0),
        "HDBSCAN": HDBSCAN(copy=True),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a neighbor graph with several components
        for name, method in methods.items():
            yield name, method.fit_predict(points)


def _from_sample(
    points: NDArray[np.float64], labels: NDArray[np.intp], count: int, random: Generator
) -> NDArray[np.intp]:
    """Extend a sample of m points per cluster by "nearest in mean distance"."""
    distances = read_distances(points)
    means = []
    for code in range(len(SIZES)):
        drawn = random.choice(np.flatnonzero(labels == code), count, replace=False)
        means.append(distances.between(slice(None), drawn).mean(axis=1))
    return np.asarray(np.argmin(means, axis=0), dtype=np.intp)


def _same(estimated: NDArray[np.intp], labels: NDArray[np.intp]) -> bool:
    """Whether two labelings are the same partition."""
    pairs = len(set(zip(estimated.tolist(), labels.tolist(), strict=True)))
    return pairs == len(set(estimated.tolist())) == len(set(labels.tolist()))


def _partitions(count: int) -> Iterator[tuple[int, ...]]:
    """Every partition, as cluster numbers in the order of their first points."""
    if count == 0:
        yield ()
        return
    for codes in _partitions(count - 1):
        for code in range(max(codes, default=-1) + 2):
            yield (*codes, code)


def _counted_out(matrix: NDArray[np.float64], codes: NDArray[np.intp], alpha: float) -> set[tuple[int, ...]]:
    """The α-good partitions with at least two clusters of at least two points, by the definition."""
    members = codes[:, None, :] == np.arange(matrix.shape[0])[:, None]  # partition, cluster, point
    sizes = members.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = members.astype(float) @ matrix / sizes[:, :, None]
    own = np.where(members, means, 0.0).sum(axis=1)
    other = np.where(members | (sizes == 0)[:, :, None], np.inf, means).min(axis=1)
    allowed = ((sizes == 0) | (sizes > 1)).all(axis=1) & ((sizes > 0).sum(axis=1) > 1)
    good = allowed & (other >= alpha * own).all(axis=1)
    return {tuple(row) for row in codes[good].tolist()}
