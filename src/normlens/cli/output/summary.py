"""Summaries of an analysis: shares by category of source, mixing ratios, strongest sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from normlens.cli.terminal import percent, printable
from normlens.engine.tracing.layer_numbers import listed
from normlens.engine.tracing.scopes import SCOPES, norm_variable
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.analysis import Group

Ranked = tuple[NDArray[np.integer], NDArray[np.floating], Callable[[float], str]]
"""Positions of the sources of each target, the strongest first; their sizes; and the format of a size."""

FIRST = "first token"
ELSEWHERE = "elsewhere"
"""Shares of no source: the weight of an attention sink, the target's own vector in cross-attention."""


@dataclass(frozen=True)
class Strongest:
    """The strongest sources of one target, as text.

    Attributes
    ----------
    target
        The target's token.
    by_weight, by_norm
        Tokens with their shares of what the target receives, the strongest first.
    differs
        Whether weight and norm rank different tokens first.
    """

    target: str
    by_weight: str
    by_norm: str
    differs: bool


def check_choice(group: Group, layer: int | None, head: int | None, scope: str) -> None:
    """Refuse a layer, head or scope that the analysis doesn't have.

    Raises
    ------
    InvalidInput
        Naming what it has.
    """
    if head is not None and "weight" not in group.data:
        raise InvalidInput("A reduced analysis keeps no single heads. Leave out --head or --reduce.")
    for name, chosen in (("layer", layer), ("head", head)):
        numbers: list[int] = group.data[name].values.tolist() if name in group.data.dims else []
        if chosen is not None and chosen not in numbers:
            present = f"{name}s {listed(numbers)}" if numbers else f"no {name}s after its reduction"
            raise InvalidInput(f"There is no {name} {chosen}: this analysis has {present}. Choose another.")
    if head is not None and scope != "attention":
        raise InvalidInput(
            f"The norm of a single head exists at scope attention only, not {scope}, since later scopes combine all heads. "
            "Leave out --head or --scope."
        )
    if not any(str(name).startswith(norm_variable(scope)) for name in group.data.data_vars):
        scopes = [name for name in SCOPES if norm_variable(name) in group.data]
        if not scopes:
            raise InvalidInput(f"This analysis keeps no norm of scope {scope}. Leave out --scope.")
        raise InvalidInput(f"This model has no scope {scope}; it has {', '.join(scopes)}. Choose one of these.")


def shares(group: Group, scope: str = "attention", head: int | None = None) -> xr.DataArray | None:
    """Share of weight and of norm that goes to each category of source, over all targets.

    Parameters
    ----------
    group
        One kind of attention.
    scope
        Scope of the norm.
    head
        Head: α and ‖α f(x)‖. Default: the mean of α over heads, and the norm of the sum over heads.

    Returns
    -------
    xarray.DataArray or None
        ``(measure, category, layer)``, without empty categories; None if a reduction kept no categories. A special first
        token is counted in both of its categories.
    """
    data = group.data
    variable = norm_variable(scope)
    if "weight_sum" in data:
        sums = _of_measures(data["weight_sum"].mean("head"), data[f"{variable}_sum"], "target")
        total = _totals(data, variable) + _elsewhere(data, scope)
    elif "weight_first" in data:
        first = _of_measures(data["weight_first"].mean("head"), data[f"{variable}_first"], "target")
        sums, total = first.expand_dims(category=[FIRST]), _totals(data, variable) + _elsewhere(data, scope)
    elif {"target", "source"} <= set(data[variable].dims if variable in data else ()):
        received = _of_measures(*_maps(group, scope, head), "target")
        sums, total = _by_category(received, data), received.sum("source") + _elsewhere(data, scope, head)
    else:
        return None
    elsewhere = (_elsewhere(data, scope, head) + xr.zeros_like(total)).expand_dims(category=[ELSEWHERE])
    by_category = xr.concat([sums, elsewhere], "category", coords="minimal", compat="override") / total
    by_category = by_category.transpose("measure", "category", "layer")
    return by_category.isel(category=(by_category > 0).any(["measure", "layer"]).values)


def mixing(group: Group) -> dict[str, xr.DataArray]:
    """Mean mixing ratios over targets, ``(scope, layer)``, under "weight" and "norm" where measured."""
    names = {"weight": "mixing_ratio_weight", "norm": "mixing_ratio"}
    return {measure: group.data[name].mean("target") for measure, name in names.items() if name in group.data}


def widest_gap(by_category: xr.DataArray | None) -> int:
    """The layer in which weights and norms differ most in the share of any category; 0 without shares."""
    if by_category is None:
        return 0
    gaps = abs(by_category.sel(measure="weight") - by_category.sel(measure="norm")).max("category").fillna(-1.0)
    return int(gaps["layer"].values[int(np.argmax(gaps.values))])


