"""Attributions are arrays that say in three lines what is in them and what to call next."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from architectures import tiny
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.attribution import Attribution, VectorNorm
from normlens.attribution.arrays import shares
from normlens.errors import InvalidInput
from normlens.inputs.grid_labels import number_positions
from normlens.words import merge_shares

TEXT = "the cat sat here."


@pytest.fixture(scope="module")
def lens(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    return normlens.load((tiny.build("bert"), tokenizer))


def test_shares_say_the_target_the_largest_and_what_is_left(lens: normlens.Lens) -> None:
    result = lens.attribute(TEXT, target=VectorNorm(), position=0)
    first, second, third = repr(result).splitlines()
    assert first == f"<Attribution of {TEXT!r} by {lens.name}: decompx>"
    order = np.argsort(-np.abs(result.values))[:3]
    largest = ", ".join(f"{str(result['source_token'].values[k])!r} {result.values[k]:.4g}" for k in order)
    value, bias = result.attrs["value"], result.attrs["bias_share"]
    assert second == (
        f"Target: {result.attrs['target']}, {value:.4g}. Shares of 7 sources: {largest}, …; bias share {bias:.4g}"
    )
    assert third == "Next: .to_series(), figures.highlights([…]), .words(), .spans(…), .attrs, .values"


def test_shares_known_by_hand() -> None:
    tokens = number_positions(2)
    array = shares(
        [0.25, -2.0], [("source", tokens)], {"method": "decompx", "target": "f", "value": 1, "bias_share": 2.75}
    )
    assert repr(array).splitlines()[1] == "Target: f, 1. Shares of 2 sources: '1' -2, '0' 0.25; bias share 2.75"


@pytest.mark.parametrize(
    ("options", "sizes", "following"),
    [
        ({}, "Map: 7 targets × 7 sources", "Next: .sel(target=…).to_series(), figures.highlights([…])"),
        (
            {"layers": "each"},
            "Map: 3 layers × 7 targets × 7 sources",
            "Next: .sel(layer=…, target=…).to_series(), .words(), .attrs",
        ),
    ],
)
def test_maps_say_their_scope_and_sizes(
    lens: normlens.Lens, options: dict[str, Any], sizes: str, following: str
) -> None:
    result = lens.attribute(TEXT, method="norm_rollout", scope="layernorm", **options)
    first, second, third = repr(result).splitlines()
    assert first.endswith(": norm_rollout, scope 'layernorm'>")
    assert second == sizes
    assert third.startswith(following)
    assert repr(result.isel(target=0)).splitlines()[1].startswith("Map: ")


def test_a_notebook_shows_the_lines_over_the_array(lens: normlens.Lens) -> None:
    page = lens.attribute("the <b>cat</b>", method="rollout")._repr_html_()
    assert page.startswith("<p>&lt;Attribution of &#x27;the &lt;b&gt;cat&lt;/b&gt;&#x27;")
    assert "<br>Next: " in page and "xr-wrap" in page
    assert page.count("<iframe srcdoc=") == 1 and page.count("</iframe>") == 1
    frame = page.partition('srcdoc="')[2].partition('"')[0]
    assert "<" not in frame and "&lt;!doctype html&gt;" in frame.lower()  # whole, and escaped
    assert "<iframe" not in lens.attribute(TEXT, vectors=True)._repr_html_()


def test_json_is_read_back_as_it_was(lens: normlens.Lens, tmp_path: Path) -> None:
    for number, options in enumerate([{"target": VectorNorm(), "position": 0}, {"method": "rollout"}]):
        result = lens.attribute(TEXT, **options)
        again = Attribution.from_json(result.to_json(tmp_path / f"{number}.json"))
        assert again.identical(result) and again.dtype == np.float64
        assert repr(again) == repr(result) and merge_shares(again).identical(merge_shares(result))


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "it is no JSON"),
        ("[]", "has no dims"),
        ('{"dims": ["source"], "data": [1.0], "attrs": {}, "coords": {}}', "it has no sources or no method"),
        (
            '{"dims": ["source"], "data": [[1.0]], "attrs": {}, "coords": {}}',
            "has 2 dimensions of numbers, but names 1",
        ),
        (
            '{"dims": ["source"], "data": [1.0, 2.0], "attrs": {}, '
            '"coords": {"x": {"dims": ["source"], "data": [1], "attrs": {}}}}',
            "the coordinate x doesn't fit the array along source",
        ),
    ],
)
def test_other_json_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InvalidInput, match=f"x.json can't be read as an attribution: .*{said}"):
        Attribution.from_json(tmp_path / "x.json")
    with pytest.raises(InvalidInput, match="No such file"):
        Attribution.from_json(tmp_path / "absent.json")


def test_results_stay_arrays(lens: normlens.Lens) -> None:
    result = lens.attribute(TEXT, target=VectorNorm(), position=0)
    assert isinstance(result, Attribution) and isinstance(result, xr.DataArray)
    again = pickle.loads(pickle.dumps(result))
    assert again.identical(result) and repr(again) == repr(result)
    assert repr(merge_shares(result)).startswith("<Attribution of")
    for array in (result.sum("source"), result.isel(source=1), result.drop_attrs()):
        assert repr(array).startswith("<xarray.")
