"""Partitions counted out one by one, and random instances whose partition is good."""

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from normlens.clustering import planted_points, read_distances


def all_partitions(count: int) -> Iterator[tuple[int, ...]]:
    """Every partition of `count` points, as cluster numbers in the order of their first points."""

    def further(codes: tuple[int, ...], used: int) -> Iterator[tuple[int, ...]]:
        if len(codes) == count:
            yield codes
            return
        for code in range(used + 1):
            yield from further((*codes, code), max(used, code + 1))

    return further((0,), 1)


@st.composite
def good_instances(draw: st.DrawFn, lowest: float = 1.05, highest: float = 8.0) -> tuple[np.ndarray, np.ndarray, float]:
    """Distances, labels, and an α for which the labels are α-good: in a Euclidean space, or in what powers make of one."""
    sizes = tuple(draw(st.lists(st.integers(2, 7), min_size=2, max_size=4)))
    alpha = draw(st.floats(lowest, highest))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points, labels = planted_points(sizes, alpha, draw(st.integers(1, 4)), random)
    matrix = read_distances(points).matrix()
    power = draw(st.sampled_from([1.0, 0.7, 0.4]))  # a power below one of a metric is a metric
    return matrix**power, labels, alpha
