"""Reading the JSON of an analysis back as labeled arrays."""

from __future__ import annotations

import json
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
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidInput(f"it has more than {_MOST_BYTES:,} bytes. Save large analyses as netCDF, with save().")
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"it is no JSON ({error}).") from error
    groups = _part(whole, "groups", "the file")
    data = {f"/{name}": _dataset(str(name), group) for name, group in groups.items()}
    tree = xr.DataTree.from_dict(data)
    tree.attrs.update({name: np.nan if x is None else x for name, x in _part(whole, "attrs", "the file").items()})
    return tree


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
    return tuple(map(str, dims)), converted, dict(_part(one, "attrs", name))


def _part(holder: Any, key: str, name: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = _entry(holder, key, Mapping, name)
    return part


def _entry(holder: Any, key: str, kind: type, name: str) -> Any:
    if not isinstance(holder, Mapping) or not isinstance(holder.get(key), kind):
        raise InvalidInput(f"{name} has no {key}; expected what Analysis.to_json() writes.")
    return holder[key]
