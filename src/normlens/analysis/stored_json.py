"""Labeled arrays as JSON, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from normlens.errors import InvalidInput

_MOST_BYTES = 1 << 30


def read_json(path: Path) -> xr.DataTree:
    """All groups of a file that :meth:`normlens.Analysis.to_json` wrote; numbers are float64, and null is NaN.

    Raises
    ------
    InvalidInput
        If it isn't JSON, or lacks groups, arrays or dimensions; it may still be no analysis.
    """
    whole = _parsed(path)
    groups = _part(whole, "groups", "the file")
    data = {f"/{name}": _dataset(str(name), group) for name, group in groups.items()}
    tree = xr.DataTree.from_dict(data)
    tree.attrs.update(_attrs(whole, "the file"))
    return tree


def read_array(path: Path) -> xr.DataArray:
    """One array with its coordinates and attributes, from a file that `array_text` wrote.

    It may also be an entry named "attribution" of a larger file.

    Raises
    ------
    InvalidInput
        If it isn't JSON, or lacks numbers, dimensions, coordinates or attributes.
    """
    whole = _parsed(path)
    if isinstance(whole, Mapping):
        if "methods" in whole:
            raise InvalidInput("it holds those of several methods. Write one of them: normlens attribute -o FILE.json.")
        whole = whole.get("attribution", whole)
    dims, values, attrs = _array("the array", whole)
    coords = {str(name): _array(str(name), one) for name, one in _part(whole, "coords", "the array").items()}
    for name, (over, numbers, _) in coords.items():
        wrong = [
            x
            for x, size in zip(over, numbers.shape, strict=True)
            if x not in dims or values.shape[dims.index(x)] != size
        ]
        if wrong:
            raise InvalidInput(f"the coordinate {name} doesn't fit the array along {', '.join(wrong)}.")
    named = whole.get("name")
    return xr.DataArray(values, coords, dims, str(named) if named else None, attrs)


def array_text(array: xr.DataArray) -> str:
    """An array with its coordinates and attributes as JSON, NaN as null."""
    return json.dumps(array_entries(array), ensure_ascii=False, allow_nan=False)


def array_entries(array: xr.DataArray) -> dict[str, Any]:
    """What `array_text` writes, as a dictionary: part of a larger file that `read_array` reads too."""
    return dict(plain(array.to_dict()))


def plain(value: Any) -> Any:
    """Nested lists and dictionaries with NaN as None, ready for JSON."""
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    if isinstance(value, list):
        return [plain(x) for x in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parsed(path: Path) -> Any:
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidInput(f"it has more than {_MOST_BYTES:,} bytes. Save large analyses as netCDF, with save().")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"it is no JSON ({error}).") from error


def _attrs(holder: Any, name: str) -> dict[str, Any]:
    return {str(key): np.nan if x is None else x for key, x in _part(holder, "attrs", name).items()}


def _dataset(name: str, group: Any) -> xr.Dataset:
    """One kind of attention."""
    arrays = {
        part: {str(key): _array(f"{name}/{key}", one) for key, one in _part(group, part, name).items()}
        for part in ("coords", "data_vars")
    }
    attrs = _part(group, "attrs", name)
    return xr.Dataset(arrays["data_vars"], coords=arrays["coords"], attrs=dict(attrs))


def _array(name: str, one: Any) -> tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]:
    dims, values = _entry(one, "dims", list, name), _entry(one, "data", object, name)
    array = np.asarray(values, dtype=object)
    if array.ndim != len(dims):
        raise InvalidInput(f"{name} has {array.ndim} dimensions of numbers, but names {len(dims)}.")
    entries = array.reshape(-1).tolist()
    if entries and all(isinstance(entry, str) for entry in entries):
        converted: NDArray[Any] = array.astype(str)
    elif all(isinstance(entry, bool) for entry in entries) and entries:
        converted = array.astype(bool)
    elif all(isinstance(entry, int) for entry in entries) and entries:
        converted = array.astype(np.int64)
    elif all(entry is None or isinstance(entry, int | float) for entry in entries):
        converted = array.astype(np.float64)  # null is NaN
    else:
        raise InvalidInput(f"{name} holds neither numbers nor texts alone.")
    return tuple(map(str, dims)), converted, _attrs(one, name)


def _part(holder: Any, key: str, name: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = _entry(holder, key, Mapping, name)
    return part


def _entry(holder: Any, key: str, kind: type, name: str) -> Any:
    if not isinstance(holder, Mapping) or not isinstance(holder.get(key), kind):
        raise InvalidInput(f"{name} has no {key}; expected what to_json() writes.")
    return holder[key]
