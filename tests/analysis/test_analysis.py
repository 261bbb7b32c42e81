"""What ``analyze`` returns: access, words, tables, JSON."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import normlens
from normlens.analysis.result import Analysis
from normlens.errors import InvalidInput

TEXT = "the unhappiness, here."


@pytest.fixture(scope="module")
def analysis(reader: normlens.Lens) -> Analysis:
    return reader.analyze(TEXT)


def by_hand() -> Analysis:
    """One layer, two heads, four tokens: [CLS], two pieces of one word, a mark."""
    weight = np.array(
        [[[[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.2], [0.25] * 4], [[0.7, 0.1, 0.1, 0.1]] * 4]]
    )
    labels = {
        "_token": ["[CLS]", "un", "do", "!"],
        "_word": [-1, 0, 0, 1],
        "_id": [1, 5, 6, 7],
        "_category": ["special", "other", "other", "punctuation"],
        "_start": [0, 0, 2, 4],
        "_end": [0, 2, 4, 5],
    }
    coordinates = {f"{side}{name}": (side, x) for side in ("target", "source") for name, x in labels.items()}
    data = xr.Dataset(
        {
            "weight": (("layer", "head", "target", "source"), weight),
            "vector_norm": (("layer", "head", "source"), [[[1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 3.0, 5.0]]]),
            "norm": (("layer", "target", "source"), [np.arange(16.0).reshape(4, 4)]),
            "mixing_ratio": (("scope", "layer", "target"), [[[0.1, 0.2, 0.6, 0.4]]]),
            "conservation_error": (("scope", "layer", "target"), [[[1e-7, 3e-7, 2e-7, 0.0]]]),
        },
        {"layer": [0], "head": [0, 1], "target": range(4), "source": range(4), "scope": ["attention"], **coordinates},
    )
    return Analysis.of({"encoder": data}, {"text": "undo!"})


# Access


def test_variables_are_attributes_of_a_group(analysis: Analysis) -> None:
    group = analysis["encoder"]
    assert group.weight.dims == group.weighted_norm.dims == ("layer", "head", "target", "source")
    assert group.vector_norm.dims == ("layer", "head", "source")
    assert group.norm.dims == group.norm_residual.dims == group.norm_layernorm.dims == ("layer", "target", "source")
    assert group.mixing_ratio.dims == group.conservation_error.dims == ("scope", "layer", "target")
    assert "norm_layernorm" in dir(group)
    assert np.allclose(group.weighted_norm, group.weight * group.vector_norm)


def test_what_is_absent_is_named(analysis: Analysis) -> None:
    with pytest.raises(AttributeError, match=r"own_residual.*not in this analysis"):
        _ = analysis["encoder"].own_residual
    with pytest.raises(KeyError, match="it has encoder"):
        _ = analysis["decoder"]
    assert list(analysis) == analysis.groups == ["encoder"]


def test_the_conservation_error_is_the_largest() -> None:
    assert by_hand().conservation_error == 3e-7


def test_three_lines_say_what_it_is(analysis: Analysis) -> None:
    first, groups, next_calls = repr(analysis).splitlines()
    assert "the unhappiness" in first and "encoder (" in groups and '["encoder"].norm' in next_calls
    assert "encoder" in analysis and "cross" not in analysis and len(analysis) == 1


def test_a_group_answers_like_its_dataset(analysis: normlens.Analysis) -> None:
    group = analysis["encoder"]
    assert group["norm"].identical(group.norm) and group["weighted_norm"].identical(group.weighted_norm)
    assert "norm" in group and "weighted_norm" in group and "norm_block" not in group
    assert group.sel(layer=1).identical(group.data.sel(layer=1)) and group[["norm"]].identical(group.data[["norm"]])
    assert list(group) == list(group.data_vars) and len(group) == len(group.data_vars)
    assert group.to_dataframe().equals(group.data.to_dataframe()) and "sel" in dir(group) and "norm" in dir(group)
    assert copy.deepcopy(group).data.identical(group.data)


def test_what_is_shown_says_what_to_call_next(reader: normlens.Lens, analysis: normlens.Analysis) -> None:
    for shown in (reader, analysis, analysis["encoder"]):
        assert "Next: " in repr(shown) and "Next: " in shown._repr_html_()
    assert len(repr(reader).splitlines()) == 3 and "analyze(text)" in repr(reader)


# Words


def test_words_by_hand() -> None:
    words = by_hand().words()["encoder"].data
    assert words["source_token"].values.tolist() == words["target_token"].values.tolist() == ["[CLS]", "undo", "!"]
    assert np.allclose(
        words["weight"][0, 0], [[0.4, 0.5, 0.1], [(0.1 + 0.3) / 2, (0.5 + 0.5) / 2, (0.4 + 0.2) / 2], [0.25, 0.5, 0.25]]
    )
    assert np.allclose(words["norm"][0], [[0, 3, 3], [(4 + 8) / 2, (11 + 19) / 2, (7 + 11) / 2], [12, 27, 15]])
    weighted = 0.5 * ((0.2 * 2 + 0.3 * 4) + (0.4 * 2 + 0.1 * 4))
    assert float(words["weighted_norm"][0, 0, 1, 1]) == pytest.approx(weighted)
    assert np.allclose(words["vector_norm"][0], [[1, 3, 8], [1, 2, 5]])
    assert np.allclose(words["mixing_ratio"][0, 0], [0.1, 0.4, 0.4])
    assert np.allclose(words["conservation_error"][0, 0], [1e-7, 3e-7, 0])
    assert words["source_start"].values.tolist() == [0, 0, 4]
    assert words["source_end"].values.tolist() == [0, 4, 5]
    assert words["source_category"].values.tolist() == ["special", "other", "punctuation"]


def test_rows_of_weights_still_add_up_to_one(analysis: Analysis) -> None:
    assert np.allclose(analysis.words()["encoder"].weight.sum("source"), 1, atol=1e-5)


def test_a_text_of_whole_words_stays_as_it_is(reader: normlens.Lens) -> None:
    pieces = reader.analyze("the cat sat here")
    words = pieces.words()
    for variable in ("weight", "norm", "norm_residual", "mixing_ratio", "vector_norm"):
        assert np.allclose(words["encoder"].data[variable], pieces["encoder"].data[variable], equal_nan=True)
    assert words["encoder"].data["source_token"].values.tolist() == ["[CLS]", "the", "cat", "sat", "here", "[SEP]"]


def test_words_of_words_are_words() -> None:
    once = by_hand().words()
    twice = once.words()
    assert np.allclose(once["encoder"].weighted_norm, twice["encoder"].weighted_norm)


# Tables


@pytest.mark.parametrize("seed", range(5))
def test_a_row_of_the_table_is_a_cell_of_the_array(seed: int, analysis: Analysis) -> None:
    group = analysis["encoder"]
    n, random = group.data.sizes["target"], np.random.default_rng(seed)
    layer, head, target, source = (int(random.integers(k)) for k in (3, 4, n, n))
    heads, layers = analysis.to_dataframe("head"), analysis.to_dataframe()
    assert (len(heads), len(layers)) == (3 * 4 * n * n, 3 * n * n)
    place = {"layer": layer, "target": target, "source": source}
    (row,) = layers.query("layer == @layer and target == @target and source == @source").to_dict("records")
    assert row["norm"] == float(group.norm.isel(place))
    assert row["norm_residual"] == float(group.norm_residual.isel(place))
    assert row["norm_layernorm"] == float(group.norm_layernorm.isel(place))
    assert row["weight_mean"] == pytest.approx(float(group.weight.isel(place).mean()), rel=1e-6)
    assert row["source_token"] == str(group.data["source_token"].values[source])
    assert row["target_category"] == str(group.data["target_category"].values[target])
    assert row["group"] == "encoder"
    query = "layer == @layer and head == @head and target == @target and source == @source"
    (row,) = heads.query(query).to_dict("records")
    assert row["weight"] == float(group.weight.isel(head=head, **place))
    assert row["vector_norm"] == float(group.vector_norm.isel(layer=layer, head=head, source=source))
    assert row["weighted_norm"] == pytest.approx(row["weight"] * row["vector_norm"], rel=1e-6)


def test_tables_of_several_groups_are_one_table(lens_of, tokens) -> None:
    table = lens_of("marian").analyze(tokens(6), tokens(4, seed=1)).to_dataframe()
    assert table.groupby("group").size().to_dict() == {"encoder": 3 * 36, "decoder": 3 * 16, "cross": 3 * 24}


def test_parquet_holds_the_table(analysis: Analysis, tmp_path: Path) -> None:
    path = analysis.to_parquet(tmp_path / "table.parquet", "head")
    pd.testing.assert_frame_equal(pd.read_parquet(path), analysis.to_dataframe("head"))


def test_bad_levels_and_reduced_analyses_have_no_table(analysis: Analysis, reader: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match="'layer' or 'head'"):
        analysis.to_dataframe("token")
    reduced = reader.analyze(TEXT, reduce="sinks")
    with pytest.raises(InvalidInput, match="reduced"):
        reduced.to_dataframe()
    with pytest.raises(InvalidInput, match="reduced"):
        reduced.words()


def test_json_holds_every_number(analysis: Analysis, tmp_path: Path) -> None:
    text = analysis.to_json()
    path = analysis.to_json(tmp_path / "analysis.json")  # a path, not all numbers once more, at the end of a cell
    assert path == tmp_path / "analysis.json" and path.read_text(encoding="utf-8") == text
    read = json.loads(text)
    assert read["attrs"]["text"] == TEXT
    variables = read["groups"]["encoder"]["data_vars"]
    assert variables["weight"]["dims"] == ["layer", "head", "target", "source"]
    assert np.array_equal(np.array(variables["norm"]["data"], dtype=np.float32), analysis["encoder"].norm.values)
    ratio = np.array(variables["mixing_ratio_weight"]["data"], dtype=float)
    assert np.allclose(ratio, analysis["encoder"].mixing_ratio_weight.values, equal_nan=True)
    assert np.isnan(ratio[2]).all()
