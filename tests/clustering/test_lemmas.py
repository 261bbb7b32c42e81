"""Lemmas L1 to L9 on random good instances; `NORMLENS_INSTANCES=10000` runs as many of them."""

import os

import numpy as np
import pytest
from clustering_instances import good_instances
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normlens.clustering import find_good_clusterings, goodness, planted_points
from normlens.clustering.enumeration import Groups, PartitionWalk
from normlens.clustering.lemmas import crowding_reach, inseparable_groups, kappa
from normlens.clustering.tree import LinkageMethod, LinkageTree

ROUNDING = 1e-9
many = settings(
    max_examples=int(os.environ.get("NORMLENS_INSTANCES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
Instance = tuple[np.ndarray, np.ndarray, float]


def measured(instance: Instance) -> tuple[np.ndarray, np.ndarray, float, np.ndarray, np.ndarray]:
    """Distances, labels, the exact α*, Δ(x, C_j) and D_ij."""
    matrix, labels, _ = instance
    members = np.eye(labels.max() + 1)[labels]
    means = matrix @ members / members.sum(axis=0)
    between = (members / members.sum(axis=0)).T @ means
    return matrix, labels, goodness(matrix, labels, "precomputed").alpha, means, between


def below(small: np.ndarray, large: np.ndarray) -> bool:
    return bool((small <= large * (1 + ROUNDING) + ROUNDING * 1e-3).all())


@many
@given(st.integers(0, 2**32 - 1), st.floats(1.01, 50), st.lists(st.integers(2, 6), min_size=2, max_size=4))
def test_planted_clusters_are_as_good_as_asked_for_and_no_better(seed: int, alpha: float, sizes: list[int]) -> None:
    points, labels = planted_points(tuple(sizes), alpha, 3, np.random.default_rng(seed))
    assert np.bincount(labels).tolist() == sizes
    assert alpha <= goodness(points, labels).alpha <= alpha * (1 + 1e-6)


@many
@given(good_instances())
def test_lemmas_one_to_four(instance: Instance) -> None:
    matrix, labels, alpha, means, between = measured(instance)
    if alpha <= 1:
        return
    for x, i in enumerate(labels):
        for j in set(labels) - {i}:
            far, distance = labels == j, between[i, j]
            assert below(alpha / (alpha + 1) * distance, means[x, j])  # L1
            assert below(means[x, j], alpha / (alpha - 1) * distance)
            assert below(means[x, i], distance / (alpha - 1))
            assert below(matrix[x, far], kappa(alpha) * distance)  # L2
            assert below(matrix[x, labels == i], 2 * distance / (alpha - 1))
            assert below(distance / kappa(alpha), means[x, j] - means[x, i])  # L3
            assert below((alpha - 1) * np.maximum(means[x, i], means[far, j]), matrix[x, far])  # L4


@many
@given(good_instances())
def test_lemmas_five_and_six(instance: Instance) -> None:
    matrix, labels, alpha, _, between = measured(instance)
    if alpha <= 1:
        return
    for x, i in enumerate(labels):
        own, others = matrix[x, labels == i], matrix[x, labels != i]
        assert below((alpha - 2) * own.max(), 2 * others.min())  # L5
        assert below(between[i, labels[labels != i]], kappa(alpha) * others)  # L6
    for i in set(labels):
        for j in set(labels) - {i}:
            gap, diameter = matrix[np.ix_(labels == i, labels == j)], matrix[np.ix_(labels == i, labels == i)].max()
            assert below((alpha - 1) * diameter, 2 * kappa(alpha) * gap.min())
            assert below(gap.max(), kappa(alpha) ** 2 * gap.min())


@many
@given(good_instances())
def test_lemma_seven_and_the_inseparable_groups(instance: Instance) -> None:
    matrix, labels, alpha, _, _ = measured(instance)
    if alpha <= 1:
        return
    least = int(np.bincount(labels).min())
    apart = labels[:, None] != labels[None, :]
    reach = crowding_reach(matrix, alpha, least)
    assert below(np.where(apart, reach[:, None], 0.0), matrix)
    groups = inseparable_groups(matrix, alpha, least)
    assert len({(group, label) for group, label in zip(groups, labels, strict=True)}) == groups.max() + 1


@many
@given(st.one_of(good_instances(3.8, 5.0), good_instances(4.01, 40.0)))
def test_lemmas_eight_and_nine_clusters_are_nodes_of_the_trees(instance: Instance) -> None:
    matrix, labels, alpha, _, _ = measured(instance)
    method: LinkageMethod
    for method, bound in (("single", 4.0), ("average", 2 + np.sqrt(3))):
        if alpha > bound:
            tree = LinkageTree.of(matrix, method)
            nodes = {frozenset(tree.leaves[a:b].tolist()) for a, b in zip(tree.start, tree.stop, strict=True)}
            for name in set(labels):
                assert frozenset(np.flatnonzero(labels == name).tolist()) in nodes


def test_single_linkage_misses_a_clustering_with_alpha_two_and_a_half() -> None:
    """0 4 | 7 11: the point 4 is (3 + 7)/2 from the other pair and (0 + 4)/2 from its own; but 4 and 7 merge first."""
    line = np.array([0.0, 4.0, 7.0, 11.0])[:, None]
    matrix = np.abs(line - line.T)
    assert goodness(line, [0, 0, 1, 1]).alpha == 2.5
    tree = LinkageTree.of(matrix, "single")
    nodes = {frozenset(tree.leaves[a:b].tolist()) for a, b in zip(tree.start, tree.stop, strict=True)}
    assert frozenset({0, 1}) not in nodes
    assert [c.labels.tolist() for c in find_good_clusterings(line, 2.5).clusterings] == [[0, 0, 1, 1]]


@pytest.mark.parametrize("alpha", [1.2, 2.0, 3.0])
def test_points_with_one_group_have_no_good_clustering(alpha: float) -> None:
    line = np.arange(12.0)[:, None]
    matrix = np.abs(line - line.T)
    groups = inseparable_groups(matrix, alpha, 6)
    if groups.max() == 0:
        assert goodness(line, [0] * 6 + [1] * 6).alpha < alpha
    assert (alpha == 1.2) == (groups.max() > 0)


def test_the_bounds_are_tight_on_two_pairs() -> None:
    """0 1 | 6 7: α* = 11 (the point 1: (5 + 6)/2 and (0 + 1)/2), so κ = 1.2; L7 says 2 · 3/κ = 5, which is the gap."""
    line = np.array([0.0, 1.0, 6.0, 7.0])[:, None]
    matrix = np.abs(line - line.T)
    assert goodness(line, [0, 0, 1, 1]).alpha == 11
    assert crowding_reach(matrix, 11, 2)[1] == pytest.approx(5)  # the mean of 0, 1, 5, 6 is 3
    assert inseparable_groups(matrix, 11, 2).tolist() == [0, 0, 1, 1]
    # L6: 10 · diameter 1 ≤ 2.4 · gap 5, and 7 ≤ 1.44 · 5
    walk = PartitionWalk(Groups.of(matrix, np.arange(4)), 11, 2, 2, 100)
    assert [np.equal.outer(codes, codes).tolist() for codes in walk] == [
        np.equal.outer([0, 0, 1, 1], [0, 0, 1, 1]).tolist()
    ]
