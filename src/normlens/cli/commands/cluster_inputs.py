"""Inputs of ``normlens cluster points``: tables of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

if TYPE_CHECKING:
    import numpy as np

_MOST_NUMBERS = 1 << 27  # 1 GB


def read_points(path: Path) -> np.ndarray:
    """Read a table of numbers from a .npy or .parquet file.

    Raises
    ------
    InvalidInput
        If it can't be read, or holds something other than numbers.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".parquet"):
        raise InvalidInput(
            f"{path} has {f'the suffix {path.suffix}' if path.suffix else 'no suffix'}; expected .npy or .parquet. Save "
            "the points in one of these formats."
        )
    try:
        refuse_unreadable(path, again=True)
        table = _array(path) if suffix == ".npy" else _columns(path)
    except InvalidInput:
        raise
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {reason(error)}. Check the path.") from error
    except Exception as error:  # NumPy, pandas and pyarrow raise many kinds of error for broken files
        raise InvalidInput(
            f"{path} isn't a table of numbers: {error}. Expected an array (n, d), one point per row."
        ) from error
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        raise InvalidInput(
            f"{path} holds an array of shape {table.shape} and {table.dtype}; expected numbers (n, d), one point per row."
        )
    return table


def _array(path: Path) -> np.ndarray:
    """The array of a .npy file; its size is checked before it is read, and pickled objects are refused."""
    import numpy as np

    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive of several arrays")
    _require_room(path, array.size)
    return np.array(array)


def _columns(path: Path) -> np.ndarray:
    """The columns of a Parquet file; all must be numeric."""
    import numpy as np
    import pandas as pd
    from pyarrow.parquet import read_metadata

    described = read_metadata(path)
    _require_room(path, described.num_rows * described.num_columns)
    frame = pd.read_parquet(path)
    other = [str(name) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    if other:
        raise InvalidInput(
            f"{path} has columns that aren't numeric: {', '.join(other[:5])}. Remove them; expected one number per row and "
            "column."
        )
    return frame.to_numpy(dtype=float, na_value=np.nan)


def _require_room(path: Path, numbers: int) -> None:
    if numbers > _MOST_NUMBERS:
        raise InvalidInput(f"{path} holds {numbers:,} numbers; expected at most {_MOST_NUMBERS:,}. Use fewer rows.")
