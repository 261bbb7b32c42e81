"""Maps over a picture: each patch's number stands where the patch is."""

import numpy as np
import pytest
import xarray as xr

from normlens.errors import InvalidInput
from normlens.figures import patch_maps
from normlens.figures.patches import patch_grid

LABELS = ["<s>", "image 1: 0,0", "image 1: 0,1", "image 2: 0,0", "image 2: 1,0", "a", "3"]


def group(labels: list[str]) -> xr.Dataset:
    n = len(labels)
    weight = np.arange(2 * 1 * 2 * n, dtype=float).reshape(2, 1, 2, n)
    return xr.Dataset(
        {
            "weight": (("layer", "head", "target", "source"), weight),
            "norm": (("layer", "target", "source"), 100 + weight[:, 0]),
        },
        {
            "layer": [0, 1], "head": [0],
            "source_token": ("source", labels), "target_token": ("target", ["x", "y"]),
            "source_category": ("source", ["other"] * n),
        },
    )  # fmt: skip


def test_numbers_stand_where_the_patches_are() -> None:
    row = xr.DataArray([1.0, 2, 3, 4, 5, 6, 7], dims="source")
    np.testing.assert_array_equal(patch_grid(row, np.asarray(LABELS)), [[2, 3]])
    np.testing.assert_array_equal(patch_grid(row, np.asarray(LABELS), 2), [[4], [5]])
    merged = np.asarray(["0,0", "0,1", "1,0", "1,1", "0,2", "1,3", "[CLS]"])  # the order of Qwen2-VL
    np.testing.assert_array_equal(patch_grid(row, merged), [[1, 2, 5, np.nan], [3, 4, np.nan, 6]])


@pytest.mark.parametrize("picture", [None, np.zeros((8, 16, 3)), np.zeros((8, 16))])
def test_both_panels_show_one_target(picture: np.ndarray | None) -> None:
    weight, norm = patch_maps(group(LABELS), 1, 1, picture=picture)
    shown = np.asarray(weight.collections[0].get_array())
    np.testing.assert_array_equal(shown.reshape(1, 2), [[22, 23]])
    np.testing.assert_array_equal(np.asarray(norm.collections[0].get_array()).reshape(1, 2), [[122, 123]])
    assert f"{(22 + 23) / sum(range(21, 28)):.0%} of all sources" in weight.get_title()
    assert len(weight.images) == (picture is not None)
    assert weight.yaxis_inverted()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": 2}, "from 0 to 1"), ({"target": True}, "from 0 to 1"), ({"layer": 5}, "no layer 5"),
        ({"image": 3}, "patch of image 3"), ({"scope": "block"}, "No norm of scope 'block'"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        patch_maps(group(LABELS), **{"layer": 0, "target": 0, **asked})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="No source is a patch"):
        patch_maps(group(["a", "b", "c"]), 0, 0)
