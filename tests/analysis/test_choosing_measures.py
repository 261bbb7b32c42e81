"""Measures that are asked for, and only these; and what readers of an analysis make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import normlens
from normlens.analysis import Analysis
from normlens.engine.contributions.choice import MEASURES, MeasureName
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, NORM_VARIABLES, SCOPES, share_variable
from normlens.errors import InvalidInput

MakeLens = Callable[..., normlens.Lens]
TEXT = "the unhappiness, here. the cat sat"
VARIABLES = {
    "weight": {"weight"},
    "vector_norm": {"vector_norm"},
    "weighted_norm": {"weight", "vector_norm"},
    "norm": set(NORM_VARIABLES[:3]),
    "mixing_ratio": {"mixing_ratio", "mixing_ratio_weight"},
    "displacement": {"displacement"},
    "contribution_weight": {"contribution_weight", *map(share_variable, ATTENTION_SCOPES)},
    "output_norm": {"output_norm"},
}


@pytest.fixture(scope="module")
def everything(reader: normlens.Lens) -> Analysis:
    return reader.analyze(TEXT, measures=MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_one_measure_alone_is_what_it_is_among_all(
    name: MeasureName, reader: normlens.Lens, everything: Analysis
) -> None:
    alone = reader.analyze(TEXT, measures=[name])["encoder"].data
    assert set(alone.data_vars) == VARIABLES[name] | {"conservation_error"}
    for variable in VARIABLES[name]:
        np.testing.assert_allclose(alone[variable], everything["encoder"].data[variable], rtol=1e-5, atol=1e-6)


def test_the_default_is_unchanged_by_what_can_be_added(reader: normlens.Lens, everything: Analysis) -> None:
    default = reader.analyze(TEXT)
    assert "measures" not in default.attrs
    assert (
        everything.attrs["measures"]
        == "weight, vector_norm, norm, mixing_ratio, displacement, contribution_weight, output_norm"
    )
    for variable in default["encoder"].data.data_vars:
        np.testing.assert_array_equal(default["encoder"].data[variable], everything["encoder"].data[variable])


def test_contribution_weights_of_words_still_add_up_to_one(everything: Analysis) -> None:
    words = everything.words()["encoder"]
    assert words.data.sizes["source"] < everything["encoder"].data.sizes["source"]
    for variable in VARIABLES["contribution_weight"]:
        np.testing.assert_allclose(words[variable].sum("source"), 1, atol=1e-5)
    assert float(words.displacement.min()) >= 0


def test_tables_have_a_column_for_each_measure(reader: normlens.Lens, everything: Analysis) -> None:
    heads, layers = everything.to_dataframe("head"), everything.to_dataframe()
    assert {"weight", "vector_norm", "weighted_norm", "displacement", "contribution_weight"} <= set(heads.columns)
    assert {"norm", "contribution_weight_residual", "weight_mean"} <= set(layers.columns)
    few = reader.analyze(TEXT, measures=["displacement"])
    assert "displacement" in few.to_dataframe("head").columns
    with pytest.raises(InvalidInput, match="has none of norm"):
        few.to_dataframe()


@pytest.mark.parametrize("measures", [["displacement"], ["weight"], MEASURES])
def test_chosen_measures_survive_a_file(measures: list[str], reader: normlens.Lens, tmp_path: Path) -> None:
    analysis = reader.analyze(TEXT, measures=measures)
    again = Analysis.load(analysis.save(tmp_path / "a.nc"))
    assert again["encoder"].data.identical(analysis["encoder"].data)
    assert again.attrs["measures"] == analysis.attrs["measures"]


@pytest.mark.parametrize("reduce", ["categories", "sinks", "edges", "mean"])
def test_reductions_keep_every_map_that_was_measured(reduce: str, reader: normlens.Lens, everything: Analysis) -> None:
    whole = everything["encoder"].data
    data = reader.analyze(TEXT, reduce=reduce, measures=["displacement", "contribution_weight"])["encoder"].data
    first, mean = whole["displacement"].isel(source=0), whole["displacement"].mean("head")
    if reduce == "sinks":
        np.testing.assert_allclose(data["displacement_first"], first, rtol=1e-5)
        np.testing.assert_allclose(data["contribution_weight_attention_total"], 1, rtol=1e-5)
    elif reduce == "edges":
        np.testing.assert_allclose(data["displacement_edge"][..., 0], mean.max("source"), rtol=1e-5)
    elif reduce == "mean":
        np.testing.assert_allclose(data["displacement_mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(data["contribution_weight_mean"].sum("source"), 1, rtol=1e-5)
    else:
        np.testing.assert_allclose(data["displacement_total"], whole["displacement"].sum("source"), rtol=1e-5)


def test_of_a_whole_block_too(lens_of: MakeLens, tokens: Callable[..., list[int]]) -> None:
    lens = lens_of("bert")
    data = lens.analyze(tokens(6), through="block", measures=["contribution_weight"])["encoder"].data
    for scope in SCOPES:
        np.testing.assert_allclose(data[share_variable(scope)].sum("source"), 1, atol=1e-5)
    assert not [name for name in data.data_vars if str(name).startswith("norm")]


def test_names_that_do_not_exist_are_refused(reader: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'displacement'"):
        reader.analyze(TEXT, measures=["displacment"])
    with pytest.raises(InvalidInput, match="measures is empty"):
        reader.analyze(TEXT, measures=[])
