"""1 − Spearman between the maps before and behind each step of a block, by hand and by scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

import normlens
from normlens.errors import InvalidInput
from normlens.statistics import block_change, map_change

BEFORE = np.array([[1.0, 0.0, 0.0], [2.0, 5.0, 0.0], [3.0, 4.0, 6.0]])


def group(**maps: np.ndarray) -> xr.Dataset:
    dims = ("layer", "target", "source")
    return xr.Dataset({name: (dims, x[None]) for name, x in maps.items()}, coords={"layer": [0]})


def test_pairs_that_no_target_sees_are_left_out() -> None:
    after = np.array([[6.0, 0.0, 0.0], [5.0, 2.0, 0.0], [4.0, 3.0, 1.0]])  # the order of the six seen pairs, reversed
    assert float(map_change(BEFORE, after)) == pytest.approx(2.0)
    assert float(map_change(BEFORE, BEFORE**3)) == pytest.approx(0.0)


def test_maps_of_several_layers_are_compared_one_by_one() -> None:
    maps = np.random.default_rng(0).random((2, 3, 4, 5, 2))
    changes = map_change(maps[..., 0], maps[..., 1])
    assert changes.shape == (2, 3)
    assert changes[1, 2] == pytest.approx(
        1 - spearmanr(maps[1, 2, ..., 0].ravel(), maps[1, 2, ..., 1].ravel()).statistic
    )


def test_each_step_is_measured_from_the_one_before_it() -> None:
    maps = {
        "norm_residual": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "norm_layernorm": np.array([[1.0, 2.0], [4.0, 3.0]]),
        "norm_feedforward": np.array([[4.0, 3.0], [1.0, 2.0]]),
        "norm_feedforward_residual": np.array([[3.0, 4.0], [1.0, 2.0]]),
        "norm_block": np.array([[1.0, 2.0], [4.0, 3.0]]),
    }
    change = block_change(group(**maps)).sel(layer=0)
    # squared rank differences d² of four pairs: 1 − ρ = 6 Σd² / (4 · 15) = Σd² / 10
    expected = {"feedforward": 20 / 10, "residual": 2 / 10, "layernorm": 18 / 10, "block": 0.0}
    for step, value in expected.items():
        assert float(change.sel(step=step)) == pytest.approx(value), step
    del maps["norm_layernorm"]
    change = block_change(group(**maps)).sel(layer=0)
    assert float(change.sel(step="feedforward")) == pytest.approx(18 / 10)
    assert np.isnan(change.sel(step="layernorm"))


def test_an_analysis_of_a_post_norm_and_a_pre_norm_model(
    lens_of: Callable[..., normlens.Lens], tokens: Callable[..., list[int]]
) -> None:
    change = block_change(lens_of("bert").analyze(tokens(6), through="block")["encoder"].data)
    assert change.dims == ("step", "layer")
    assert bool(((change >= 0) & (change <= 2)).all())
    decoder = lens_of("llama").analyze(tokens(6), through="block")["decoder"].data
    change = block_change(decoder)
    assert bool(change.sel(step="layernorm").isnull().all())
    seen = np.tril_indices(6)
    after, before = decoder["norm_feedforward"].values[1][seen], decoder["norm_residual"].values[1][seen]
    assert float(change.sel(step="feedforward")[1]) == pytest.approx(1 - spearmanr(before, after).statistic)


def test_groups_without_these_maps_are_refused_with_the_reason(
    lens_of: Callable[..., normlens.Lens], tokens: Callable[..., list[int]]
) -> None:
    with pytest.raises(InvalidInput, match="through='block'"):
        block_change(lens_of("bert").analyze(tokens(6))["encoder"].data)
    with pytest.raises(InvalidInput, match="parallel"):
        block_change(lens_of("gpt_neox").analyze(tokens(6), through="block")["decoder"].data)
    with pytest.raises(InvalidInput, match=r"\(2, 2\) and \(3, 3\)"):
        map_change(np.ones((2, 2)), np.ones((3, 3)))
