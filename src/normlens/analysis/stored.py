"""Saved analyses read back from files that may come from anywhere.

HDF5 can name other files, whose content would be read in their place, and can describe far more numbers than it holds. So
every object in a file is looked at before one of its numbers is read.
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

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason

_MOST_OBJECTS, _MOST_ATTRIBUTES = 10_000, 1_000
_MOST_BYTES, _MOST_TIMES = 1 << 26, 32  # beyond what the file holds: compressed, repeated, or left out
_FILTERS = {
    h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_LZF,
}  # fmt: skip


def read_tree(path: str | Path) -> xr.DataTree:
    """Read all groups of a netCDF file, after a look at what it is made of.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    NormLensError
        If there is no such file, it is malformed, refers to other files, or describes more than it could hold.
    """
    path = Path(path)
    _require_file(path)
    try:
        with h5py.File(path, "r") as file:
            _check(file, path.stat().st_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd about it either does no harm or is refused
            with xr.open_datatree(path, engine="h5netcdf", decode_times=False, decode_timedelta=False) as tree:
                return tree.load()
    except NormLensError as error:
        raise InvalidInput(f"{path} can't be read as an analysis: {error}") from error
    except Exception as error:  # whatever the libraries make of malformed bytes
        raise InvalidInput(
            f"{path} can't be read as an analysis ({type(error).__name__}: {error}). Expected a file of Analysis.save()."
        ) from error


def _require_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {path}; expected one that Analysis.save() wrote.") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} can't be read: {reason(error)}. Expected a file of Analysis.save().") from error
    if not stat.S_ISREG(mode):
        raise InvalidInput(f"{path} is no file; expected one that Analysis.save() wrote.")


def _check(file: h5py.File, size: int) -> None:
    """Refuse what an analysis isn't made of: anything outside of the file, cycles, too much."""
    addresses, numbers = {_address(file)}, 0
    if len(file.attrs) > _MOST_ATTRIBUTES:
        raise InvalidInput("it has more attributes than an analysis could have. Ask for the file anew.")
    for name, member in _members(file):
        if _address(member) in addresses:
            raise InvalidInput(f"{name} stands in the file under another name too. Ask for the file anew.")
        addresses.add(_address(member))
        if len(addresses) > _MOST_OBJECTS or len(member.attrs) > _MOST_ATTRIBUTES:
            raise InvalidInput(f"at {name}, it has more parts than an analysis could have. Ask for the file anew.")
        if isinstance(member, h5py.Dataset):
            _check_dataset(name, member)
            numbers += prod(map(int, member.shape)) * member.dtype.itemsize
            if numbers > _MOST_BYTES + _MOST_TIMES * size:
                raise InvalidInput(
                    f"it describes more than {numbers:,} bytes of numbers and has {size:,} bytes itself. Ask for the file "
                    "anew, without compression."
                )


def _members(group: h5py.Group, above: str = "") -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """All groups and datasets in a group, through plain links alone."""
    for name in group:
        path = f"{above}/{name}"
        if type(group.get(name, getlink=True)) is not h5py.HardLink:
            raise InvalidInput(
                f"{path} is a link to another place or file, which is not followed. Ask for the data itself."
            )
        member = group[name]
        if not isinstance(member, h5py.Group | h5py.Dataset):
            raise InvalidInput(f"{path} is neither a group nor an array. Ask for the file anew.")
        yield path, member
        if isinstance(member, h5py.Group):
            yield from _members(member, path)


def _check_dataset(name: str, data: h5py.Dataset) -> None:
    described = data.id.get_create_plist()
    if data.shape is None:
        raise InvalidInput(f"{name} is empty. Ask for the file anew.")
    if described.get_external_count() or data.is_virtual:
        raise InvalidInput(
            f"the numbers of {name} lie in another file, which is not read. Ask for a file that holds them."
        )
    filters = {described.get_filter(k)[0] for k in range(described.get_nfilters())}
    if not filters <= _FILTERS:
        raise InvalidInput(
            f"{name} is packed by a plug-in (HDF5 filter {max(filters - _FILTERS)}). Ask for it without."
        )
    text = h5py.check_string_dtype(data.dtype)
    if text is None and data.dtype.kind not in "biuf":
        raise InvalidInput(f"{name} holds {data.dtype}; expected numbers or text. Ask for the file anew.")
    if text is not None and text.length is None:
        _check_text(name, data)


def _check_text(name: str, data: h5py.Dataset) -> None:
    """Refuse text that is longer in all than it could be: many entries may refer to the same bytes."""
    length = 0
    for place in np.ndindex(data.shape):
        value: Any = data[place]
        length += len(value)
        if length > _MOST_BYTES:
            raise InvalidInput(f"{name} holds more than {_MOST_BYTES:,} bytes of text. Ask for the file anew.")


def _address(member: h5py.Group | h5py.Dataset) -> int:
    return int(h5py.h5o.get_info(member.id).addr)
