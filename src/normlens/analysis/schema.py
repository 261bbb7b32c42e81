"""The schema of an analysis: its arrays and labels, with their dimensions and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from normlens.engine.tracing.scopes import NORM_VARIABLES, OWN_SHARE_VARIABLES, OWN_VARIABLES, SHARE_VARIABLES
from normlens.errors import InvalidInput
from normlens.words import CATEGORIES, SOURCE_CATEGORIES

DIMENSIONS: Mapping[str, tuple[str, ...]] = {
    "weight": ("head", "target", "source"),
    "weighted_norm": ("head", "target", "source"),
    "vector_norm": ("head", "source"),
    **dict.fromkeys(NORM_VARIABLES, ("target", "source")),
    **dict.fromkeys(OWN_VARIABLES, ("target",)),
    "sink_weight": ("head", "target"),
    "output_norm": ("head", "target"),
    "displacement": ("head", "target", "source"),
    "contribution_weight": ("head", "target", "source"),
    **dict.fromkeys(SHARE_VARIABLES, ("target", "source")),
    **dict.fromkeys(OWN_SHARE_VARIABLES, ("target",)),
    "mixing_ratio": ("target",),
    "mixing_ratio_weight": ("target",),
    "conservation_error": ("target",),
}
"""The dimensions of one layer's measures; those of `PER_SCOPE` have one array for each scope."""

PER_SCOPE = ("mixing_ratio", "mixing_ratio_weight", "conservation_error")
_MEASURES: Mapping[str, tuple[str, ...]] = {
    name: ("scope", "layer", *dims) if name in PER_SCOPE else ("layer", *dims) for name, dims in DIMENSIONS.items()
}
_WITH_MAPS = ("weight", "vector_norm", "norm")
HEAD_MAPS = ("weight", "weighted_norm", "displacement", "contribution_weight")
LAYER_MAPS = (*NORM_VARIABLES, *SHARE_VARIABLES)
"""What an analysis can hold of each pair of target and source: of every head, and of the sum over heads."""
_NUMBERED, _TEXT, _FLOAT = "iu", "UO", "f"
_LABELS = {"token": _TEXT, "id": _NUMBERED, "word": _NUMBERED, "category": _TEXT, "start": _NUMBERED, "end": _NUMBERED}


def check_analysis(tree: xr.DataTree) -> None:
    """Refuse data that isn't a complete analysis.

    Parameters
    ----------
    tree
        One group of arrays per kind of attention.

    Raises
    ------
    InvalidInput
        Naming the group, and what is missing or of the wrong type.
    """
    if not tree.children:
        raise InvalidInput("it has no groups, of which an analysis has one for each kind of attention.")
    for attribute, value in tree.attrs.items():
        if not isinstance(value, str | Real):  # NumPy's numbers are real numbers too
            raise InvalidInput(f"its attribute {attribute} is neither text nor a number.")
    for name in ("text", "target_text", "model"):
        if not isinstance(tree.attrs.get(name, ""), str):
            raise InvalidInput(f"its attribute {name} is not text.")
    for kind, group in tree.children.items():
        if group.children:
            raise InvalidInput(f"its group {kind} has subgroups; expected only arrays.")
        by_function = tree.attrs.get("reduce") == "function"
        _check_group(kind, group.to_dataset(), by_function=by_function, chosen="measures" in tree.attrs)


def maps_of(data: xr.Dataset, names: Sequence[str], instead: str) -> list[str]:
    """The variables of a group that hold a number for each pair of target and source.

    Parameters
    ----------
    data
        One kind of attention.
    names
        Which variables to look for.
    instead
        Advice for the message.

    Raises
    ------
    InvalidInput
        If none was measured, with the advice.
    """
    maps = [name for name in names if name in data.variables and set(data[name].dims) == set(_MEASURES[name])]
    if not maps:
        raise InvalidInput(
            f"This analysis has none of {', '.join(names)} for each pair of tokens, because other measures were chosen; "
            f"{instead}."
        )
    return maps


def _check_group(name: str, data: xr.Dataset, *, by_function: bool, chosen: bool) -> None:
    """Check one kind of attention: its layers, its positions, and its measures, unless a user's function reduced them.

    Weights come with norms, unless the caller chose the measures.
    """
    _require(name, data, "layer", ("layer",), _NUMBERED)
    _require(name, data, "layer_path", ("layer",), _TEXT)
    if np.any(np.diff(data["layer"].values.astype(np.int64)) <= 0):
        raise InvalidInput(f"in its group {name}, layers are out of order.")
    for variable, dimensions in _MEASURES.items():
        if variable in data.variables and not by_function:
            _require(name, data, variable, dimensions, _FLOAT)
    if "weight" in data.variables and not by_function:
        for variable in () if chosen else _WITH_MAPS:
            _require(name, data, variable, _MEASURES[variable], _FLOAT)
        _require(name, data, "head", ("head",), _NUMBERED)
    for side in ("target", "source"):
        if side in data.dims:
            _check_side(name, data, side)
    for key, array in data.variables.items():
        if array.dtype.kind not in "biufUO":
            raise InvalidInput(f"in its group {name}, {key} has dtype {array.dtype}; expected numbers or text.")
        if array.dtype.kind == "O" and not all(isinstance(value, str) for value in array.values.flat):
            raise InvalidInput(f"in its group {name}, {key} has values other than text.")


def _check_side(name: str, data: xr.Dataset, side: str) -> None:
    """Check the labels of all targets, or of all sources."""
    if not data.sizes[side]:
        raise InvalidInput(f"its group {name} has no {side}s.")
    _require(name, data, side, (side,), _NUMBERED)
    for label, kinds in _LABELS.items():
        _require(name, data, f"{side}_{label}", (side,), kinds)
    unknown = set(data[f"{side}_category"].values.tolist()) - {*CATEGORIES, *SOURCE_CATEGORIES}
    if unknown:
        raise InvalidInput(
            f"in its group {name}, {side}_category has the value {sorted(map(str, unknown))[0]!r}; expected one of "
            f"{', '.join(dict.fromkeys((*CATEGORIES, *SOURCE_CATEGORIES)))}."
        )


def _require(name: str, data: xr.Dataset, variable: str, dimensions: tuple[str, ...], kinds: str) -> None:
    """Refuse a group that lacks an array, or has it with the wrong dimensions or type."""
    if variable not in data.variables:
        raise InvalidInput(f"its group {name} lacks {variable}.")
    array: Any = data[variable]
    same_dimensions = sorted(array.dims) == sorted(dimensions) if "scope" in dimensions else array.dims == dimensions
    if not same_dimensions or array.dtype.kind not in kinds:
        expected = {_NUMBERED: "integers", _TEXT: "text", _FLOAT: "floating-point numbers"}[kinds]
        raise InvalidInput(
            f"in its group {name}, {variable} has the dimensions ({', '.join(map(str, array.dims))}) of {array.dtype}; "
            f"expected ({', '.join(map(str, dimensions))}) of {expected}."
        )
