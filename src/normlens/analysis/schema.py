"""What an analysis is made of: the arrays and labels that it must have, over which dimensions, and of which kind."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from normlens.engine.tracing.scopes import NORM_VARIABLES, OWN_VARIABLES
from normlens.errors import InvalidInput
from normlens.words import CATEGORIES, SOURCE_CATEGORIES

_MAP = ("layer", "head", "target", "source")
_SUM = ("layer", "target", "source")
_MEASURES: Mapping[str, tuple[str, ...]] = {
    "weight": _MAP,
    "weighted_norm": _MAP,
    "vector_norm": ("layer", "head", "source"),
    **dict.fromkeys(NORM_VARIABLES, _SUM),
    **dict.fromkeys(OWN_VARIABLES, ("layer", "target")),
    "sink_weight": ("layer", "head", "target"),
    "mixing_ratio": ("scope", "layer", "target"),
    "mixing_ratio_weight": ("scope", "layer", "target"),
    "conservation_error": ("scope", "layer", "target"),
}
_WITH_MAPS = ("weight", "vector_norm", "norm")
_NUMBERED, _TEXT, _FLOAT = "iu", "UO", "f"
_LABELS = {"token": _TEXT, "id": _NUMBERED, "word": _NUMBERED, "category": _TEXT, "start": _NUMBERED, "end": _NUMBERED}


def check_analysis(tree: xr.DataTree) -> None:
    """Refuse data that is no analysis, or lacks something that one has.

    Parameters
    ----------
    tree
        One group of arrays per kind of attention.

    Raises
    ------
    InvalidInput
        Naming the group, and what is missing or is of another kind than expected.
    """
    if not tree.children:
        raise InvalidInput("it holds no analysis, which has a group for each kind of attention.")
    for attribute, value in tree.attrs.items():
        if not isinstance(value, str | Real):  # NumPy's numbers are real numbers too
            raise InvalidInput(f"its attribute {attribute} is no text and no number.")
    for name in ("text", "target_text", "model"):
        if not isinstance(tree.attrs.get(name, ""), str):
            raise InvalidInput(f"its attribute {name} is no text.")
    for kind, group in tree.children.items():
        if group.children:
            raise InvalidInput(f"its group {kind} has groups inside; expected arrays alone.")
        _check_group(kind, group.to_dataset(), by_function=tree.attrs.get("reduce") == "function")


def require_maps(data: xr.Dataset, instead: str) -> None:
    """Refuse a group that a reduction left without whole maps.

    Parameters
    ----------
    data
        One kind of attention.
    instead
        What to do.

    Raises
    ------
    InvalidInput
        Saying so.
    """
    for variable in _WITH_MAPS:
        if variable not in data.variables or set(data[variable].dims) != set(_MEASURES[variable]):
            raise InvalidInput(f"This analysis was reduced and holds no maps ({variable} of them all); {instead}.")


def _check_group(name: str, data: xr.Dataset, *, by_function: bool) -> None:
    """One kind of attention: its layers, its positions, and what was measured, unless a user's function reduced that."""
    _require(name, data, "layer", ("layer",), _NUMBERED)
    _require(name, data, "layer_path", ("layer",), _TEXT)
    if np.any(np.diff(data["layer"].values.astype(np.int64)) <= 0):
        raise InvalidInput(f"in its group {name}, layers are out of order.")
    for variable, dimensions in _MEASURES.items():
        if variable in data.variables and not by_function:
            _require(name, data, variable, dimensions, _FLOAT)
    if "weight" in data.variables and not by_function:
        for variable in _WITH_MAPS:
            _require(name, data, variable, _MEASURES[variable], _FLOAT)
        _require(name, data, "head", ("head",), _NUMBERED)
    for side in ("target", "source"):
        if side in data.dims:
            _check_side(name, data, side)
    for key, array in data.variables.items():
        if array.dtype.kind not in "biufUO":
            raise InvalidInput(f"in its group {name}, {key} holds {array.dtype}; expected numbers or text.")
        if array.dtype.kind == "O" and not all(isinstance(value, str) for value in array.values.flat):
            raise InvalidInput(f"in its group {name}, {key} holds something other than text.")


def _check_side(name: str, data: xr.Dataset, side: str) -> None:
    """The labels of all targets, or of all sources."""
    if not data.sizes[side]:
        raise InvalidInput(f"in its group {name}, there is no {side}.")
    _require(name, data, side, (side,), _NUMBERED)
    for label, kinds in _LABELS.items():
        _require(name, data, f"{side}_{label}", (side,), kinds)
    unknown = set(data[f"{side}_category"].values.tolist()) - {*CATEGORIES, *SOURCE_CATEGORIES}
    if unknown:
        raise InvalidInput(
            f"in its group {name}, {side}_category holds {sorted(map(str, unknown))[0]!r}; expected one of "
            f"{', '.join(dict.fromkeys((*CATEGORIES, *SOURCE_CATEGORIES)))}."
        )


def _require(name: str, data: xr.Dataset, variable: str, dimensions: tuple[str, ...], kinds: str) -> None:
    """Refuse a group that lacks an array, or has it over other dimensions or of another kind."""
    if variable not in data.variables:
        raise InvalidInput(f"its group {name} lacks {variable}.")
    array: Any = data[variable]
    alike = sorted(array.dims) == sorted(dimensions) if "scope" in dimensions else array.dims == dimensions
    if not alike or array.dtype.kind not in kinds:
        expected = {_NUMBERED: "whole numbers", _TEXT: "text", _FLOAT: "numbers"}[kinds]
        raise InvalidInput(
            f"in its group {name}, {variable} has the dimensions ({', '.join(map(str, array.dims))}) of {array.dtype}; "
            f"expected ({', '.join(map(str, dimensions))}) of {expected}."
        )
