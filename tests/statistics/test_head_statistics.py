"""Statistics of heads against loops over the maps of whole analyses, and their scatter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from architectures import tiny
from matplotlib.collections import PathCollection
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from normlens.statistics.heads import (
    EPSILON,
    MEASURES,
    QUANTITIES,
    HeadStatistics,
    head_numbers,
    head_scatter,
    head_sums,
    measure_heads,
)

TEXTS = ["the cat sat here.", "the dog ran.", "a cat is a cat.", "the unhappiness sat here, a dog ran here."]
MakeLens = Callable[..., normlens.Lens]


def direct(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The numbers of one text, head by head and target by target, from whole maps."""
    alpha = data["weight"].transpose("layer", "head", "target", "source").values.astype(float)
    length = data["vector_norm"].transpose("layer", "head", "source").values
    output = data["output_norm"].transpose("layer", "head", "target").values
    away = data["displacement"].transpose("layer", "head", "target", "source").values
    special = data["source_category"].values == "special"
    layers, heads, targets, sources = alpha.shape
    numbers = {name: np.zeros((layers, heads)) for name in QUANTITIES}
    for layer, head in np.ndindex(layers, heads):
        rows: dict[str, list[float]] = {name: [] for name in QUANTITIES}
        for i in range(targets):
            a = alpha[layer, head, i]
            moved = a * length[layer, head]
            far = np.abs(np.arange(sources) - i)
            rows["first_token_weight"].append(a[0])
            rows["first_token_norm"].append(moved[0] / moved.sum())
            rows["special_weight"].append(a[special].sum())
            rows["special_norm"].append(moved[special].sum() / moved.sum())
            rows["sink_targets_by_weight"].append(a[0] > EPSILON)
            rows["sink_targets_by_norm"].append(moved[0] / moved.sum() > EPSILON)
            rows["output_norm"].append(output[layer, head, i])
            rows["relative_output_norm"].append(output[layer, head, i] / output[layer, :, i].mean())
            rows["displacement"].append(away[layer, head, i].sum())
            rows["distance_by_weight"].append(a @ far)
            rows["distance_by_norm"].append(moved @ far / moved.sum())
        for name, values in rows.items():
            numbers[name][layer, head] = np.mean(values) if values else np.nan
        for measure in ("weight", "norm"):
            numbers[f"sink_by_{measure}"][layer, head] = numbers[f"first_token_{measure}"][layer, head] > EPSILON
    return numbers


def test_the_numbers_of_a_text_equal_loops_over_its_maps(reader: normlens.Lens) -> None:
    whole = reader.analyze(TEXTS[3], measures=MEASURES)["encoder"].data
    reduced = reader.analyze(TEXTS[3], measures=MEASURES, reduce=head_sums, chunk_size=2)["encoder"].data
    numbers, expected = head_numbers(reduced), direct(whole)
    assert {name for name, _ in numbers} == set(QUANTITIES)
    for name in QUANTITIES:
        np.testing.assert_allclose(numbers[name, "all"], expected[name], rtol=2e-5, err_msg=name)


def test_a_corpus_gives_the_means_of_its_texts(reader: normlens.Lens) -> None:
    table = measure_heads(reader, TEXTS, batch_size=3)["encoder"].table()
    assert set(table["quantity"]) == set(QUANTITIES) and set(table["n_texts"]) == {4}
    each = [direct(reader.analyze(text, measures=MEASURES)["encoder"].data) for text in TEXTS]
    for name in QUANTITIES:
        mine = table[table["quantity"] == name]
        mean = np.mean([numbers[name] for numbers in each], axis=0)
        heads = mine[mine["head"].notna()]["value"].to_numpy().reshape(mean.shape)
        np.testing.assert_allclose(heads, mean, rtol=2e-5, err_msg=name)
        over_all = mine[mine["layer"].isna()]
        np.testing.assert_allclose(over_all["value"], mean.mean(), rtol=2e-5)
        assert (over_all["low"] <= over_all["value"]).all() and (over_all["value"] <= over_all["high"]).all()


