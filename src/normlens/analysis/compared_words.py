"""Two analyses of the same words: of two models, or of two texts with as many words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from normlens.errors import InvalidInput
from normlens.words import SPECIAL

if TYPE_CHECKING:
    from normlens.analysis.result import Analysis

_MEASURES = ("weight", "norm")


def compared_words(one: Analysis, other: Analysis, group: str | None, layer: int | None) -> xr.Dataset:
    """What each word takes from each other word in two analyses, and the difference.

    Parameters
    ----------
    one, other
        The analyses; sub-words are merged first.
    group
        The kind of attention; None for the first one of each.
    layer
        A layer of both; None for the mean over all layers of each.

    Returns
    -------
    xarray.Dataset
        ``weight`` and ``norm`` of the first, ``other_weight`` and ``other_norm`` of the second, ``weight_change`` and
        ``norm_change``, the second less the first, ``(target, source)``: see :meth:`Analysis.compare`.

    Raises
    ------
    InvalidInput
        If the numbers of words differ, or a group, a layer or a measure is missing.
    """
    sides = [_shares(analysis, group, layer) for analysis in (one, other)]
    counts = [tuple(maps["weight"].shape) for maps in sides]
    if counts[0] != counts[1]:
        raise InvalidInput(
            f"The analyses have {_counted(counts[0])} and {_counted(counts[1])}; expected as many words in both, special "
            "tokens aside. Compare two models on one text, or two texts that differ word by word."
        )
    first, second = sides
    labels: dict[str, Any] = {
        name: (dimension, column)
        for dimension in ("target", "source")
        for name, column in (
            (dimension, np.arange(first.sizes[dimension])),
            (f"{dimension}_token", first[f"{dimension}_token"].values),
            (f"{dimension}_category", first[f"{dimension}_category"].values),
            (f"other_{dimension}_token", second[f"{dimension}_token"].values),
        )
    }
    arrays: dict[str, Any] = {}
    for name in _MEASURES:
        mine, theirs = first[name].values, second[name].values
        arrays |= {
            name: (("target", "source"), mine, {"long_name": f"share of the {name}"}),
            f"other_{name}": (("target", "source"), theirs, {"long_name": f"share of the {name}"}),
            f"{name}_change": (
                ("target", "source"),
                theirs - mine,
                {"long_name": f"change of the share of the {name}"},
            ),
        }
    attrs = {
        f"{prefix}{name}": str(analysis.attrs.get(name, ""))
        for prefix, analysis in (("", one), ("other_", other))
        for name in ("model", "text")
    }
    return xr.Dataset(arrays, coords=labels, attrs={**attrs, "layer": "mean" if layer is None else layer})


def _shares(analysis: Analysis, group: str | None, layer: int | None) -> xr.Dataset:
    """Each measure as shares of its row, averaged over layers (and heads), without special tokens."""
    words = analysis.words()
    name = words.groups[0] if group is None else group
    if name not in words:
        raise InvalidInput(f"There is no group {name!r} in one of the analyses; it has {', '.join(words.groups)}.")
    data = words[name].data
    missing = [measure for measure in _MEASURES if measure not in data]
    if missing:
        raise InvalidInput(f"An analysis has no {missing[0]}; expected weight and norm. Analyze with these measures.")
    if layer is not None:
        numbers = data["layer"].values.tolist()
        if layer not in numbers:
            raise InvalidInput(f"There is no layer {layer} in one of the analyses; expected one of {numbers}.")
        data = data.sel(layer=[layer])
    ordinary = {side: np.flatnonzero(data[f"{side}_word"].values != SPECIAL) for side in ("target", "source")}
    maps = data[list(_MEASURES)]
    maps = (maps / maps.sum("source").where(lambda total: total > 0)).mean("layer")
    maps["weight"] = maps["weight"].mean("head")
    return maps.isel(ordinary).transpose(..., "target", "source")


def _counted(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} words" if len(set(shape)) == 1 else f"{shape[0]} target and {shape[1]} source words"
