"""Numbers that merge: equal to those of all texts together, in whatever pieces they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from normlens.corpus.mergeable import EDGES, REPLICATES, Moments, Replicates, histogram, poisson_weights
from normlens.corpus.merged_numbers import MergedNumbers
from normlens.corpus.token_budget import budgeted_batches
from normlens.errors import InvalidInput
from normlens.statistics.collection import Numbers

LAYERS, HEADS = [0, 1], [0, 1, 2]


def values(texts: int, seed: int = 0) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    drawn = generator.lognormal(0, 2, (texts, 4)) + 1e3
    drawn[generator.random(drawn.shape) < 0.2] = np.nan
    return drawn


@given(texts=st.integers(1, 30), cut=st.integers(0, 30), seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_moments_of_pieces_are_those_of_the_whole(texts: int, cut: int, seed: int) -> None:
    whole = values(texts, seed)
    cut = min(cut, texts)
    merged = Moments.of(whole[:cut]).merge(Moments.of(whole[cut:]))
    present = np.isfinite(whole)
    assert np.array_equal(merged.count, present.sum(0))
    for column in range(4):
        own = whole[present[:, column], column]
        if len(own):
            assert merged.mean[column] == pytest.approx(own.mean(), rel=1e-13)
        if len(own) > 1:
            assert merged.variance()[column] == pytest.approx(own.var(ddof=1), rel=1e-9)
        else:
            assert np.isnan(merged.variance()[column])


def test_histograms_count_every_value_once_above_its_edge() -> None:
    counts = histogram(np.array([[-5.0], [0.0], [1e-6], [1.0], [np.nan], [1e9], [-np.inf]]))[0]
    assert counts.sum() == 5  # infinities aren't numbers either
    for value in (-5.0, 0.0, 1e-6, 1.0, 1e9):
        place = np.searchsorted(EDGES, value, side="right") - 1
        assert EDGES[place] <= value < EDGES[place + 1] and counts[place] == 1


def test_bootstrap_weights_depend_on_the_document_alone() -> None:
    weights = poisson_weights(["a", "b", "a"])
    assert weights.shape == (3, REPLICATES)
    assert np.array_equal(weights[0], weights[2]) and not np.array_equal(weights[0], weights[1])
    assert np.array_equal(poisson_weights(["b"])[0], weights[1])
    many = poisson_weights(map(str, range(400)))
    assert many.mean() == pytest.approx(1, abs=0.02) and many.var() == pytest.approx(1, abs=0.03)
    assert poisson_weights([]).shape == (0, REPLICATES)


def test_the_interval_is_that_of_resampled_means() -> None:
    whole = np.random.default_rng(0).normal(5, 2, (400, 1))
    low, high = Replicates.of(whole, poisson_weights(map(str, range(400)))).interval(0.95)
    error = 2 / 400**0.5
    assert low[0] == pytest.approx(whole.mean() - 1.96 * error, abs=0.4 * error)
    assert high[0] == pytest.approx(whole.mean() + 1.96 * error, abs=0.4 * error)


def test_texts_of_one_document_are_drawn_together() -> None:
    repeated = np.repeat(np.random.default_rng(0).normal(5, 2, (40, 1)), 10, axis=0)
    apart = Replicates.of(repeated, poisson_weights(map(str, range(400)))).interval(0.95)
    together = Replicates.of(repeated, poisson_weights(str(k // 10) for k in range(400))).interval(0.95)
    assert (together[1] - together[0]).item() > 2 * (apart[1] - apart[0]).item()


def numbers(texts: int) -> list[Numbers]:
    generator = np.random.default_rng(3)
    made: list[Numbers] = []
    for _ in range(texts):
        text: Numbers = {
            ("share", "x"): generator.random((2, 3)),
            ("norm", "y"): generator.random(2),
            ("value", "all"): np.array(generator.random()),
        }
        if generator.random() < 0.5:
            text["rare", "z"] = generator.random(2)
        made.append(text)
    return made


def test_shards_in_order_give_the_table_of_the_whole_and_survive_a_file() -> None:
    texts, documents = numbers(20), [str(k) for k in range(20)]
    merged = MergedNumbers(LAYERS, HEADS)
    for start in range(0, 20, 7):
        shard = MergedNumbers(LAYERS, HEADS)
        shard.add(texts[start : start + 7], documents[start : start + 7])
        shard.add_error(1e-7 * (start + 1))
        shard.types.totals[start] = np.array([1.0, 2.0, 3.0])
        merged.include(MergedNumbers.of_arrays(shard.arrays()))
    assert (len(merged), merged.largest_conservation_error) == (20, 15e-7)
    assert list(merged.types.totals) == [0, 7, 14]
    table = merged.table()
    share = np.stack([text["share", "x"] for text in texts])
    own = table[table.quantity == "share"]
    by_head = own[own["head"].notna()]
    assert by_head.value.to_numpy() == pytest.approx(share.mean(0).ravel(), rel=1e-12)
    assert own[own["head"].isna() & own["layer"].notna()].value.to_numpy() == pytest.approx(
        share.mean((0, 2)), rel=1e-12
    )
    margin = 1.959964 * share[:, 1, 2].std(ddof=1) / 20**0.5
    last = by_head.iloc[-1]
    assert (last.high - last.value) == pytest.approx(margin, rel=1e-5)
    assert table[table.quantity == "rare"].n_texts.max() == sum(("rare", "z") in text for text in texts)
    value = table[table.quantity == "value"]
    assert len(value) == 1 and value.low.item() < value.value.item() < value.high.item()
    assert merged.deviation(("value", "all"))[0] == pytest.approx(
        np.std([float(text["value", "all"]) for text in texts], ddof=1)
    )
    assert merged.histograms()["norm", "y"].sum() == 60
    norm = np.stack([text["norm", "y"] for text in texts])
    low, high = Replicates.of(norm, poisson_weights(documents)).interval(0.95)
    by_layer = table[(table.quantity == "norm") & table["layer"].notna()]
    assert by_layer[["low", "high"]].to_numpy() == pytest.approx(np.stack([low, high], axis=1), rel=1e-12)


def test_batches_stay_within_both_budgets() -> None:
    lengths = [5, 1, 4, 30, 5, 2, 0]
    assert list(budgeted_batches(lengths, tokens=12, pairs=10**6)) == [[6, 1, 5], [2, 0], [4], [3]]
    for tokens, pairs in ((12, 10**6), (10**6, 50), (20, 60)):
        batches = list(budgeted_batches(lengths, tokens, pairs))
        assert sorted(number for batch in batches for number in batch) == list(range(7))
        for batch in batches:
            longest = max(1, *(lengths[number] for number in batch), 0)
            assert len(batch) == 1 or (len(batch) * longest <= tokens and len(batch) * longest**2 <= pairs)


def test_one_text_has_no_interval() -> None:
    merged = MergedNumbers(LAYERS, HEADS)
    merged.add(numbers(1), ["a"])
    assert merged.table()[["low", "high"]].isna().all(axis=None)


def test_numbers_of_two_models_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two models"):
        MergedNumbers(LAYERS, HEADS).include(MergedNumbers(LAYERS, [0]))
