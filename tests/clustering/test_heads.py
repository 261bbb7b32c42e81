import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from normlens.clustering import HeadDistances, check_distance_matrix
from normlens.errors import InvalidInput


def maps(heads: int, targets: int, seed: int, causal: bool = True) -> np.ndarray:
    """Random attention maps."""
    scores = 3 * np.random.default_rng(seed).normal(size=(heads, targets, targets))
    if causal:
        scores[:, np.triu(np.ones((targets, targets), dtype=bool), 1)] = -np.inf
    weights = np.exp(scores)
    return weights / weights.sum(axis=-1, keepdims=True)


def test_two_heads_on_three_targets_by_hand() -> None:
    distances = HeadDistances(2)
    distances.add([[[1, 0], [1, 0]], [[1, 0], [0, 1]]])  # the same, then nothing in common
    distances.add([[[2, 2]], [[4, 0]]])
    middle = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) - 0.5
    assert distances.matrix()[0, 1] == pytest.approx((0 + 1 + np.sqrt(middle)) / 3, rel=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_the_mean_over_a_corpus_equals_scipys_row_by_row(causal: bool) -> None:
    texts = [maps(7, targets, seed, causal) for seed, targets in enumerate((9, 1, 14))]
    distances = HeadDistances.over(texts)
    rows = [text[:, target] for text in texts for target in range(text.shape[1])]
    for one in range(7):
        for other in range(one):
            wanted = np.mean([np.nan_to_num(jensenshannon(row[one], row[other], base=2)) for row in rows])
            assert distances.matrix()[one, other] == pytest.approx(wanted, abs=1e-7)
    assert distances.targets == 24
    check_distance_matrix(distances.matrix())


def test_many_heads_and_long_texts_are_cut_into_blocks_without_a_trace() -> None:
    text = maps(40, 80, 0)
    whole = HeadDistances.over([text]).matrix()
    for one, other in ((0, 39), (3, 20), (38, 39)):
        few = HeadDistances.over([text[[one, other]]]).matrix()[0, 1]
        assert whole[one, other] == pytest.approx(few, rel=1e-12)


def test_norms_count_by_their_shares_of_the_row() -> None:
    text = maps(4, 6, 0)
    scaled = text * np.random.default_rng(1).uniform(0.1, 50, size=(4, 6, 1))
    np.testing.assert_allclose(
        HeadDistances.over([text]).matrix(), HeadDistances.over([scaled]).matrix(), rtol=1e-9, atol=1e-12
    )


def test_nearly_equal_heads_are_told_apart() -> None:
    row = np.array([0.2, 0.3, 0.5])
    step = 1e-9 * np.array([1.0, -2.0, 1.0])
    matrix = HeadDistances.over([[[row], [row + step], [row]]]).matrix()
    assert matrix[0, 1] == pytest.approx(np.sqrt((step**2 / row).sum() / 8 / np.log(2)), rel=1e-6)
    assert matrix[0, 2] == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((3, 2, 2)), "expected \\(2, target, source\\)"),
        (np.ones((2, 2)), "shape \\(2, 2\\)"),
        (np.full((2, 1, 2), np.nan), "Head 0 has nan"),
        (np.array([[[1.0, 1.0]], [[1.0, -1.0]]]), "Head 1 has -1.0 at target 0, source 1"),
        (np.array([[[1.0, 1.0]], [[0.0, 0.0]]]), "Head 1 moves nothing to target 0"),
    ],
)
def test_maps_that_cannot_be_compared_are_refused(rows: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        HeadDistances(2).add(rows)


def test_one_head_and_no_text_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two or more"):
        HeadDistances(1)
    with pytest.raises(InvalidInput, match="No text"):
        HeadDistances(2).matrix()
    with pytest.raises(InvalidInput, match="no texts"):
        HeadDistances.over([])
