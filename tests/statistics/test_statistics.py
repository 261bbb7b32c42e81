"""Statistics, against numbers that a pencil gives."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from normlens.errors import InvalidInput
from normlens.statistics import (
    CorpusStatistics,
    TokenFrequency,
    bootstrap_interval,
    coefficient_of_variation,
    mean_of_members,
    mean_over_seeing_targets,
    rank_correlation,
    share,
    text_numbers,
)

ALPHA = np.array([[[[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.8, 0.15, 0.05]], np.full((3, 3), 1 / 3)]])
VECTOR_NORM = np.array([[[1.0, 4.0, 2.0], [3.0, 3.0, 3.0]]])
NORM = np.array([[[1.0, 2.0, 1.0], [1.0, 5.0, 0.0], [2.0, 2.0, 2.0]]])


def one_text(categories=("special", "other", "punctuation"), ids=(101, 7, 8), **variables):
    """One layer, two heads, three tokens; head 1 is uniform."""
    coords = {
        "layer": [0],
        "head": [0, 1],
        "source": range(3),
        "target": range(3),
        "scope": ["attention"],
        "source_category": ("source", list(categories)),
        "target_category": ("target", list(categories)),
        "source_id": ("source", list(ids)),
        "target_id": ("target", list(ids)),
    }
    data = {
        "weight": (("layer", "head", "target", "source"), ALPHA),
        "vector_norm": (("layer", "head", "source"), VECTOR_NORM),
        "norm": (("layer", "target", "source"), NORM),
        "mixing_ratio": (("scope", "layer", "target"), [[[0.2, 0.4, 0.9]]]),
        "conservation_error": (("scope", "layer", "target"), [[[1e-7, 3e-6, np.nan]]]),
    }
    return xr.Dataset(data | variables, coords)


def row(table, quantity, category, layer=None, head=None):
    chosen = table[(table.quantity == quantity) & (table.category == category)]
    chosen = chosen[chosen.layer.isna() if layer is None else chosen.layer == layer]
    chosen = chosen[chosen["head"].isna() if head is None else chosen["head"] == head]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_shares_of_a_hand_made_map():
    numbers = text_numbers(one_text())
    # α to [CLS] in head 0: (0.5 + 0.5 + 0.8) / 3. Norm: 1.8 · 1 of 1.8 · 1 + 0.9 · 4 + 0.3 · 2 = 6.0.
    np.testing.assert_allclose(numbers["weight_share", "special"], [[0.6, 1 / 3]])
    np.testing.assert_allclose(numbers["weighted_norm_share", "special"], [[0.3, 1 / 3]])
    np.testing.assert_allclose(numbers["weighted_norm_share", "other"], [[0.6, 1 / 3]])
    np.testing.assert_allclose(numbers["weighted_norm_share", "punctuation"], [[0.1, 1 / 3]])
    # The norm of the sum: columns 4, 9, 3 of 16.
    np.testing.assert_allclose(numbers["norm_share", "special"], [4 / 16])
    np.testing.assert_allclose(numbers["norm_share", "other"], [9 / 16])
    np.testing.assert_allclose(numbers["weight_share", "first token"], numbers["weight_share", "special"])


def test_of_words_the_stored_norms_count():
    data = one_text()
    stored = xr.zeros_like(data["weight"]) + xr.DataArray([3.0, 1.0, 0.0], dims="source")
    numbers = text_numbers(data.assign(weighted_norm=stored))
    np.testing.assert_allclose(numbers["weighted_norm_share", "special"], [[0.75, 0.75]])


def test_a_first_token_that_is_not_special_has_a_share_of_its_own():
    numbers = text_numbers(one_text(categories=("other", "other", "punctuation")))
    np.testing.assert_allclose(numbers["norm_share", "first token"], [4 / 16])
    np.testing.assert_allclose(numbers["norm_share", "other"], [9 / 16])
    categories = ("special", "first token", "punctuation", "other")
    np.testing.assert_allclose(sum(numbers["weight_share", name] for name in categories), 1)
    np.testing.assert_allclose(numbers["vector_norm", "other"], [[4.0, 3.0]])


def test_vector_norms_by_category_and_their_variation():
    numbers = text_numbers(one_text())
    np.testing.assert_allclose(numbers["vector_norm", "other"], [[4.0, 3.0]])
    np.testing.assert_allclose(numbers["vector_norm", "all"], [[7 / 3, 3.0]])
    # 1, 4, 2: mean 7/3, variance 21/3 - 49/9 = 14/9.
    np.testing.assert_allclose(numbers["vector_norm_variation", "all"], [[np.sqrt(14 / 9) / (7 / 3), 0.0]])
    np.testing.assert_allclose(numbers["mixing_ratio", "attention"], [0.5])


def test_an_absent_category_is_a_zero_share_and_left_out_of_means():
    statistics = CorpusStatistics()
    statistics.add(one_text())
    statistics.add(one_text(categories=("other", "other", "other")))
    table = statistics.table()
    share_of_special = row(table, "weight_share", "special", 0, 0)
    assert share_of_special.value == pytest.approx(0.3)
    assert share_of_special.n_texts == 2
    norm_of_special = row(table, "vector_norm", "special", 0, 0)
    assert norm_of_special.value == pytest.approx(1.0)
    assert norm_of_special.n_texts == 1
    assert np.isnan(norm_of_special.low)


def test_a_sink_takes_its_part_of_the_weight():
    sink = {"sink_weight": (("layer", "head", "target"), np.ones((1, 2, 3)))}
    numbers = text_numbers(one_text(**sink))
    np.testing.assert_allclose(numbers["weight_share", "sink"], [[0.5, 0.5]])
    np.testing.assert_allclose(numbers["weight_share", "special"], [[0.3, 1 / 6]])


def test_the_own_vector_of_cross_attention_takes_its_part_of_the_norm():
    own = {
        "norm_residual": (("layer", "target", "source"), NORM),
        "own_residual": (("layer", "target"), [[16.0, 8.0, 24.0]]),
    }
    numbers = text_numbers(one_text(**own))
    np.testing.assert_allclose(numbers["norm_residual_share", "own"], [0.75])
    np.testing.assert_allclose(numbers["norm_residual_share", "special"], [1 / 16])


def test_negative_weights_have_positive_norms():
    numbers = text_numbers(one_text(weight=(("layer", "head", "target", "source"), -ALPHA)))
    np.testing.assert_allclose(numbers["weighted_norm_share", "special"], [[0.3, 1 / 3]])


def test_an_absent_head_gives_no_row_and_does_not_change_the_layer():
    weight, norm = ALPHA.copy(), VECTOR_NORM.copy()
    weight[0, 1], norm[0, 1] = np.nan, np.nan
    statistics = CorpusStatistics()
    statistics.add(
        one_text(
            weight=(("layer", "head", "target", "source"), weight), vector_norm=(("layer", "head", "source"), norm)
        )
    )
    table = statistics.table()
    assert row(table, "weight_share", "special", 0).value == pytest.approx(0.6)
    assert table[table["head"] == 1].empty
    assert row(table, "correlation_weight_vector_norm", "all", 0, 0).value == pytest.approx(-0.5)


def test_means_over_the_targets_that_can_see_a_source():
    causal = np.array([[[[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.2, 0.6]]]])
    np.testing.assert_allclose(mean_over_seeing_targets(causal), [[[1.7 / 3, 0.35, 0.6]]])


def test_rank_correlation_by_hand_and_as_scipy_gives_it():
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 · 4 / (5 · 24) = 0.8.
    assert float(rank_correlation([1, 2, 3, 4, 5], [20, 10, 40, 30, 50])) == pytest.approx(0.8)
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 5, (2, 3, 9)), generator.integers(0, 5, 9)
    expected = [[scipy.stats.spearmanr(values, second).statistic for values in rows] for rows in first]
    np.testing.assert_allclose(rank_correlation(first, second), expected)


def test_rank_correlation_leaves_out_unknown_ranks_and_refuses_to_guess():
    assert float(rank_correlation([1, 2, 9, 3], [1.0, 2.0, np.nan, 3.0])) == pytest.approx(1.0)
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    assert np.isnan(rank_correlation([1, 2], [1, 2]))
    with pytest.raises(InvalidInput):
        rank_correlation([1, 2, 3], [1, 2])


def test_frequency_ranks_are_read_and_counted_alike(tmp_path):
    path = tmp_path / "frequency.txt"
    path.write_text("1 9 8\n2 5 7\n2 5 3\n")
    expected = [1.0, 2.0, 2.0, np.nan]
    np.testing.assert_array_equal(TokenFrequency.read(path).ranks([8, 7, 3, 4]), expected)
    counted = TokenFrequency.counted([[8] * 9, [7] * 5 + [3] * 5])
    np.testing.assert_array_equal(counted.ranks([8, 7, 3, 4]), expected)


@pytest.mark.parametrize("content", ["", "1 2\n", "one two three\n"])
def test_a_file_that_is_no_frequency_table_is_refused(tmp_path, content):
    path = tmp_path / "frequency.txt"
    path.write_text(content)
    with pytest.raises(InvalidInput, match="frequency"):
        TokenFrequency.read(path)
    with pytest.raises(InvalidInput):
        TokenFrequency.read(tmp_path / "absent.txt")


def test_correlation_with_frequency_ignores_special_tokens():
    frequency = TokenFrequency.from_counts({1: 100, 2: 50, 3: 10, 4: 1000})
    text = one_text(
        ("special", "other", "other"),
        (1, 2, 3),
    )
    assert np.isnan(text_numbers(text, frequency)["correlation_vector_norm_frequency", "all"]).all()
    text = one_text(("other", "other", "other"), (4, 3, 2))
    # Ranks 1, 4, 3 against norms 1, 4, 2: the same order.
    assert text_numbers(text, frequency)["correlation_vector_norm_frequency", "all"][0, 0] == pytest.approx(1.0)
    # Ranks of the targets 1, 4, 3 against ratios 0.2, 0.4, 0.9: order 1 3 2 against 1 2 3.
    assert text_numbers(text, frequency)["correlation_mixing_ratio_frequency", "attention"][0] == pytest.approx(0.5)


def test_correlation_over_distinct_tokens_counts_in_the_corpus():
    statistics = CorpusStatistics()
    for ids in ((101, 7, 8), (101, 7, 9), (101, 7, 9)):
        statistics.add(one_text(ids=ids))
    # Token 7 (3 times) has norm 3.5; tokens 9 (twice) and 8 (once) have 2.5 both: ranks 1 2 3 against 2 1 1, tied.
    expected = scipy.stats.spearmanr([1, 2, 3], [3.5, 2.5, 2.5]).statistic
    assert row(statistics.table(), "correlation_vector_norm_frequency", "types").value == pytest.approx(expected)


def test_a_bootstrap_interval_holds_the_mean_and_narrows_with_more_texts():
    values = np.random.default_rng(1).normal(5.0, 2.0, (400, 3))
    low, high = bootstrap_interval(values)
    assert low.shape == (3,)
    assert (low < values.mean(0)).all() and (values.mean(0) < high).all()
    # The normal approximation: 1.96 standard errors to either side.
    np.testing.assert_allclose(high - low, 2 * 1.96 * values.std(0) / 20, rtol=0.15)
    np.testing.assert_array_equal(bootstrap_interval(values), (low, high))


def test_a_bootstrap_interval_is_that_of_scipy():
    values = np.random.default_rng(2).exponential(size=60)
    low, high = bootstrap_interval(values, resamples=20_000)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=0)
    np.testing.assert_allclose((low, high), theirs.confidence_interval, rtol=0.01)


def test_bootstrap_leaves_out_missing_texts():
    low, high = bootstrap_interval([[1.0, np.nan, 2.0], [1.0, 2.0, np.nan], [1.0, np.nan, 2.0]])
    np.testing.assert_allclose([low, high], [[1.0, np.nan, 2.0]] * 2)
    with pytest.raises(InvalidInput):
        bootstrap_interval(np.empty((0, 2)))


def test_about_95_of_100_intervals_cover_the_truth():
    generator = np.random.default_rng(3)
    low, high = bootstrap_interval(generator.normal(size=(80, 500)), resamples=400)
    assert 0.91 < ((low < 0) & (high > 0)).mean() < 0.98


def test_merged_statistics_equal_those_collected_in_one_go():
    texts = [one_text(), one_text(categories=("other",) * 3), one_text(ids=(101, 5, 6))]
    whole, first, second = CorpusStatistics(), CorpusStatistics(), CorpusStatistics()
    for text in texts:
        whole.add(text)
    first.add(texts[0])
    for text in texts[1:]:
        second.add(text)
    joined = first.merge(second)
    assert len(joined) == 3 and len(first) == 1
    assert joined.table().equals(whole.table())
    assert joined.largest_conservation_error == pytest.approx(3e-6)
    with pytest.raises(InvalidInput, match="frequenc"):
        first.merge(CorpusStatistics(TokenFrequency.from_counts({1: 1})))


def test_kinds_and_frequencies_are_not_mixed():
    statistics = CorpusStatistics()
    statistics.add(one_text().assign_attrs(kind="encoder"))
    with pytest.raises(InvalidInput, match="of kind decoder, that of earlier texts encoder"):
        statistics.add(one_text().assign_attrs(kind="decoder"))
    one, other = (CorpusStatistics(TokenFrequency.from_counts(counts)) for counts in ({7: 2, 8: 1}, {7: 1, 8: 2}))
    with pytest.raises(InvalidInput, match="different ranks"):
        one.merge(other)


def test_other_layers_and_reduced_data_are_refused():
    statistics = CorpusStatistics()
    with pytest.raises(InvalidInput, match="no texts"):
        statistics.table()
    statistics.add(one_text())
    with pytest.raises(InvalidInput, match="layers"):
        statistics.add(one_text().assign_coords(layer=[3]))
    with pytest.raises(InvalidInput, match="weight"):
        statistics.add(one_text().drop_vars("weight"))


def test_the_row_over_all_layers_is_the_mean_of_the_layers():
    two_layers = xr.concat([one_text(), one_text().assign_coords(layer=[1])], dim="layer", data_vars="minimal")
    two_layers["norm"].values[1] = np.eye(3)
    statistics = CorpusStatistics()
    statistics.add(two_layers)
    table = statistics.table()
    assert row(table, "norm_share", "special", 1).value == pytest.approx(1 / 3)
    assert row(table, "norm_share", "special").value == pytest.approx((1 / 4 + 1 / 3) / 2)
    assert row(table, "weight_share", "special", 0).value == pytest.approx((0.6 + 1 / 3) / 2)


values = arrays(np.float64, (2, 5), elements=st.floats(0.001, 1))


@given(values, arrays(np.bool_, 5))
def test_a_share_and_that_of_the_rest_add_up_to_one(amounts, chosen):
    np.testing.assert_allclose(share(amounts, chosen) + share(amounts, ~chosen), 1.0)


@given(values, st.floats(0.1, 10))
def test_variation_and_shares_do_not_depend_on_the_unit(amounts, factor):
    np.testing.assert_allclose(coefficient_of_variation(amounts * factor), coefficient_of_variation(amounts), atol=1e-9)
    chosen = np.array([True, False, True, False, False])
    np.testing.assert_allclose(share(amounts * factor, chosen), share(amounts, chosen))
    np.testing.assert_allclose(mean_of_members(amounts * factor, chosen), mean_of_members(amounts, chosen) * factor)
