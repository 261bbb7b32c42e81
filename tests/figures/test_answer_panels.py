"""Pictures of whole answers: cells, labels, the line between prompt and answer, bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.colors import to_hex

from normlens import figures
from normlens.errors import InvalidInput
from normlens.figures.style import FAINT, NORM_COLOR, WEIGHT_COLOR

SHARES = np.array([[1.0, -2.0, 0.0], [0.5, 0.25, 4.0]])


def answer() -> xr.DataArray:
    """Two words of an answer by two words of the prompt and one of the answer."""
    coords: dict[str, Any] = {
        "target_token": ("target", ["yes", "no$x_{"]), "target_probability": ("target", [0.5, 0.0004]),
        "target_value": ("target", [-0.7, -7.8]), "source_token": ("source", ["is", "it", "yes"]),
        "source_role": ("source", ["prompt", "prompt", "answer"]), "source_category": ("source", ["other"] * 3),
    }  # fmt: skip
    return xr.DataArray(SHARES, dims=("target", "source"), coords=coords, attrs={"score": "logprob"}, name="share")


def test_the_map_shows_each_share_and_each_probability() -> None:
    axes = figures.answer_map(answer())
    [mesh] = [one for one in axes.collections if one.get_array() is not None]
    assert np.array_equal(np.asarray(mesh.get_array()).reshape(2, 3), SHARES)
    assert mesh.get_clim() == (-4.0, 4.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["yes  50%", "no$x_{  <0.1%"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["is", "it", "yes"]
    assert [line.get_xdata()[0] for line in axes.lines] == [2.0]
    assert sorted(float(text.get_text().replace("−", "-")) for text in axes.texts) == sorted(SHARES.ravel())
    _, own = pyplot.subplots()
    assert figures.answer_map(answer().transpose("source", "target"), ax=own) is own
    pyplot.close("all")


def test_bars_add_up_the_answers_words() -> None:
    axes = figures.source_bars(answer())
    assert [bar.get_width() for bar in axes.patches] == [1.5, -1.75, 4.0]
    colors = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert colors == [WEIGHT_COLOR, NORM_COLOR, WEIGHT_COLOR]
    passages = answer().sum("target").assign_attrs(units="spans")
    passages["source_category"] = ("source", ["other", "other", "special"])
    rest = figures.source_bars(passages, most=2)
    assert [bar.get_width() for bar in rest.patches] == [-1.75, 4.0]
    assert to_hex(rest.patches[1].get_facecolor()).upper() == FAINT


def test_arrays_without_an_answer_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no probabilities of an answer's words"):
        figures.answer_map(answer().drop_vars("target_probability"))
    with pytest.raises(InvalidInput, match="Shares of sources"):
        figures.source_bars(xr.DataArray(np.ones(2), dims="layer"))
