"""Tokens pooled over a corpus: the same bytes in any order, correlations near the exact ones, a fair sample."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

import normlens
from normlens.corpus.pooled_tokens import GRID_EDGES, SAMPLE, PooledTokens, RankGrid, TokenSample
from normlens.statistics import TokenFrequency
from normlens.statistics.text import received_weight


def drawn(tokens: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two quantities of two layers that spread over a factor of about thirty, and are correlated."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(2, tokens))
    first, second = (np.exp(0.7 * common + 0.5 * generator.normal(size=(2, tokens))) for _ in range(2))
    second[1] = 1 / second[1]
    return first, second


@given(tokens=st.integers(0, 40), cuts=st.lists(st.integers(0, 40), max_size=4), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_grids_merge_to_the_same_bytes_in_any_order(tokens: int, cuts: list[int], seed: int) -> None:
    first, second = drawn(tokens, seed)
    whole = RankGrid.of(first, second)
    bounds = [0, *sorted(min(cut, tokens) for cut in cuts), tokens]
    pieces = [RankGrid.of(first[:, a:b], second[:, a:b]) for a, b in pairwise(bounds)]
    for some in (pieces, pieces[::-1]):
        merged = RankGrid.merged(some)
        assert merged.places.tobytes() == whole.places.tobytes() and merged.counts.tobytes() == whole.counts.tobytes()
    assert whole.counts.sum() == 2 * tokens


def test_the_correlation_of_a_grid_is_near_the_exact_one() -> None:
    """The error that the docs state: below 0.001, for tokens that spread over a factor of thirty."""
    for seed in range(5):
        first, second = drawn(3000, seed)
        grid = RankGrid.of(first, second)
        for layer in (0, 1):
            exact = spearmanr(first[layer], second[layer]).statistic
            assert 0.4 < abs(exact) < 0.8
            assert grid.correlation(layer) == pytest.approx(exact, abs=0.001)


def test_the_correlation_of_binned_values_is_exact() -> None:
    """Values that are bins themselves lose nothing: ties get their average rank, as in SciPy."""
    generator = np.random.default_rng(0)
    bins = generator.integers(100, 112, (2, 1, 400))
    first, second = GRID_EDGES[bins]
    second = np.where(generator.random(second.shape) < 0.5, first, second)
    assert RankGrid.of(first, second).correlation(0) == pytest.approx(
        spearmanr(first[0], second[0]).statistic, abs=1e-12
    )
    assert np.isnan(RankGrid.of(first[:, :2], second[:, :2]).correlation(0))
    gone = np.full_like(first, np.nan)
    assert len(RankGrid.of(first, gone).places) == 0


def test_samples_are_the_smallest_hashes_in_any_order() -> None:
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 3 * SAMPLE, dtype=np.uint64)
    values = generator.random((3 * SAMPLE, 5))
    pieces = [TokenSample(hashes[k::7], values[k::7]) for k in range(7)]
    expected = np.sort(hashes)[:SAMPLE]
    for some in (pieces, pieces[::-1], [TokenSample.merged(pieces[:3]), TokenSample.merged(pieces[3:])]):
        merged = TokenSample.merged(some)
        assert np.array_equal(merged.hashes, expected)
        assert np.array_equal(merged.values, values[np.argsort(hashes)[:SAMPLE]])


def test_tokens_of_texts_are_pooled(tiny_bert: Path) -> None:
    lens = normlens.load(tiny_bert)
    texts = ["the cat sat here", "a dog ran", "the dog is here", "a cat", "the the cat"]
    frequency = TokenFrequency(np.arange(40), np.arange(40, 0, -1), "x")
    data = [lens.analyze(text)["encoder"].data for text in texts]
    whole, parts = PooledTokens(), [PooledTokens(), PooledTokens()]
    for number, one in enumerate(data):
        whole.add(one, f"0:{number}", frequency)
        parts[number % 2].add(one, f"0:{number}", frequency)
    joined = PooledTokens()
    for part in reversed(parts):
        joined.include(PooledTokens.of_arrays(part.arrays()))
    for name, array in whole.arrays().items():
        assert joined.arrays()[name].tobytes() == array.tobytes(), name
    weight = np.concatenate([received_weight(one).mean(1) for one in data], axis=1)
    norm = np.concatenate([one["vector_norm"].values.mean(1) for one in data], axis=1)
    rows = {(row[0], row[2]): row[4] for row in joined.rows([0, 1], 5)}
    assert set(rows) == {
        (f"correlation_{pair}", layer)
        for pair in ("weight_vector_norm", "weight_frequency", "vector_norm_frequency")
        for layer in (0, 1)
    }
    for layer in (0, 1):
        exact = spearmanr(weight[layer], norm[layer]).statistic
        assert rows["correlation_weight_vector_norm", layer] == pytest.approx(
            exact, abs=0.2
        )  # 26 tokens, some in one bin
    sample = joined.sample()
    assert sample is not None
    columns = sample.columns()
    assert sorted(columns["weight"]) == pytest.approx(sorted(weight.mean(0)))
    assert columns["special"].sum() == 2 * len(texts) and np.isnan(columns["frequency"]).sum() == 2 * len(texts)
    assert len(set(sample.hashes.tolist())) == weight.shape[1]
    assert PooledTokens().sample() is None
