"""Reductions: the same sums as over the whole maps, whether or not these are ever made."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import normlens
from normlens.analysis import Group
from normlens.errors import InvalidInput
from normlens.reducing import REDUCTIONS, named_reduction

TEXT = "the unhappiness, here. the cat sat, the dog ran"
LONG = ("weight", "norm", "norm_residual", "norm_layernorm")


@pytest.fixture(scope="module")
def whole(reader: normlens.Lens) -> Group:
    return reader.analyze(TEXT)["encoder"]


@pytest.fixture(scope="module", params=[None, 1, 4], ids=["at once", "one target", "four targets"])
def chunk_size(request: pytest.FixtureRequest) -> int | None:
    return request.param


def reduced(reader: normlens.Lens, how: object, chunk_size: int | None) -> xr.Dataset:
    return reader.analyze(TEXT, reduce=how, chunk_size=chunk_size)["encoder"].data


def close(found: xr.DataArray, expected: xr.DataArray) -> bool:
    return np.allclose(found.transpose(*expected.dims).values, expected.values, atol=2e-5)


def test_category_sums(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "categories", chunk_size)
    categories = whole.data["source_category"].values
    for name in LONG:
        for category in ("special", "punctuation", "other"):
            expected = whole.data[name].isel(source=np.flatnonzero(categories == category)).sum("source")
            assert close(data[f"{name}_sum"].sel(category=category), expected), (name, category)
    assert not set(LONG) & set(data.data_vars)
    assert "source" not in data.dims


def test_what_the_first_token_gets(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "sinks", chunk_size)
    for name in LONG:
        assert close(data[f"{name}_first"], whole.data[name].isel(source=0))
        assert close(data[f"{name}_total"], whole.data[name].sum("source"))
    assert "source" not in data.dims


def test_strongest_edges(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "edges", chunk_size)
    n = whole.data.sizes["source"]
    for name, values in {"norm": whole.norm, "weight": whole.weight.mean("head")}.items():
        ranked = -np.sort(-values.values, axis=-1)[..., :10]
        assert n > 10 and np.allclose(data[f"{name}_edge"].values, ranked, atol=2e-5)
        where = data[f"{name}_edge_source"].values.astype(int)
        assert np.allclose(np.take_along_axis(values.values, where, -1), ranked, atol=2e-5)
    assert data.sizes["rank"] == 10 and "source" not in data.dims


def test_mean_maps(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    data = reduced(reader, "mean", chunk_size)
    assert close(data["weight_mean"], whole.weight.mean("head"))
    assert close(data["norm"], whole.norm) and close(data["norm_layernorm"], whole.norm_layernorm)
    assert "head" not in data.dims


@pytest.mark.parametrize("how", sorted(REDUCTIONS))
def test_what_belongs_to_a_target_is_kept(
    how: str, reader: normlens.Lens, whole: Group, chunk_size: int | None
) -> None:
    data = reduced(reader, how, chunk_size)
    assert close(data["mixing_ratio"], whole.mixing_ratio.transpose(*data["mixing_ratio"].dims))
    assert float(data["conservation_error"].max()) <= 1e-5
    for name in ("target_token", "target_word", "target_category", "layer_path"):
        assert data[name].values.tolist() == whole.data[name].values.tolist()
    assert data["layer"].values.tolist() == [0, 1, 2]


def test_the_caller_s_own_function(reader: normlens.Lens, whole: Group, chunk_size: int | None) -> None:
    def previous(data: xr.Dataset) -> xr.Dataset:
        before = np.maximum(data["target"].values - 1, 0)
        return xr.Dataset({"previous": data["weight"].isel(source=xr.DataArray(before, dims="target"))})

    data = reduced(reader, previous, chunk_size)
    expected = np.stack([whole.weight.values[..., i, max(i - 1, 0)] for i in range(whole.data.sizes["target"])], -1)
    found = data["previous"].transpose("layer", "head", "target").values
    assert np.allclose(found, expected, atol=2e-5)


def test_a_number_without_a_target_is_refused(reader: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match=r"'largest'.*expected 'target' among them"):
        reader.analyze(TEXT, reduce=lambda data: data[["norm"]].assign(largest=data["norm"].max()))


def test_a_padded_batch_is_reduced_text_by_text(reader: normlens.Lens) -> None:
    texts = [TEXT, "the cat sat", "here, here."]
    for how in sorted(REDUCTIONS):
        for text, found in zip(texts, reader.analyze(texts, reduce=how, progress=False), strict=True):
            alone = reader.analyze(text, reduce=how)["encoder"].data
            xr.testing.assert_allclose(alone, found["encoder"].data, atol=2e-5)


def test_only_reductions_are_taken() -> None:
    assert named_reduction(None) is None
    with pytest.raises(InvalidInput, match="categories, sinks, edges, mean"):
        named_reduction("maximum")
    with pytest.raises(InvalidInput, match="keeps the 3 targets"):
        checked = named_reduction(lambda data: data.isel(target=[0]))
        assert checked is not None
        checked(xr.Dataset({"weight": ("target", [1.0, 2.0, 3.0])}))
