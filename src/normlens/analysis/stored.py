"""Reading saved analyses from untrusted files.

HDF5 files can refer to other files, whose content would be read instead, and can declare far more numbers than they store.
So every object in a file is checked before any of its numbers is read.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from normlens.analysis.stored_json import read_json
from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason

_MOST_OBJECTS, _MOST_ATTRIBUTES = 10_000, 1_000
_MOST_BYTES, _MOST_TIMES = 1 << 26, 32  # data may be larger than its file: compressed, repeated, or fill values
_FILTERS = {
    h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_LZF,
}  # fmt: skip


def read_tree(path: str | Path) -> xr.DataTree:
    """Read all groups of a netCDF file, after checking its objects; or of JSON, by the suffix.

    Parameters
    ----------
    path
        Path of the file.

    Raises
    ------
    NormLensError
        If the file doesn't exist, is malformed, refers to other files, or declares more data than it could store.
    """
    path = Path(path)
    _require_file(path)
    try:
        if path.suffix.lower() == ".json":
            return read_json(path)
        with h5py.File(path, "r") as file:
            _check(file, path.stat().st_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities are either harmless or refused
            with xr.open_datatree(path, engine="h5netcdf", decode_times=False, decode_timedelta=False) as tree:
                return tree.load()
    except NormLensError as error:
        raise InvalidInput(f"{path} can't be read as an analysis: {error}") from error
    except Exception as error:  # on malformed bytes, the libraries raise errors of any class
        raise InvalidInput(
            f"{path} can't be read as an analysis ({type(error).__name__}: {error}). Expected a file of Analysis.save()."
        ) from error


def _require_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InvalidInput(f"{path} doesn't exist; expected a file of Analysis.save(). Check the path.") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} can't be read: {reason(error)}. Expected a file of Analysis.save().") from error
    if not stat.S_ISREG(mode):
        raise InvalidInput(f"{path} is not a regular file; expected a file of Analysis.save(). Check the path.")


def _check(file: h5py.File, size: int) -> None:
    """Refuse content that no analysis has: references to other files, cycles, or too much data."""
    addresses, numbers = {_address(file)}, 0
    if len(file.attrs) > _MOST_ATTRIBUTES:
        raise InvalidInput("it has more attributes than any analysis. Request a new copy of the file.")
    for name, member in _members(file):
        if _address(member) in addresses:
            raise InvalidInput(f"{name} also has another name in the file. Request a new copy of the file.")
        addresses.add(_address(member))
        if len(addresses) > _MOST_OBJECTS or len(member.attrs) > _MOST_ATTRIBUTES:
            raise InvalidInput(
                f"at {name}, it has more objects or attributes than any analysis. Request a new copy of the file."
            )
        if isinstance(member, h5py.Dataset):
            _check_dataset(name, member)
            numbers += prod(map(int, member.shape)) * member.dtype.itemsize
            if numbers > _MOST_BYTES + _MOST_TIMES * size:
                raise InvalidInput(
                    f"it declares more than {numbers:,} bytes of numbers, but has only {size:,} bytes itself. Request a new "
                    "copy of the file, without compression."
                )


def _members(group: h5py.Group, above: str = "") -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """All groups and datasets in a group, reached by hard links only."""
    for name in group:
        path = f"{above}/{name}"
        if type(group.get(name, getlink=True)) is not h5py.HardLink:
            raise InvalidInput(
                f"{path} is a link to another object or file, which is not followed. Request the data itself."
            )
        member = group[name]
        if not isinstance(member, h5py.Group | h5py.Dataset):
            raise InvalidInput(f"{path} is neither a group nor an array. Request a new copy of the file.")
        yield path, member
        if isinstance(member, h5py.Group):
            yield from _members(member, path)


def _check_dataset(name: str, data: h5py.Dataset) -> None:
    properties = data.id.get_create_plist()
    if data.shape is None:
        raise InvalidInput(f"{name} is empty. Request a new copy of the file.")
    if properties.get_external_count() or data.is_virtual:
        raise InvalidInput(
            f"the numbers of {name} are stored in another file, which is not read. Request a file that contains them."
        )
    filters = {properties.get_filter(k)[0] for k in range(properties.get_nfilters())}
    if not filters <= _FILTERS:
        raise InvalidInput(
            f"{name} is compressed by a plug-in (HDF5 filter {max(filters - _FILTERS)}). Request it without the plug-in."
        )
    text = h5py.check_string_dtype(data.dtype)
    if text is None and data.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} has dtype {data.dtype}; expected numbers or text. Request a new copy of the file.")
    if text is not None and text.length is None:
        _check_text(name, data)


def _check_text(name: str, data: h5py.Dataset) -> None:
    """Refuse text that is too long in total: many entries may refer to the same bytes."""
    length = 0
    for index in np.ndindex(data.shape):
        value: Any = data[index]
        length += len(value)
        if length > _MOST_BYTES:
            raise InvalidInput(f"{name} has more than {_MOST_BYTES:,} bytes of text. Request a new copy of the file.")


def _address(member: h5py.Group | h5py.Dataset) -> int:
    return int(h5py.h5o.get_info(member.id).addr)