def strongest(
    group: Group, layer: int, scope: str = "attention", head: int | None = None, *, count: int = 3
) -> list[Strongest]:
    """The strongest sources of each target in one layer, by weight and by norm.

    Parameters
    ----------
    group
        One kind of attention.
    layer, scope, head
        As in :func:`shares`.
    count
        Largest number of sources per target.

    Returns
    -------
    list of Strongest
        One per target; empty if a reduction kept no sources.
    """
    data = group.data
    targets = _readable(data["target_token"])
    tokens = _readable(data["source_token"]) if "source_token" in data.coords else targets
    if "norm_edge" in data:
        ranked = _kept_edges(data.sel(layer=layer), norm_variable(scope))
    elif {"target", "source"} <= set(data[norm_variable(scope)].dims if norm_variable(scope) in data else ()):
        ranked = _ranked(group, layer, scope, head)
    else:
        return []
    rows = []
    for place, target in enumerate(targets):
        by_weight, by_norm = (
            "  ".join(f"{tokens[source]} {write(size)}" for source, size in _few(order[place], sizes[place], count))
            for order, sizes, write in ranked
        )
        rows.append(Strongest(target, by_weight, by_norm, bool(ranked[0][0][place, 0] != ranked[1][0][place, 0])))
    return rows


def _readable(tokens: xr.DataArray) -> list[str]:
    """Tokens without control characters and line breaks."""
    return [printable(str(token).strip()) or "␣" for token in tokens.values]


def _kept_edges(edges: xr.Dataset, norm: str) -> list[Ranked]:
    """The edges that the reduction "edges" kept; norms are in the model's units, since their totals are gone."""
    written: dict[str, Callable[[float], str]] = {"weight": percent, norm: "{:.2f}".format}
    return [
        (edges[f"{name}_edge_source"].values.astype(int), edges[f"{name}_edge"].values, write)
        for name, write in written.items()
    ]


def _ranked(group: Group, layer: int, scope: str, head: int | None) -> list[Ranked]:
    """Sources by weight and by norm, as shares of what each target receives."""
    weight, norm = (x.sel(layer=layer).transpose("target", "source").values for x in _maps(group, scope, head))
    with np.errstate(divide="ignore", invalid="ignore"):
        norm = norm / norm.sum(axis=-1, keepdims=True)
    orders = [np.argsort(-x, axis=-1, kind="stable") for x in (weight, norm)]
    sizes = [np.take_along_axis(x, order, axis=-1) for x, order in zip((weight, norm), orders, strict=True)]
    return [(order, size, percent) for order, size in zip(orders, sizes, strict=True)]


def _few(order: np.ndarray, sizes: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The first few positions with a size above zero."""
    pairs = zip(order.tolist(), sizes.tolist(), strict=True)
    return [(place, size) for place, size in pairs if size > 0][:count]


def _maps(group: Group, scope: str, head: int | None) -> tuple[xr.DataArray, xr.DataArray]:
    """Weights and norms ``(layer, target, source)``, of one head or of all."""
    if head is not None:
        return group.weight.sel(head=head), group.weighted_norm.sel(head=head)
    weight = group.data["weight_mean"] if "weight_mean" in group.data else group.weight.mean("head")
    return weight, group.data[norm_variable(scope)]


def _by_category(received: xr.DataArray, data: xr.Dataset) -> xr.DataArray:
    """Sums ``(measure, category, layer)`` of ``(measure, layer, source)``."""
    from normlens.words import sources_by_category

    categories = sources_by_category(data["source_category"])
    sums = [received.isel(source=np.flatnonzero(chosen)).sum("source") for chosen in categories.values()]
    return xr.concat(sums, xr.Variable("category", list(categories)), coords="minimal", compat="override")


def _totals(data: xr.Dataset, variable: str) -> xr.DataArray:
    """The totals over all sources that a reduction kept, ``(measure, layer)``."""
    return _of_measures(data["weight_total"].mean("head"), data[f"{variable}_total"], "target")


def _elsewhere(data: xr.Dataset, scope: str, head: int | None = None) -> xr.DataArray:
    """Shares of no source, ``(measure, layer)``: 0 without sinks and own vectors."""
    zero = xr.zeros_like(data["layer"], dtype=float)
    sink, own = zero, zero
    if "sink_weight" in data:
        sink = (
            data["sink_weight"].mean(["head", "target"])
            if head is None
            else data["sink_weight"].sel(head=head).mean("target")
        )
    if f"own_{scope}" in data:
        own = data[f"own_{scope}"].mean("target")
    return _of_measures(sink, own)


def _of_measures(weight: xr.DataArray, norm: xr.DataArray, averaged: str | None = None) -> xr.DataArray:
    """Stack weight and norm along a dimension ``measure``, after averaging over a dimension."""
    pair = [x.drop_vars([c for c in x.coords if c not in x.dims]) for x in (weight, norm)]
    pair = [x.mean(averaged) if averaged else x for x in pair]
    return xr.concat(pair, xr.Variable("measure", ["weight", "norm"]), coords="minimal", compat="override")
