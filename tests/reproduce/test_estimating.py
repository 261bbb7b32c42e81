"""Means, pooled correlations and pooled variation, against numbers worked out by hand or by numpy."""

import numpy as np
import pytest

from reproduce.study.estimates import layer_rows, pooled_correlation, pooled_variation


def test_a_sentence_without_a_category_is_left_out_of_its_mean() -> None:
    sentences = [
        {("vector_norm", "comma"): np.array([1.0, 3.0])},
        {("vector_norm", "comma"): np.array([np.nan, np.nan])},
        {("vector_norm", "comma"): np.array([3.0, 5.0])},
        {},
    ]
    rows = layer_rows(sentences, seed=0, resamples=50)
    assert rows["value"].tolist() == [2.0, 4.0, 3.0]
    assert rows["n_texts"].tolist() == [2, 2, 2]
    assert rows["layer"].tolist()[:2] == [0, 1]
    assert rows["layer"].isna().tolist() == [False, False, True]
    assert (rows["low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["high"]).all()


def test_pooled_correlation_is_over_all_tokens_and_leaves_unknown_ranks_out() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0, 99.0], [4.0, 3.0, 2.0, 1.0, 99.0], [1.0, 3.0, 2.0, 4.0, 0.0]])
    ranks = np.array([10.0, 20.0, 30.0, 40.0, np.nan])
    correlations = pooled_correlation(values, ranks, np.array([0, 0, 1, 1, 1]), seed=0, resamples=1)
    np.testing.assert_allclose(correlations[0], [1.0, -1.0, 0.8])


def test_pooled_correlation_draws_whole_sentences() -> None:
    """Of two sentences with the same numbers every draw gives the same; drawing tokens would not."""
    values, ranks = np.tile([1.0, 3.0, 2.0, 4.0], (1, 2)), np.tile([1.0, 2.0, 3.0, 4.0], 2)
    correlations = pooled_correlation(values, ranks, np.repeat([0, 1], 4), seed=1, resamples=30)
    np.testing.assert_allclose(correlations, [[0.8], [0.8], [0.8]])


def test_pooled_variation_equals_numpy_over_all_tokens() -> None:
    generator = np.random.default_rng(0)
    sentences = [generator.uniform(1, 5, size=(2, 3, length)) for length in (4, 7, 2)]
    moments = np.stack([np.stack([np.full(x.shape[:-1], x.shape[-1]), x.sum(-1), (x**2).sum(-1)]) for x in sentences])
    value, low, high = pooled_variation(moments, seed=0, resamples=40)
    together = np.concatenate(sentences, axis=-1)
    expected = (together.std(axis=-1) / together.mean(axis=-1)).mean(axis=-1)
    np.testing.assert_allclose(value, [*expected, expected.mean()])
    assert (low <= high).all()


@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_seed_gives_the_same_interval(seed: int) -> None:
    sentences = [{("x", "all"): np.array([float(k)])} for k in range(9)]
    first = layer_rows(sentences, seed=seed, resamples=20)
    assert first.equals(layer_rows(sentences, seed=seed, resamples=20))
    assert first["low"].iloc[0] < 4.0 < first["high"].iloc[0]
