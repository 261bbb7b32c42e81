"""Attention heads of real models: how well they separate into clusters, by weight and by norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

import normlens
from normlens.clustering import HeadDistances, find_good_clusterings, goodness
from normlens.clustering.model_heads import cluster_habits, head_habits, head_maps

MEASURES = ("norm", "weight")
"""What heads are compared by."""

ALPHA, GAMMA = 1.05, 0.02
SHARES = (1.05, 1.1, 1.2, 1.5)
NUMBERS = (2, 3, 4, 6, 8, 12)
"""Numbers of clusters at which weight and norm are compared."""

_BUDGET = 20_000


def heads(model: str, texts: list[str], resamples: int, seed: int) -> dict[str, Any]:
    """Cluster the heads of a model by weight and by norm, and compare how well they separate.

    Parameters
    ----------
    model
        A model, as for :func:`normlens.load`.
    texts
        Sentences.
    resamples, seed
        Options of the bootstrap over texts.

    Returns
    -------
    dict
        By map: the distances, the best clustering of the search and its certificate. Also the differences of the median
        ratio and of the share of heads above 1.1, norm minus weight, at the same number of clusters.
    """
    lens = normlens.load(model)
    distances: dict[str, list[NDArray[np.float64]]] = {name: [] for name in MEASURES}
    habits: dict[str, list[NDArray[np.float64]]] = {name: [] for name in MEASURES}
    targets = []
    names: tuple[str, ...] = ()
    for analysis in lens.stream(texts, progress=False):
        group = analysis[analysis.groups[0]]
        for name in MEASURES:
            names, maps = head_maps(group, name)
            distances[name].append(HeadDistances.over([maps]).matrix())
            habits[name].append(head_habits(group, maps))
        targets.append(group.data.sizes["target"])
    stacked = {name: np.stack(matrix) for name, matrix in distances.items()}
    counts = np.array(targets, dtype=float)
    matrices = {name: np.average(stack, axis=0, weights=counts) for name, stack in stacked.items()}
    return {
        "texts": len(texts),
        "targets": int(counts.sum()),
        "names": list(names),
        "maps": {
            name: _clustered(matrix, np.average(habits[name], axis=0, weights=counts), names, seed)
            for name, matrix in matrices.items()
        },
        "compared": _compared(stacked, counts, resamples, np.random.default_rng(seed)),
    }


def _clustered(
    matrix: NDArray[np.float64], habits: NDArray[np.float64], names: tuple[str, ...], seed: int
) -> dict[str, Any]:
    """The best partition of the search, good or not."""
    result = find_good_clusterings(matrix, ALPHA, GAMMA, metric="precomputed", budget=_BUDGET, random_state=seed)
    best = result.clusterings[0] if result.clusterings else result.nearest
    assert best is not None
    return {
        "certificate": str(result.certificate),
        "found": result.certificate.found,
        "alpha": best.alpha,
        "gamma": best.goodness.gamma,
        "sizes": list(best.goodness.sizes),
        "witness": names[best.goodness.witness.point],
        "shares": {str(alpha): best.goodness.share_above(alpha) for alpha in SHARES},
        "median": float(np.median(best.goodness.ratios)),
        "labels": best.labels.tolist(),
        "kinds": cluster_habits(habits, best.labels),
        "certified": [
            [np.flatnonzero(one.labels == code).tolist(), one.alpha]
            for one in result.clusterings
            for code in range(len(one.goodness.sizes))
        ],
        "matrix": [[float(f"{x:.5g}") for x in row] for row in matrix],
    }


def _compared(
    stacked: dict[str, NDArray[np.float64]], counts: NDArray[np.float64], resamples: int, random: Generator
) -> dict[str, Any]:
    """Norm against weight at the same number of clusters; heads are clustered again on every resample of texts."""
    every = np.arange(len(counts))
    measured = {name: _separations(stack, counts, every) for name, stack in stacked.items()}
    draws = []
    for _ in range(resamples):
        drawn = random.choice(every, len(every))
        draws.append(_separations(stacked["norm"], counts, drawn) - _separations(stacked["weight"], counts, drawn))
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    difference = measured["norm"] - measured["weight"]
    return {
        "resamples": resamples,
        "clusters": list(NUMBERS),
        "median": {name: table[0].tolist() for name, table in measured.items()},
        "share": {name: table[1].tolist() for name, table in measured.items()},
        "median difference": np.stack([difference[0], low[0], high[0]], axis=1).tolist(),
        "share difference": np.stack([difference[1], low[1], high[1]], axis=1).tolist(),
    }


def _separations(
    stack: NDArray[np.float64], counts: NDArray[np.float64], drawn: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Median ratio and share of heads above 1.1, ``(2, number of clusters)``, cut from the complete-linkage tree."""
    weights = np.bincount(drawn, minlength=len(counts)) * counts
    matrix = np.tensordot(weights / weights.sum(), stack, axes=1)
    np.fill_diagonal(matrix, 0.0)
    merges = linkage(squareform((matrix + matrix.T) / 2, checks=False), "complete")
    ratios = [goodness(matrix, fcluster(merges, k, "maxclust"), "precomputed").ratios for k in NUMBERS]
    return np.array([[np.median(ratio) for ratio in ratios], [np.mean(ratio >= 1.1) for ratio in ratios]])
