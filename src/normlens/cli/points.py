"""What ``normlens cluster`` reads: tables of points, and analyses of a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from normlens.cli.terminal import counting
from normlens.cli.texts import Reading
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens import Analysis, Lens


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
            f"{path} ends in {path.suffix or 'nothing'}; expected .npy or .parquet. Save the points as one of these."
        )
    try:
        if suffix == ".npy":
            table = np.load(path, allow_pickle=False)
        else:
            import pandas as pd

            frame = pd.read_parquet(path)
            other = [str(name) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
            if other:
                raise InvalidInput(
                    f"{path} has columns without numbers: {', '.join(other[:5])}. Expected one number per column; leave "
                    "these out."
                )
            table = frame.to_numpy(dtype=float, na_value=np.nan)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror or error}. Check the path.") from error
    except (ValueError, EOFError) as error:
        raise InvalidInput(
            f"{path} is no table of numbers: {error}. Expected an array (n, d), one point per row."
        ) from error
    return np.asarray(table)


def counted_analyses(lens: Lens, file: Path, reading: Reading, batch_size: int) -> Iterator[Analysis]:
    """The analyses of a file's texts, with a bar; an error about a text says in which line it stands."""
    texts, targets = reading.texts_of(lens, file)
    options = reading.options(texts)
    with counting("Analysing", None) as progress:
        try:
            for analysis in lens.stream(texts, targets, batch_size=batch_size, progress=False, **options):
                yield analysis
                progress.advance(progress.task_ids[0])
        except InvalidInput as error:
            raise texts.located(error) from error
