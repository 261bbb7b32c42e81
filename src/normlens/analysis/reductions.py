"""Reductions for long inputs: summaries of a layer's maps that are kept in place of maps too large to keep.

A reduction takes one layer's maps for a slice of targets, with the dimensions of an analysis except the layer, and returns
a smaller dataset that still has the dimension ``target``, along which the slices are concatenated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from normlens.engine.tracing.scopes import NORM_VARIABLES, SHARE_VARIABLES
from normlens.errors import InvalidInput
from normlens.words import sources_by_category

Reduction = Callable[[xr.Dataset], xr.Dataset]
"""Takes one layer's maps for a slice of targets, and returns a smaller dataset with the dimension ``target``."""

_MAPS = ("weight", *NORM_VARIABLES, "displacement", "contribution_weight", *SHARE_VARIABLES)
_OF_HEADS = ("weight", "displacement", "contribution_weight")
_EDGES = 10


def named_reduction(reduce: str | Reduction | None) -> Reduction | None:
    """The reduction of that name, or the caller's own function, whose result is checked as it runs.

    Raises
    ------
    InvalidInput
        If no reduction has that name.
    """
    if reduce is None or callable(reduce):
        return reduce if reduce is None else _checked(reduce)
    if not isinstance(reduce, str) or reduce not in REDUCTIONS:
        raise InvalidInput(f"reduce is {reduce!r}; expected one of {', '.join(map(repr, REDUCTIONS))}, or a function.")
    return REDUCTIONS[reduce]


def category_sums(data: xr.Dataset) -> xr.Dataset:
    """What each target receives from each of `SOURCE_CATEGORIES`, ``(..., target, category)``, and in total, by every map.

    A special first token counts in both of its categories, so that these may sum to more than the total.
    """
    members, maps = sources_by_category(data["source_category"]), data[_present(data)]
    sums = [maps.isel(source=np.flatnonzero(chosen)).sum("source") for chosen in members.values()]
    summed = xr.concat(sums, dim=xr.Variable("category", list(members)))
    return _per_target(data).assign({f"{name}_sum": summed[name] for name in summed.data_vars} | _totals(maps))


def first_token(data: xr.Dataset) -> xr.Dataset:
    """What each target receives from the first token (attention sinks), and in total: weight, norm, any other map."""
    maps = data[_present(data)]
    first = maps.isel(source=0, drop=True)
    return _per_target(data).assign({f"{name}_first": first[name] for name in maps.data_vars} | _totals(maps))


def strongest_edges(data: xr.Dataset) -> xr.Dataset:
    """The ten strongest sources of each target by every measure, ``(target, rank)``: position and size.

    Measures of single heads are averaged over heads; contribution weights are ranked with their sign.
    """
    result = _per_target(data)
    for name, values in ((name, _over_heads(data[name])) for name in _present(data)):
        order = np.argsort(-values.values, axis=-1, kind="stable")[:, :_EDGES]
        result[f"{name}_edge_source"] = (("target", "rank"), order)
        result[f"{name}_edge"] = (("target", "rank"), np.take_along_axis(values.values, order, axis=-1))
    return result


def mean_maps(data: xr.Dataset) -> xr.Dataset:
    """Means over heads of α and other measures of single heads, and the maps of the sum over heads, ``(target, source)``."""
    means = {f"{name}_mean": _over_heads(data[name]) for name in _OF_HEADS if name in data}
    return data.drop_vars(list(_OF_HEADS), errors="ignore").assign(means).drop_dims("head", errors="ignore")


def _over_heads(values: xr.DataArray) -> xr.DataArray:
    return values.mean("head") if "head" in values.dims else values


def _totals(maps: xr.Dataset) -> dict[str, xr.DataArray]:
    return {f"{name}_total": x.sum("source") for name, x in maps.data_vars.items()}


def _present(data: xr.Dataset) -> list[str]:
    return [name for name in _MAPS if name in data]


def _per_target(data: xr.Dataset) -> xr.Dataset:
    """The measures per target, which every reduction keeps: mixing ratios, conservation errors, sinks."""
    return data.drop_vars([name for name, x in data.variables.items() if "source" in x.dims])


def _checked(reduce: Reduction) -> Reduction:
    def checked(data: xr.Dataset) -> xr.Dataset:
        result = reduce(data)
        if not isinstance(result, xr.Dataset) or result.sizes.get("target") != data.sizes["target"]:
            raise InvalidInput(
                f"The reduce function returned a {type(result).__name__} with dimensions "
                f"{dict(getattr(result, 'sizes', {}))}; expected an xarray.Dataset with all {data.sizes['target']} targets."
            )
        return result

    return checked


REDUCTIONS: dict[str, Reduction] = {
    "categories": category_sums,
    "sinks": first_token,
    "edges": strongest_edges,
    "mean": mean_maps,
}
