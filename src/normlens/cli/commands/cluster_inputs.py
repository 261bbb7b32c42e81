"""Inputs of ``normlens cluster points``: tables of numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_MOST_NUMBERS = 1 << 27  # 1 GB


def read_points(path: Path) -> np.ndarray:
    """Read a table of numbers from a .npy, .parquet or .csv file.

    The first line of a .csv file may hold names of columns.

    Raises
    ------
    InvalidInput
        If it can't be read, or holds something other than numbers.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise InvalidInput(
            f"{path} has {f'the suffix {path.suffix}' if path.suffix else 'no suffix'}; expected .npy, .parquet or .csv. "
            "Save the points in one of these formats."
        )
    try:
        refuse_unreadable(path, again=True)
        table = _READERS[suffix](path)
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
    """The columns of a Parquet file."""
    import pandas as pd
    from pyarrow.parquet import read_metadata

    described = read_metadata(path)
    _require_room(path, described.num_rows * described.num_columns)
    return _numbers(path, pd.read_parquet(path))


def _lines(path: Path) -> np.ndarray:
    """The columns of a .csv file, with or without a line of names."""
    import pandas as pd

    _require_room(path, path.stat().st_size // 2)  # a number takes a digit and a comma at least
    frame = pd.read_csv(path)
    if str(frame.columns[0]).startswith("Unnamed:"):
        raise InvalidInput(
            f"The first column of {path} has no name, as an index that pandas wrote. Remove it: to_csv(…, index=False)."
        )
    if all(_is_number(name) for name in frame.columns):
        frame = pd.read_csv(path, header=None)
    return _numbers(path, frame)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _numbers(path: Path, frame: pd.DataFrame) -> np.ndarray:
    """The columns of a table; all must be numeric."""
    import numpy as np
    import pandas as pd

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


_READERS: dict[str, Callable[[Path], np.ndarray]] = {".npy": _array, ".parquet": _columns, ".csv": _lines}
