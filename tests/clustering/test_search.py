"""The search against all partitions counted out, and what its certificate may say."""

from collections import Counter

import numpy as np
import pytest
from clustering_instances import all_partitions
from scipy.stats import hypergeom

from normlens.clustering import (
    Goodness,
    InvalidDistances,
    find_good_clusterings,
    goodness,
    planted_points,
    read_distances,
)
from normlens.clustering.distances import Distances
from normlens.clustering.enumeration import Groups, PartitionWalk
from normlens.clustering.sampling import SampleWalk, points_per_cluster, sample_size
from normlens.clustering.tree import good_cuts

ALPHAS = (1.05, 1.3, 1.7, 2.0, 3.0, 3.8, 4.5)
Codes = tuple[int, ...]


def instance(trial: int) -> np.ndarray:
    """Uniform clouds, planted clusters and coarse grids with many ties and doubles, of 4 to 9 points."""
    random = np.random.default_rng(trial)
    count = 9 if trial % 12 == 0 else int(random.integers(4, 9))
    if trial % 3 == 0:
        points, _ = planted_points((count // 2, count - count // 2), float(random.uniform(1.05, 8)), 2, random)
        return points
    points = random.normal(size=(count, int(random.integers(1, 4))))
    return np.round(points * 2) + (np.arange(count) == 0)[:, None] if trial % 3 == 1 else points


def counted_out(distances: Distances) -> list[tuple[Codes, Goodness]]:
    kept = [codes for codes in all_partitions(len(distances)) if len(set(codes)) > 1 and min(np.bincount(codes)) > 1]
    return [(codes, goodness(distances, codes)) for codes in kept]


@pytest.mark.parametrize("trial", range(36))
def test_the_search_finds_exactly_the_good_among_all_partitions(trial: int) -> None:
    distances = read_distances(instance(trial))
    measured = counted_out(distances)
    for alpha in ALPHAS:
        for gamma in (0.01, 0.3, 0.5):
            result = find_good_clusterings(distances, alpha, gamma)
            wanted = {codes for codes, quality in measured if quality.is_good(alpha, gamma)}
            assert {tuple(one.labels.tolist()) for one in result.clusterings} == wanted, (alpha, gamma)
            assert result.certificate.status == "complete"
            assert result.certificate.none_exists == (not wanted)
            assert [one.alpha for one in result.clusterings] == sorted(
                (o.alpha for o in result.clusterings), reverse=True
            )


@pytest.mark.parametrize("trial", range(6))
def test_the_exclusive_convention_too_is_searched_completely(trial: int) -> None:
    distances = read_distances(instance(3 * trial + 15)[:8])
    for alpha in (1.05, 1.5, 4.5):
        wanted = {
            codes
            for codes, _ in counted_out(distances)
            if goodness(distances, codes, convention="exclusive").alpha >= alpha
        }
        result = find_good_clusterings(distances, alpha, 0.01, convention="exclusive")
        assert {tuple(one.labels.tolist()) for one in result.clusterings} == wanted


@pytest.mark.parametrize(("alpha", "dimensions"), [(1.3, 2), (1.6, 5), (2.0, 2), (3.0, 20), (3.8, 20), (4.5, 50)])
def test_planted_clusters_of_every_size_are_found_and_are_the_best(alpha: float, dimensions: int) -> None:
    points, labels = planted_points((30, 60, 20, 40), alpha * 1.001, dimensions, np.random.default_rng(5))
    result = find_good_clusterings(points, alpha, 0.1, budget=20_000)
    pairs = {Counter(zip(one.labels.tolist(), labels.tolist(), strict=True)).__len__() for one in result.clusterings}
    assert 4 in pairs  # as many pairs of labels as clusters: the same partition
    assert all(goodness(points, one.labels).alpha >= alpha for one in result.clusterings)


def test_the_number_of_clusters_is_found_and_nested_clusterings_all_come() -> None:
    near, far = np.array([0.0, 1.0]), np.array([0.0, 100.0])
    points = (near[None, None] + 10 * near[None, :, None] + 100 * far[:, None, None]).reshape(-1, 1)
    result = find_good_clusterings(points, 5, 0.01)
    clusterings = {tuple(one.labels.tolist()) for one in result.clusterings}
    # two groups of two pairs: each group may be split or kept
    assert clusterings == {
        (0, 0, 0, 0, 1, 1, 1, 1),
        (0, 0, 1, 1, 2, 2, 2, 2),
        (0, 0, 0, 0, 1, 1, 2, 2),
        (0, 0, 1, 1, 2, 2, 3, 3),
    }


def test_more_clusterings_than_can_be_listed_are_not_called_complete() -> None:
    pairs = np.add.outer(np.array([0.0, 1.0]), np.array([0.0, 20.0])).T.ravel()
    points = np.concatenate([10_000.0 * group + pairs for group in range(12)])[:, None]
    result = find_good_clusterings(points, 5, 0.01)  # 2¹² ways to split twelve groups or not
    assert len(result.clusterings) == 1000
    assert result.certificate.status == "heuristic"
    assert "there may be others" in str(result.certificate)


def test_uniform_noise_is_proved_to_have_no_good_clustering() -> None:
    points = np.random.default_rng(0).uniform(size=(100, 2))
    result = find_good_clusterings(points, 2.0, 0.1)
    assert result.certificate.none_exists and result.clusterings == []
    assert str(result.certificate).startswith("No good clustering exists")
    assert result.nearest is not None
    assert 1 <= result.nearest.alpha < 2
    assert result.nearest.alpha == goodness(points, result.nearest.labels).alpha


def test_where_the_search_gives_up_it_does_not_say_that_none_exists() -> None:
    points = np.random.default_rng(0).uniform(size=(60, 20))
    result = find_good_clusterings(points, 1.5, 0.1, budget=50)
    assert result.clusterings == [] and not result.certificate.none_exists
    assert result.certificate.status == "heuristic"
    assert "that doesn't prove that none exists" in str(result.certificate)


def test_clusters_that_do_not_fit_do_not_exist() -> None:
    for count, gamma in ((3, 0.1), (5, 0.5)):
        certificate = find_good_clusterings(np.arange(float(count))[:, None], 2, gamma).certificate
        assert certificate.none_exists and "don't fit" in str(certificate)


def test_the_walk_without_the_lemma_yields_every_partition_with_large_enough_parts() -> None:
    points = np.random.default_rng(0).normal(size=(7, 2))
    matrix = read_distances(points).matrix()
    walk = PartitionWalk(Groups.of(matrix, np.arange(7)), 1.0001, 2, 3, 10**6)
    partitions = {tuple(np.unique(codes, return_inverse=True)[1]) for codes in walk}
    sizes = Counter(tuple(sorted(np.bincount(codes))) for codes in partitions)
    assert walk.complete
    assert sizes == {(2, 5): 21, (3, 4): 35, (2, 2, 3): 105}  # C(7,2), C(7,3), 7!/(2! 2! 3! 2!)


def test_cuts_of_the_tree_are_the_antichains_that_the_definition_allows() -> None:
    random = np.random.default_rng(3)
    for _ in range(8):
        points, _ = planted_points((3, 2, 3), float(random.uniform(4.1, 9)), 2, random)
        distances = read_distances(points)
        wanted = {codes for codes, quality in counted_out(distances) if quality.is_good(4.05)}
        for method in ("single", "average"):
            cuts = good_cuts(distances.matrix(), method, 4.05, 2)
            partitions = {
                tuple(np.argsort(np.unique(c, return_index=True)[1]).argsort()[c].tolist()) for c in cuts.labels
            }
            assert cuts.complete and partitions == wanted


def test_the_bound_asks_what_the_proof_says() -> None:
    # κ = 2.45/.45 at α = 1.45; 2 κ⁴ ln(4 · 100 · 3/.05)
    assert points_per_cluster(1.45, 0.05, 100, 3) == int(np.ceil(2 * (2.45 / 0.45) ** 4 * np.log(24_000)))
    size = sample_size(9.0, 0.05, 5000, 1000)
    assert size is not None
    needed = points_per_cluster(9.0, 0.05, 5000, 5)
    assert (
        5 * hypergeom.cdf(needed - 1, 5000, 1000, size) <= 0.025 < 5 * hypergeom.cdf(needed - 1, 5000, 1000, size - 1)
    )
    assert sample_size(1.45, 0.05, 5000, 1000) is None


def test_a_sample_of_each_cluster_extends_to_the_planted_partition() -> None:
    points, labels = planted_points((60, 80), 3.0, 3, np.random.default_rng(0))
    sample = np.concatenate([np.flatnonzero(labels == name)[:4] for name in (0, 1)])
    walk = SampleWalk(read_distances(points), sample, 2.9, 14, 2)
    assert 2 in [len(set(zip(assigned.tolist(), labels.tolist(), strict=True))) for assigned in walk]
    assert walk.complete


def test_many_points_are_searched_through_a_sample_that_earns_its_probability() -> None:
    labels = np.arange(5200) % 5 // 3  # three fifths and two fifths, each within a unit cube
    points = np.random.default_rng(0).uniform(size=(5200, 3)) + 5 * labels[:, None]
    result = find_good_clusterings(points, 5.0, 0.4)
    assert result.certificate.status == "complete with probability 1 − δ"
    (only,) = result.clusterings
    assert len(set(zip(only.labels.tolist(), labels.tolist(), strict=True))) == 2
    assert "with probability 0.95 or more" in str(result.certificate)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 1.0}, "above 1"),
        ({"alpha": 0.5}, "above 1"),
        ({"alpha": float("nan")}, "above 1"),
        ({"alpha": float("inf")}, "above 1"),
        ({"gamma": 0.51}, "at most 1/2"),
        ({"gamma": 0.0}, "above 0"),
        ({"gamma": -0.1}, "above 0"),
        ({"gamma": float("nan")}, "above 0"),
        ({"delta": 0.0}, "between 0 and 1"),
        ({"delta": 1.0}, "between 0 and 1"),
        ({"budget": 0}, "1 or more"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidDistances, match=message):
        find_good_clusterings([[0.0], [1.0], [5.0], [6.0]], **parameters)  # type: ignore[arg-type]
