"""Planted instances: clusters placed so that α* has a chosen value."""

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from numpy.typing import NDArray

from normlens.clustering.distances import Distances
from normlens.clustering.goodness import cluster_sums, point_ratios
from normlens.errors import InvalidInput

_HALVINGS = 60


def planted_points(
    sizes: tuple[int, ...], alpha: float, dimensions: int, random: Generator
) -> tuple[Float[np.ndarray, "n dimensions"], Int[np.ndarray, " n"]]:
    """Plant clusters in Euclidean space, just far enough apart for the partition to be α-good.

    Gaussian clouds of different widths (a factor of up to two) around random centers; the centers are moved apart until α*
    of the partition exceeds `alpha` by a relative 10⁻⁶ at most.

    Parameters
    ----------
    sizes
        Number of points in each cluster: at least two clusters, of at least two points each.
    alpha
        The α* of the partition, above 1.
    dimensions
        Number of dimensions of the space.
    random
        Source of random numbers.

    Returns
    -------
    points, labels
        In random order.

    Raises
    ------
    InvalidInput
        If there are fewer than two clusters, one with fewer than two points, or `alpha` isn't above 1.
    """
    if len(sizes) < 2 or min(sizes) < 2 or not alpha > 1:
        raise InvalidInput(
            f"Clusters of sizes {sizes} can't be planted with α = {alpha:g}; expected at least two clusters, of at least "
            "two points each, and α above 1."
        )
    labels = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = random.normal(size=(len(sizes), dimensions))
    widths = random.uniform(0.5, 1.0, size=len(sizes))
    clouds = random.normal(size=(len(labels), dimensions)) * widths[labels, None]
    while _alpha_of(clouds, labels) >= alpha:  # a few points can be good by chance
        clouds = random.normal(size=(len(labels), dimensions)) * widths[labels, None]
    low, high = 0.0, 1.0
    while _alpha_of(clouds + high * centers[labels], labels) < alpha:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _alpha_of(clouds + middle * centers[labels], labels) < alpha:
            low = middle
        else:
            high = middle
    return clouds + high * centers[labels], labels


def _alpha_of(points: NDArray[np.float64], labels: NDArray[np.intp]) -> float:
    sizes = np.bincount(labels)
    means = cluster_sums(Distances(points, "euclidean"), labels, len(sizes)) / sizes
    return float(point_ratios(means, labels, sizes, "inclusive")[0].min())
