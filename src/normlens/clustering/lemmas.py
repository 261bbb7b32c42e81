"""Properties of every α-good clustering: the lemmas behind the search, with their proofs.

Write κ = (α + 1)/(α − 1) and D_ij for the mean distance between C_i and C_j; x, x' in C_i and y in C_j, i ≠ j. Means count
x itself (the inclusive convention), and two clusters never coincide (D_ij > 0).

* **L1** α/(α + 1) D_ij ≤ Δ(x, C_j) ≤ α/(α − 1) D_ij, and Δ(x, C_i) ≤ D_ij/(α − 1).
* **L2** d(x, y) ≤ κ D_ij, and d(x, x') ≤ 2 D_ij/(α − 1).
* **L3** Δ(x, C_j) − Δ(x, C_i) ≥ D_ij/κ.
* **L4** d(x, y) ≥ (α − 1) max(Δ(x, C_i), Δ(y, C_j)).
* **L5** (α − 2) d(x, x') ≤ 2 d(x, y). So for α > 4 each point is closer to all of its own cluster than to any other point.
* **L6** D_ij ≤ κ d(x, y), so with L2 (α − 1) diameter(C_i) ≤ 2 κ distance(C_i, C_j) and max d(x, y) ≤ κ² min d(x, y).
  *Proof*: the triangle inequality from C_i over x and y to C_j, averaged, gives D_ij ≤ Δ(x, C_i) + d(x, y) + Δ(y, C_j), and
  by L4 each of the two means is at most d(x, y)/(α − 1); 1 + 2/(α − 1) = κ.
* **L7 (points that stay together)** Let every cluster have at least m points and let M be the mean distance from x to its
  2m nearest points, x included. Then d(x, y) ≥ 2M/κ; so points closer to each other than that share a cluster.
  *Proof*: by L4 Δ(x, C_i) ≤ d(x, y)/(α − 1), and Δ(x, C_j) ≤ d(x, y) + Δ(y, C_j) ≤ α/(α − 1) d(x, y). The nearest m points
  of each of the two clusters lie no farther on average, so M ≤ (1/(α − 1) + α/(α − 1)) d(x, y)/2 = κ/2 d(x, y). If C_i
  has a ≥ m points, the same argument with a + m points gives d(x, y) ≥ M (α − 1)(a + m)/(a + α m).
* **L8 (single linkage)** For α > 4 every cluster is a node of the single-linkage tree. *Proof*: take the shortest distance
  d(x, y) that leaves C_i; by L5 all of C_i is closer to x than that, so C_i is connected by shorter steps
  than any that leaves it. (If d(x, y) = 0, then C_i and C_j coincide by L4.)
* **L9 (average linkage)** For α > 2 + √3 every cluster is a node of the average-linkage tree. *Proof*: suppose the first
  merge that breaks the clusters joins A, a proper subset of C_i, to A' outside it, at mean distance a, the smallest of all.
  Write φ(A) for the mean of Δ(x, C_i) over A and p = |A|/|C_i|. The rest of C_i is made of clusters at distance a or more
  from A, so φ(A) ≥ (1 − p) a, and each of its points z has d(z, A) ≤ Δ(z, C_i)/p ≤ D_ij/((α − 1) p) by L1.
  If A' lies inside a cluster C_j, L4 gives φ(A) ≤ a/(α − 1), so p ≥ (α − 2)/(α − 1) and a ≤ d(rest, A) ≤ D_ij/(α − 2); but
  a ≥ D_ij/κ by L6's proof, hence (α − 2)(α − 1) ≤ α + 1 and α ≤ 2 + √3. If A' is a union of whole clusters, the nearest of
  them, C_j, has a ≥ d(A, C_j) ≥ α φ(A), so p ≥ (α − 1)/α and a ≤ α D_ij/(α − 1)²; but a ≥ α/(α + 1) D_ij by L1, hence α ≤ 3.

The exclusive convention is stricter, so all lemmas hold for it too.

References
----------
Daniely, Linial and Saks 2012, "Clustering is difficult only when it does not matter": the definitions and the aim. The
lemmas are derived here.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

SINGLE_LINKAGE_ABOVE = 4.0
AVERAGE_LINKAGE_ABOVE = 2 + np.sqrt(3)

# Inequalities are relaxed by this much before anything is excluded, so that rounding excludes nothing.
SLACK = 1e-9


def kappa(alpha: float) -> float:
    """Return κ = (α + 1)/(α − 1)."""
    return (alpha + 1) / (alpha - 1)


def inseparable_groups(
    matrix: Float[np.ndarray, "n n"], alpha: float, least: int, reach: Float[np.ndarray, " n"] | None = None
) -> Int[np.ndarray, " n"]:
    """Group points that every α-good clustering keeps together (L5, L6 and L7, applied until nothing changes).

    Parameters
    ----------
    matrix
        Distances.
    alpha
        α > 1.
    least
        Smallest size of a cluster.
    reach
        For a sample of the points: the result of `crowding_reach` for each with respect to all points. Default: the matrix
        has all points.

    Returns
    -------
    array, ``(n,)``
        Each point's group, ``0 … g - 1``. Points of one group are in one cluster of every α-good clustering with clusters
        of at least `least` points; if all points are in one group, there is no such clustering.
    """
    cumulative = np.cumsum(np.sort(matrix, axis=1), axis=1) if reach is None else np.zeros((0, 0))
    groups: Int[np.ndarray, " n"] = np.arange(len(matrix))
    while True:
        own = np.maximum(np.bincount(groups)[groups], least)
        crowding = _crowding(cumulative, own, alpha, least) if reach is None else reach
        limit = np.maximum(crowding, _spread(matrix, groups, alpha)) * (1 - SLACK)
        together = (matrix < np.maximum(limit[:, None], limit[None, :])) | (groups[:, None] == groups[None, :])
        merged = np.asarray(connected_components(together, directed=False)[1], dtype=np.intp)
        if merged.max() == groups.max():
            return merged
        groups = merged


def crowding_reach(rows: Float[np.ndarray, "s n"], alpha: float, least: int) -> Float[np.ndarray, " s"]:
    """Return the smallest possible distance to a point of another cluster, by L7, from some points' distances to all."""
    both = min(2 * least, rows.shape[1])
    nearest = np.partition(rows, both - 1, axis=1)[:, :both]
    return np.asarray(nearest.mean(axis=1) * 2 / kappa(alpha))


def _crowding(
    cumulative: Float[np.ndarray, "n n"], own: Int[np.ndarray, " n"], alpha: float, least: int
) -> Float[np.ndarray, " n"]:
    """L7 with the smallest size for both clusters, and with the current size of the own cluster."""
    every, count = np.arange(len(own)), len(own)
    reach = np.zeros(count)
    for size in (np.full(count, least), own):
        both = np.minimum(size + least, count)
        mean = cumulative[every, both - 1] / both
        reach = np.maximum(reach, mean * (alpha - 1) * both / (size + alpha * least))
    return reach


def _spread(matrix: Float[np.ndarray, "n n"], groups: Int[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, " n"]:
    """L5 with each point's farthest companion, L6 with the diameter of its group."""
    radius = np.where(groups[:, None] == groups[None, :], matrix, 0.0).max(axis=1)
    diameter = np.zeros(groups.max() + 1)
    np.maximum.at(diameter, groups, radius)
    return np.asarray(np.maximum((alpha - 2) / 2 * radius, (alpha - 1) / (2 * kappa(alpha)) * diameter[groups]))
