import itertools
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from normlens.clustering import InvalidDistances, goodness
from normlens.errors import InvalidInput, NormLensError


def by_hand(points: list[list[int]], labels: list[int], exclusive: bool) -> Fraction:
    """α* on a line, in fractions."""
    ratios = []
    for point, own in enumerate(labels):
        means = {}
        for name in set(labels):
            members = [other for other, label in enumerate(labels) if label == name]
            total = sum(abs(points[point][0] - points[other][0]) for other in members)
            means[name] = Fraction(total, len(members) - (exclusive and name == own))
        away = min(means[name] for name in means if name != own)
        ratios.append(away / means[own] if means[own] else Fraction(1) if not away else Fraction(10**9))
    return min(ratios)


def test_four_points_on_a_line_have_alpha_nineteen() -> None:
    quality = goodness([[0.0], [1.0], [10.0], [11.0]], ["left", "left", "right", "right"])
    assert quality.alpha == 19.0  # the point 1: (9 + 10)/2 away, (1 + 0)/2 within
    assert quality.ratios.tolist() == [21.0, 19.0, 19.0, 21.0]
    assert (quality.gamma, quality.sizes, quality.labels) == (0.5, (2, 2), ("left", "right"))
    witness = quality.witness
    assert (witness.point, witness.own, witness.other) == (1, "left", "right")
    assert (witness.own_distance, witness.other_distance) == (0.5, 9.5)
    assert quality.share_above(20) == 0.5
    assert quality.is_good(19, 0.5) and not quality.is_good(19.1) and not quality.is_good(2, 0.6)


@pytest.mark.parametrize("unit", [1e-300, 1e-162, 1e160, 1e306])
def test_points_whose_squares_leave_the_range_of_numbers_have_the_same_alpha(unit: float) -> None:
    quality = goodness(np.array([[0.0], [1.0], [10.0], [11.0]]) * unit, [0, 0, 1, 1])
    assert quality.alpha == pytest.approx(19.0, rel=1e-12)
    assert quality.witness.other_distance == pytest.approx(9.5 * unit, rel=1e-12)


def test_without_the_point_itself_the_ratios_are_halved_for_pairs() -> None:
    quality = goodness([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1], convention="exclusive")
    assert quality.ratios.tolist() == [10.5, 9.5, 9.5, 10.5]
    assert quality.witness.own_distance == 1.0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-20, 20), min_size=6, max_size=9),
    st.integers(0, 2**20),
    st.booleans(),
)
def test_alpha_equals_the_fractions_on_any_line(numbers: list[int], seed: int, exclusive: bool) -> None:
    if len(set(numbers)) < 2:
        return
    labels = np.random.default_rng(seed).permutation([0, 0, 1, 1, 2, 2, 0, 1, 2][: len(numbers)]).tolist()
    points = [[number] for number in numbers]
    quality = goodness(points, labels, convention="exclusive" if exclusive else "inclusive")
    wanted = by_hand(points, labels, exclusive)
    assert min(quality.alpha, 1e9) == pytest.approx(float(wanted), rel=1e-12)


def test_points_and_their_matrix_agree_over_several_chunks() -> None:
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(300, 5)), random.integers(0, 4, 300)
    matrix = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))
    from_points, from_matrix = goodness(points, labels), goodness(matrix, labels, "precomputed")
    np.testing.assert_allclose(from_points.ratios, from_matrix.ratios, rtol=1e-12)
    means = np.stack([matrix[:, labels == name].mean(axis=1) for name in range(4)], axis=1)
    own = means[np.arange(300), labels]
    means[np.arange(300), labels] = np.inf
    np.testing.assert_allclose(from_points.ratios, means.min(axis=1) / own, rtol=1e-12)


def test_memory_grows_with_n_not_with_its_square() -> None:
    points = np.random.default_rng(0).normal(size=(4000, 3))
    tracemalloc.start()
    goodness(points, np.arange(4000) % 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 8 / 10


def test_two_clusters_in_one_place_are_not_good_and_a_cluster_in_one_place_is() -> None:
    together = goodness([[0.0], [0.0], [0.0], [0.0], [9.0], [9.0]], [0, 0, 1, 1, 2, 2])
    assert together.alpha == 1.0
    apart = goodness([[0.0], [0.0], [9.0], [9.0]], [0, 0, 1, 1])
    assert np.isinf(apart.alpha)


def test_single_points_have_no_say_but_make_a_partition_no_good_clustering() -> None:
    quality = goodness([[0.0], [1.0], [5.0]], [0, 0, 1])
    assert quality.alpha == 8.0  # the point 1: 4 / 0.5
    assert not quality.is_good(2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0, 0], "one cluster"),
        ([0, 0, 1], "one label"),
        ([0, 0, -1, 1], "noise"),
        ([0, 0, np.nan, 1], "NaN"),
        ([0.5, 0, 1, 1], "integers"),
    ],
)
def test_labels_that_are_no_partition_are_refused(labels: list[float], message: str) -> None:
    with pytest.raises(InvalidDistances, match=message):
        goodness([[0.0], [1.0], [2.0], [3.0]], labels)


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(InvalidInput, match="exclusive"):
        goodness([[0.0], [1.0]], [0, 1], convention="either")  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, (6, 2), elements=st.floats(-5, 5).filter(lambda x: x == 0 or abs(x) > 1e-100)))
def test_scaling_changes_nothing(points: np.ndarray) -> None:
    labels = [0, 0, 0, 1, 1, 1]
    try:
        quality = goodness(points, labels)
    except NormLensError:
        return
    assert goodness(4 * points, labels).alpha == quality.alpha


def test_names_of_clusters_do_not_matter() -> None:
    points = np.random.default_rng(1).normal(size=(9, 2))
    alphas = {
        goodness(points, [order[label] for label in [0, 1, 2] * 3]).alpha for order in itertools.permutations(range(3))
    }
    assert max(alphas) == pytest.approx(min(alphas), rel=1e-14)
