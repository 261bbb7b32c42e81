"""One analysis as the explorer's page, with its data inside: a file that opens from disk in any browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from normlens.engine.tracing.scopes import SCOPES, norm_variable, share_variable
from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import Message, PackedArray, exact, half
from normlens.figures.explorer_page.embedded_page import bounded, embedded_page, map_name
from normlens.figures.explorer_page.group_overview import GroupLayout, GroupOverview, TokenFacts, token_facts
from normlens.figures.explorer_page.map_measures import measure_facts
from normlens.figures.groups import require
from normlens.words import joined_tokens, text_of

_FACTS = ("model", "revision", "dtype", "normlens", "torch", "text")
_OF_HEADS = ("displacement", "contribution_weight")


def html_view(tree: xr.DataTree, title: str) -> str:
    """Return the explorer's page with one analysis inside, which needs nothing but a browser.

    The page contains the numbers in half precision, its style and its script; it loads nothing, and its content security
    policy forbids loading. The address can preselect what is shown, as in ``page.html#layer=3&head=2&pin=5``.

    Parameters
    ----------
    tree
        An analysis: one group per kind of attention, each with `weight` ``(layer, head, target, source)``, `vector_norm`
        ``(layer, head, source)``, `norm` ``(layer, target, source)``, and any of `weighted_norm`, `displacement`,
        `contribution_weight`, the norms and contribution weights of further scopes
        (:mod:`normlens.engine.tracing.scopes`), `own_…` beside these, `sink_weight`; tokens and categories as coordinates.
    title
        Title of the page.

    Returns
    -------
    str
        The page, about 3.3 MB for a text of 64 tokens, 12 layers and 12 heads. At most 24 million numbers by target and
        source are inside; the page says which maps of a larger analysis are left out.

    Raises
    ------
    InvalidInput
        If there is no group, or a variable is missing.
    """
    groups = {str(name): node.to_dataset() for name, node in tree.children.items()}
    if not groups:
        raise InvalidInput(
            "The analysis has no kind of attention to show; expected 'encoder', 'decoder' or 'cross'. Pass the tree of an "
            "analysis."
        )
    for data in groups.values():
        require(data, "weight", "vector_norm", "norm", "target_token", "source_token")
    overviews = [_overview(name, data, tree.attrs) for name, data in groups.items()]
    messages, is_whole = bounded(_maps(groups))
    facts = {key: str(tree.attrs.get(key) or "") for key in _FACTS}
    overview = {
        **facts, "run": "file", "targetText": str(tree.attrs.get("target_text") or ""), "seconds": None,
        "isWhole": is_whole, "groups": [one.facts() for one in overviews],
    }  # fmt: skip
    thumbnails = {key: packed for one in overviews for key, packed in one.arrays().items()}
    return embedded_page({"overview": Message(overview, thumbnails), **messages}, title)


def _overview(name: str, data: xr.Dataset, attrs: Mapping[Any, Any]) -> GroupOverview:
    """Every head of a group as a point and as thumbnails."""
    sources, targets = (_tokens(data, side, text_of(attrs, name, side)) for side in ("source", "target"))
    heads = measure_facts()["headMeasures"]
    sums = measure_facts()["sumMeasures"]
    scopes = [scope for scope in SCOPES if norm_variable(scope) in data]
    has_shares = any(share_variable(scope) in data for scope in SCOPES)
    layout = GroupLayout(
        name,
        crossed=name == "cross" or "own_residual" in data or sources != targets,
        causal=data.attrs.get("kind") == "decoder",
        layers=data["layer"].values.tolist(),
        targets=targets,
        sources=sources,
        scopes=scopes,
        measures={
            "headMeasures": [one for one in heads if one["name"] not in _OF_HEADS or one["name"] in data],
            "sumMeasures": [one for one in sums if one["name"] == "norm" or has_shares],
        },
    )
    overview = GroupOverview(layout)
    for row, layer in enumerate(layout.layers):
        one = data.isel(layer=row)
        weight, vector_norm = (_heads(one, key) for key in ("weight", "vector_norm"))
        moved = _heads(one, "weighted_norm") if "weighted_norm" in data else None
        sink = _heads(one, "sink_weight") if "sink_weight" in data else None
        overview.add(layer, 0, weight, vector_norm, _pairs(one, "norm"), sink, moved)
    return overview


def _maps(groups: Mapping[str, xr.Dataset]) -> Iterator[tuple[str, Message]]:
    """The messages of all maps, layer by layer: all heads together, then each head; further measures come last."""
    layers = [(name, data.isel(layer=row)) for name, data in groups.items() for row in range(data.sizes["layer"])]
    for name, one in layers:
        yield _sums(name, one, "norm", norm_variable)
        yield from _head_maps(name, one, "vector_norm")
    for name, one in layers:
        if any(share_variable(scope) in one for scope in SCOPES):
            yield _sums(name, one, "contribution_weight", share_variable)
        for measure in _OF_HEADS:
            if measure in one:
                yield from _head_maps(name, one, measure)


def _sums(group: str, one: xr.Dataset, measure: str, variable: Callable[[str], str]) -> tuple[str, Message]:
    """The message of all heads of a layer together: the mean weight, and a measure at every scope."""
    packed = {"weight": half(_heads(one, "weight").mean(axis=0))}
    for scope in SCOPES:
        if variable(scope) in one:
            packed[f"{measure}/{scope}"] = half(_pairs(one, variable(scope)))
    return _message(group, one, None, measure, packed)


def _head_maps(group: str, one: xr.Dataset, measure: str) -> Iterator[tuple[str, Message]]:
    """The messages of a measure of each head of a layer; norms are a product of vector norms unless they are stored."""
    weights, values = _heads(one, "weight"), _heads(one, measure)
    stored = _heads(one, "weighted_norm") if measure == "vector_norm" and "weighted_norm" in one else None
    for head, weight in enumerate(weights):
        packed = {"weight": half(weight), measure: exact(values[head]) if values.ndim == 2 else half(values[head])}
        if stored is not None:
            packed["weighted_norm"] = half(stored[head])
        yield _message(group, one, head, measure, packed)


def _message(
    group: str, one: xr.Dataset, head: int | None, measure: str, arrays: Mapping[str, PackedArray]
) -> tuple[str, Message]:
    layer = int(one["layer"])
    return map_name(group, layer, head, measure), Message({"group": group, "layer": layer, "head": head}, arrays)


def _heads(one: xr.Dataset, key: str) -> np.ndarray:
    """An array by head; without the heads that other layers have and this one doesn't, which are NaN."""
    dims = [dim for dim in ("head", "target", "source") if dim in one[key].dims]
    values: np.ndarray = one[key].transpose(*dims).values
    weight = one["weight"].transpose("head", "target", "source").values
    there: np.ndarray = ~np.isnan(weight).all(axis=(1, 2))
    kept: np.ndarray = values[there]
    return kept


def _pairs(one: xr.Dataset, key: str) -> np.ndarray:
    values: np.ndarray = one[key].transpose("target", "source").values
    return values


def _tokens(data: xr.Dataset, side: str, text: str) -> TokenFacts:
    tokens = data[f"{side}_token"].values
    blank = np.full(len(tokens), "other")
    categories = data[f"{side}_category"].values.astype(str) if f"{side}_category" in data else blank
    joined = np.zeros(len(tokens), dtype=bool)
    if f"{side}_start" in data and f"{side}_end" in data:
        offsets = np.stack([data[f"{side}_start"].values, data[f"{side}_end"].values], axis=1)
        joined = joined_tokens(offsets, categories, text)
    return token_facts(tokens, categories, joined)
