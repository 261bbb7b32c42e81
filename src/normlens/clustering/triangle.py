"""Whether a matrix is a metric: sign, symmetry, diagonal, and the triangle inequality with the triple that violates it."""

import numpy as np
from numpy.typing import NDArray

from normlens.errors import InvalidInput

EXACT_UP_TO = 500
SAMPLED_TRIPLES = 2_000_000


class InvalidDistances(InvalidInput, ValueError):
    """Points or distances that can't be clustered; also a `ValueError`, which users of scikit-learn catch."""


def check_distance_matrix(
    matrix: NDArray[np.float64], resolution: float = 1e-12, exact_up_to: int = EXACT_UP_TO, seed: int = 0
) -> None:
    """Raise `InvalidDistances` unless a matrix contains the distances of a metric, to rounding.

    Two objects at distance 0 are allowed: they are duplicates.

    Parameters
    ----------
    matrix
        ``(n, n)``, finite.
    resolution
        Rounding relative to the largest distance; violations up to ten times as large are allowed.
    exact_up_to
        Up to this number of objects, every triple is checked against the triangle inequality; above it, 2,000,000 random
        triples.
    seed
        Random seed of the triples.

    Raises
    ------
    InvalidDistances
        For a matrix that isn't square, has a negative distance, a diagonal that isn't zero, two different distances
        between the same two objects, only zeros, or a triple that violates the triangle inequality. The message names the
        entry or the triple.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InvalidDistances(
            f"The distance matrix has shape {matrix.shape}; expected a square one. Pass (n, n) distances, or points with a "
            "metric other than 'precomputed'."
        )
    _check_pairs(matrix, 10 * resolution * float(np.abs(matrix).max()))
    _check_triangles(matrix, 10 * resolution * float(matrix.max()), exact_up_to, seed)


def _check_pairs(matrix: NDArray[np.float64], tolerance: float) -> None:
    if (matrix < 0).any():
        i, j = np.argwhere(matrix < 0)[0]
        raise InvalidDistances(
            f"The distance from {i} to {j} is negative: {matrix[i, j]:g}. Distances are zero or more; did you pass "
            "similarities?"
        )
    diagonal = np.abs(np.diagonal(matrix))
    if (diagonal > tolerance).any():
        i = int(np.argmax(diagonal))
        raise InvalidDistances(
            f"The diagonal isn't zero: {i} is {matrix[i, i]:g} from itself. Pass distances, not similarities."
        )
    gap = np.abs(matrix - matrix.T)
    if (gap > tolerance).any():
        i, j = np.unravel_index(int(np.argmax(gap)), gap.shape)
        raise InvalidDistances(
            f"The matrix isn't symmetric: {matrix[i, j]:g} from {i} to {j}, but {matrix[j, i]:g} back. Average the "
            "two, if the result is a metric, or use a symmetric distance such as √JSD."
        )
    if not matrix.any():
        raise InvalidDistances(
            f"All {len(matrix)} points lie in one place: every distance is 0. Pass points that differ."
        )


def _check_triangles(matrix: NDArray[np.float64], tolerance: float, exact_up_to: int, seed: int) -> None:
    triple = _worst_triple(matrix) if len(matrix) <= exact_up_to else _worst_random_triple(matrix, seed)
    i, via, j = triple
    detour = matrix[i, via] + matrix[via, j]
    if matrix[i, j] > detour + tolerance:
        raise InvalidDistances(
            f"The triangle inequality doesn't hold for the triple ({i}, {via}, {j}): {matrix[i, j]:g} from {i} to {j}, "
            f"but {matrix[i, via]:g} + {matrix[via, j]:g} = {detour:g} through {via}. Use a metric: √JSD instead of a "
            "divergence, or the Euclidean distance between rows of length one instead of cosine distance."
        )


def _worst_triple(matrix: NDArray[np.float64]) -> tuple[int, int, int]:
    """The (start, detour, end) that violates the triangle inequality most, over all triples."""
    worst, triple = -np.inf, (0, 0, 0)
    for via, distances in enumerate(matrix):
        excess = matrix - distances[:, None] - distances[None, :]
        at = int(np.argmax(excess))
        if excess.flat[at] > worst:
            i, j = divmod(at, len(matrix))
            worst, triple = float(excess.flat[at]), (i, via, j)
    return triple


def _worst_random_triple(matrix: NDArray[np.float64], seed: int) -> tuple[int, int, int]:
    """The worst of random triples."""
    i, via, j = np.random.default_rng(seed).integers(len(matrix), size=(3, SAMPLED_TRIPLES))
    at = int(np.argmax(matrix[i, j] - matrix[i, via] - matrix[via, j]))
    return int(i[at]), int(via[at]), int(j[at])