def by_hand(share: float, outputs: tuple[float, float]) -> xr.Dataset:
    """One layer of two heads: each target's weight is `share` on the first of two sources, whose vector has length 1/9."""
    weight = np.tile([share, 1 - share], (2, 2, 1))
    return xr.Dataset(
        {
            "weight": (("head", "target", "source"), weight),
            "vector_norm": (("head", "source"), np.array([[1 / 9, 1.0]] * 2)),
            "displacement": (("head", "target", "source"), np.ones((2, 2, 2))),
            "output_norm": (("head", "target"), np.array([[output] * 2 for output in outputs])),
        },
        coords={"target": [0, 1], "source": [0, 1], "source_category": ("source", ["special", "other"])},
    )


def test_by_hand() -> None:
    """α = (0.9, 0.1) on lengths (1/9, 1) moves (0.1, 0.1): nine tenths of the weight, half of the norm."""
    sums = head_sums(by_hand(0.9, (1.0, 3.0))).expand_dims(layer=[0])
    numbers = {name: values[0] for (name, _), values in head_numbers(sums).items()}
    assert numbers["first_token_weight"].tolist() == pytest.approx([0.9, 0.9])
    assert numbers["first_token_norm"].tolist() == pytest.approx([0.5, 0.5])
    assert numbers["relative_output_norm"].tolist() == pytest.approx([0.5, 1.5])
    assert numbers["distance_by_weight"].tolist() == pytest.approx([0.5, 0.5])  # 0.1 from target 0, 0.9 from target 1
    assert numbers["displacement"].tolist() == [2, 2]


def test_a_sink_by_weight_need_not_be_one_by_norm() -> None:
    numbers = head_numbers(head_sums(by_hand(0.5, (1.0, 1.0))).expand_dims(layer=[0]))
    assert numbers["sink_by_weight", "all"].tolist() == [[1, 1]]
    assert numbers["sink_by_norm", "all"].tolist() == [[0, 0]]  # 0.1 of the norm


def test_a_learned_sink_takes_its_share_of_the_weight() -> None:
    data = by_hand(0.5, (1.0, 1.0))
    data["weight"] = data["weight"] / 2
    data["sink_weight"] = (("head", "target"), np.full((2, 2), 0.5))
    numbers = head_numbers(head_sums(data).expand_dims(layer=[0]))
    assert numbers["first_token_weight", "all"].tolist() == [[0.25, 0.25]]
    assert numbers["first_token_norm", "all"] == pytest.approx(0.1)


def test_between_two_texts_there_is_no_distance(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("marian"), tokenizer))
    statistics = measure_heads(lens, TEXTS[:2], TEXTS[2:], group="cross")
    assert list(statistics) == ["cross"]
    quantities = set(statistics["cross"].table()["quantity"])
    assert "first_token_norm" in quantities and not {"distance_by_weight", "distance_by_norm"} & quantities


def test_what_is_no_corpus_or_no_such_reduction_is_refused(reader: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match="no text to measure"):
        measure_heads(reader, [])
    with pytest.raises(InvalidInput, match=r"has no group cross; it has encoder\. Choose"):
        measure_heads(reader, TEXTS, group="cross")
    with pytest.raises(InvalidInput, match=r"need first_token_weight.*reduce=head_sums"):
        HeadStatistics().add(reader.analyze(TEXTS[0])["encoder"].data)
    with pytest.raises(InvalidInput, match="There are no texts"):
        HeadStatistics().table()


def test_the_scatter_has_a_point_for_each_head(reader: normlens.Lens) -> None:
    table = measure_heads(reader, TEXTS)["encoder"].table()
    axes = head_scatter(table, "special")
    [points] = [drawn for drawn in axes.collections if isinstance(drawn, PathCollection)]
    offsets = np.asarray(points.get_offsets())
    of_heads = table[table["head"].notna()]
    for column, name in enumerate(("special_weight", "special_norm")):
        np.testing.assert_allclose(np.sort(offsets[:, column]), np.sort(of_heads[of_heads.quantity == name]["value"]))
    with pytest.raises(InvalidInput, match=r"sources is 'last'; expected one of first_token, special"):
        head_scatter(table, "last")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"The table has no special_norm, special_weight of heads"):
        head_scatter(table[~table["quantity"].str.startswith("special")], "special")
