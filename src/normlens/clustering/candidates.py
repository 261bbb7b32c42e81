"""Candidates for good clusterings where no complete search is feasible: linkage, k-means++, HDBSCAN, and reassignment.

Nothing here proves anything; the verifier decides.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.linalg import eigh
from scipy.spatial.distance import squareform
from sklearn.cluster import HDBSCAN, KMeans, kmeans_plusplus

from normlens.clustering.distances import Distances
from normlens.clustering.sampling import SampleWalk
from normlens.clustering.tree import LinkageMethod, good_cuts

LINKAGES: tuple[LinkageMethod, ...] = ("average", "complete", "single")

_MOST_CLUSTERS_TRIED = 20
_ROUNDS = 10
_DIMENSIONS = 10
_SMALL_SAMPLES = 5
_SMALL_SAMPLE = 12
_SMALL_BUDGET = 1000


def candidates(
    distances: Distances, matrix: Float[np.ndarray, "n n"], alpha: float, least: int, random: RandomState
) -> Iterator[NDArray[np.intp]]:
    """Propose partitions that may be α-good.

    These are the good cuts of three linkage trees, the partitions of five samples of 12 points, and `proposals`.

    Parameters
    ----------
    distances, matrix
        The same distances, as they were read and as a full matrix.
    alpha, least
        α > 1, and the smallest size of a cluster.
    random
        Source of random numbers.
    """
    count = len(distances)
    in_full = Distances(matrix, "matrix")
    for method in LINKAGES:
        yield from good_cuts(matrix, method, alpha, least, budget=20_000, limit=100).labels
    for _ in range(_SMALL_SAMPLES):
        sample = random.choice(count, min(_SMALL_SAMPLE, count), replace=False)
        yield from SampleWalk(in_full, sample, alpha, least, count // least, budget=_SMALL_BUDGET)
    yield from proposals(distances, matrix, least, count // least, random)


def extended(
    distances: Distances, sample: Int[np.ndarray, " s"], labels: Int[np.ndarray, " s"]
) -> Int[np.ndarray, " n"]:
    """Assign every point to the sampled cluster nearest in mean distance; sampled points labeled -1 (noise) are ignored."""
    names, codes = np.unique(labels, return_inverse=True)
    members = np.eye(len(names))[codes][:, names >= 0]
    if not members.shape[1]:
        return np.zeros(len(distances), dtype=np.intp)
    nearest = [
        np.argmin(distances.between(slice(start, start + 512), sample) @ members / members.sum(axis=0), axis=1)
        for start in range(0, len(distances), 512)
    ]
    return np.concatenate(nearest)


def proposals(
    distances: Distances, matrix: Float[np.ndarray, "n n"], least: int, most: int, random: RandomState
) -> Iterator[NDArray[np.intp]]:
    """Propose partitions ``(n,)`` for the verifier.

    Horizontal cuts of three linkage trees, k-means++ with and without k-means, and HDBSCAN, for every number of clusters up
    to 20; each unchanged, and with every point reassigned to the cluster nearest in mean distance until nothing changes.

    Parameters
    ----------
    distances, matrix
        The same distances, as they were read and as a full matrix.
    least, most
        The smallest size of a cluster, and the largest number of clusters; proposals may violate both.
    random
        Source of random numbers.
    """
    most = min(most, _MOST_CLUSTERS_TRIED)
    for labels in _seeded(distances, matrix, least, most, random):
        if labels.max() > 0:
            yield labels
        refined = reassigned(matrix, labels, least)
        if refined.max() > 0:
            yield refined


def linkage_cuts(matrix: Float[np.ndarray, "n n"], most: int) -> Iterator[NDArray[np.intp]]:
    """Cut the average, complete and single linkage trees into 2, 3, … `most` clusters."""
    condensed = squareform(matrix, checks=False)
    for method in LINKAGES:
        merges = linkage(condensed, method)
        for count in range(2, most + 1):
            yield np.asarray(fcluster(merges, count, "maxclust") - 1, dtype=np.intp)


def reassigned(
    matrix: Float[np.ndarray, "n n"], labels: Int[np.ndarray, " n"], least: int = 2
) -> Int[np.ndarray, " n"]:
    """Reassign each point to the cluster nearest in mean distance, for up to ten rounds.

    A good clustering doesn't change. Clusters that shrink below `least` points are dissolved; points labeled -1 (noise) are
    assigned too. The labels returned are 0 … k - 1; all zero if one cluster is left.
    """
    for _ in range(_ROUNDS):
        names, sizes = np.unique(labels[labels >= 0], return_counts=True)
        names = names[sizes >= least]
        if len(names) < 2:
            return np.zeros(len(labels), dtype=np.intp)
        members = (labels[:, None] == names).astype(float)
        nearest = np.argmin(matrix @ members / members.sum(axis=0), axis=1)
        if np.array_equal(names[nearest], labels):
            return np.asarray(nearest, dtype=np.intp)
        labels = nearest
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.intp)


def _seeded(
    distances: Distances, matrix: Float[np.ndarray, "n n"], least: int, most: int, random: RandomState
) -> Iterator[NDArray[np.intp]]:
    """The unrefined proposals."""
    yield from linkage_cuts(matrix, most)
    points = _coordinates(distances, matrix)
    seed = int(random.randint(2**31 - 1))
    for count in range(2, most + 1):
        yield np.asarray(KMeans(count, n_init=3, random_state=seed).fit_predict(points), dtype=np.intp)
        seeds = kmeans_plusplus(points, count, random_state=seed)[1]
        yield np.argmin(matrix[:, seeds], axis=1)
    for size in sorted({max(2, least // 4), max(2, least // 2), max(2, least)}):
        fitted = HDBSCAN(min_cluster_size=size, min_samples=min(5, size), metric="precomputed", copy=True).fit(matrix)
        yield np.asarray(fitted.labels_, dtype=np.intp)


def _coordinates(distances: Distances, matrix: Float[np.ndarray, "n n"]) -> NDArray[np.float64]:
    """Points for k-means: the data itself, or classical scaling of the distances to ten dimensions."""
    if distances.kind == "euclidean":
        return distances.values
    return classical_scaling(matrix, min(_DIMENSIONS, len(matrix) - 1))


def classical_scaling(matrix: Float[np.ndarray, "n n"], dimensions: int) -> Float[np.ndarray, "n dimensions"]:
    """Place objects as points whose Euclidean distances approximate the distances (Torgerson's scaling).

    Directions in which the distances aren't Euclidean, with a negative eigenvalue, get the coordinate 0.
    """
    squares = matrix**2
    centered = -(squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean()) / 2
    count = len(matrix)
    values, vectors = eigh(centered, subset_by_index=[count - dimensions, count - 1])
    return np.asarray(vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0)))
