"""One analysis as a self-contained HTML page, which opens from disk in any browser."""

import base64
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from normlens.engine.tracing.scopes import NORM_VARIABLES, OWN_VARIABLES, SCOPES, TEXTS, norm_variable
from normlens.errors import InvalidInput
from normlens.figures.groups import require
from normlens.figures.style import readable
from normlens.words import joined_tokens, text_of

MOST_NUMBERS = 24_000_000
_ARRAYS = (
    ("weight", ("layer", "head", "target", "source")),
    ("vector_norm", ("layer", "head", "source")),
    ("weighted_norm", ("layer", "head", "target", "source")),
    *((name, ("layer", "target", "source")) for name in NORM_VARIABLES),
    *((name, ("layer", "target")) for name in OWN_VARIABLES),
    ("sink_weight", ("layer", "head", "target")),
)
_FACTS = ("model", "revision", "dtype", "normlens")
_SCRIPTS = ("arrays.js", "colors.js", "matrix.js", "view.js", "page.js")
_HALF_RANGE = 32_768.0  # the largest number is stored as this: float16 then reaches 9 decades below it


def html_view(tree: xr.DataTree, title: str) -> str:
    """Return an interactive HTML page of one analysis that needs nothing but a browser.

    The page contains the numbers (about three significant digits), its style and its script; it loads nothing, and its
    content security policy forbids loading. The reader chooses a token, a layer, a head, a scope, and weight or norm.
    The address can preselect them, as in ``page.html#layer=3&head=all&measure=norm&token=5``.

    Parameters
    ----------
    tree
        An analysis: one group per kind of attention, each with `weight` ``(layer, head, target, source)``, `vector_norm`
        ``(layer, head, source)``, `norm` ``(layer, target, source)``, and any of `weighted_norm`, the norms of further
        scopes (:mod:`normlens.engine.tracing.scopes`), `own_…` beside these, `sink_weight`; tokens and categories as
        coordinates.
    title
        Heading of the page.

    Returns
    -------
    str
        The page, about 1.7 MB for a text of 64 tokens, 12 layers and 12 heads.

    Raises
    ------
    InvalidInput
        If there is no group, a variable is missing, or the analysis is too large for a page.
    """
    groups = {str(name): node.to_dataset() for name, node in tree.children.items()}
    if not groups:
        raise InvalidInput(
            "The analysis has no kind of attention to show; expected 'encoder', 'decoder' or 'cross'. Pass the tree of an "
            "analysis."
        )
    for data in groups.values():
        require(data, "weight", "vector_norm", "norm", "target_token", "source_token")
    numbers = sum(data[name].size for data in groups.values() for name in ("weight", "weighted_norm") if name in data)
    if numbers > MOST_NUMBERS:
        raise InvalidInput(
            f"The analysis has {numbers:,} numbers by head, target and source, more than the {MOST_NUMBERS:,} that a "
            "browser handles well. Select some layers first, as in data.sel(layer=[0, 5]), or analyze a shorter text."
        )
    facts = [(name, readable(str(tree.attrs[name]))) for name in _FACTS if str(tree.attrs.get(name) or "")]
    page = Environment(
        loader=PackageLoader("normlens.figures"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("view.html")
    return page.render(
        title=readable(title),
        facts=facts,
        style=_asset("view.css"),
        script=Markup("\n").join(_asset(name) for name in _SCRIPTS),
        payload={"scopes": _scopes(), "groups": [_group(name, data, tree.attrs) for name, data in groups.items()]},
    )


def pack(values: np.ndarray) -> dict[str, Any]:
    """Pack an array as base64 of little-endian float16, divided by a scale that depends on its largest number.

    Parameters
    ----------
    values
        Numbers of any shape; NaN stays NaN.

    Returns
    -------
    dict
        ``shape`` (list of int), ``scale`` (float), ``data`` (str): value = scale · float16, within 0.05 % down to a
        billionth of the largest.
    """
    numbers = np.asarray(values, dtype=np.float64)
    largest = float(np.max(np.abs(numbers), where=np.isfinite(numbers), initial=0.0))
    scale = largest / _HALF_RANGE or 1.0
    half = (numbers / scale).astype("<f2")
    return {"shape": list(numbers.shape), "scale": scale, "data": base64.b64encode(half.tobytes()).decode("ascii")}


def _scopes() -> list[dict[str, str]]:
    """Name, variable, label and formula of each scope, for the page."""
    return [
        {
            "name": name,
            "variable": norm_variable(name),
            "label": TEXTS[name].label,
            "formula": TEXTS[name].formula.format(own=" + x"),
        }
        for name in SCOPES
    ]


def _group(name: str, data: xr.Dataset, attrs: Mapping[Any, Any]) -> dict[str, Any]:
    sources, targets = (_tokens(data, side, text_of(attrs, name, side)) for side in ("source", "target"))
    return {
        "name": readable(name),
        "crossed": name == "cross" or "own_residual" in data or sources != targets,
        "layers": data["layer"].values.tolist(),
        "heads": data["head"].values.tolist(),
        "sources": sources,
        "targets": targets,
        "arrays": {key: pack(data[key].transpose(*dims).values) for key, dims in _ARRAYS if key in data},
    }


def _tokens(data: xr.Dataset, side: str, text: str) -> list[dict[str, Any]]:
    tokens = [str(token) for token in data[f"{side}_token"].values]
    blank = np.full(len(tokens), "other")
    categories = data[f"{side}_category"].values.astype(str) if f"{side}_category" in data else blank
    joined = np.zeros(len(tokens), dtype=bool)
    if f"{side}_start" in data and f"{side}_end" in data:
        offsets = np.stack([data[f"{side}_start"].values, data[f"{side}_end"].values], axis=1)
        joined = joined_tokens(offsets, categories, text)
    return [
        {"text": readable(token), "category": category, "joined": glued}
        for token, category, glued in zip(tokens, categories.tolist(), joined.tolist(), strict=True)
    ]


def _asset(name: str) -> Markup:
    """Return a style sheet or script of the package, which is trusted and must not be escaped."""
    return Markup(resources.files("normlens.figures").joinpath("templates", name).read_text(encoding="utf-8"))
