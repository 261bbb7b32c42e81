"""Where results are written: one rule for every file of every command, checked before anything is read or computed.

Existing files are replaced only with ``--overwrite``. Files that the command reads, symbolic links and special files are
never replaced, and no two results go to the same file. Files are compared by identity, not by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason, refuse_special

PICTURES = (".png", ".svg", ".pdf")
REDUCED_SUFFIXES = (".nc", ".json")
SUFFIXES = (".nc", ".html", *PICTURES, ".parquet", ".json")

_STANDARD_INPUT = Path("/dev/stdin")


def check_ending(path: Path | None, suffixes: Sequence[str], *, reduced: bool = False) -> None:
    """Refuse a result file whose suffix names no format, or a format that can't hold the result.

    Parameters
    ----------
    path
        The result file; None for no file.
    suffixes
        The allowed suffixes.
    reduced
        Whether the analysis is reduced and keeps no whole maps, which most formats need.

    Raises
    ------
    InvalidInput
        Naming the allowed suffixes.
    """
    if path is None:
        return
    _refuse_dash(path)
    if path.suffix.lower() not in suffixes:
        raise InvalidInput(
            f"The output {path.name} has {f'the suffix {path.suffix}' if path.suffix else 'no suffix'}; expected one of "
            f"{', '.join(suffixes)}. The suffix selects the format."
        )
    if reduced and path.suffix.lower() not in REDUCED_SUFFIXES:
        raise InvalidInput(
            f"The output {path.name} needs whole maps, and a reduced analysis keeps none; expected one of "
            f"{', '.join(REDUCED_SUFFIXES)}. Choose one of these, or leave out --reduce."
        )


def check_files(*files: Path | None, reads: Iterable[Path | str | None] = (), overwrite: bool) -> None:
    """Refuse result files that can't be written, or that would replace files that must be kept.

    Parameters
    ----------
    *files
        The result files; None for no file.
    reads
        What the command reads: files, and models by path or by name; None is ignored.
    overwrite
        Whether existing files may be replaced.

    Raises
    ------
    NormLensError
        Naming the file and the reason.
    """
    results = [path for path in files if path is not None]
    for path in results:
        _refuse_dash(path)
    _refuse_same(results, reads)
    for path in results:
        try:
            _check_place(path, may_exist=overwrite)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"The output {path} can't be written: {reason(error)}. Choose another name.") from error


def check_folder(folder: Path, *, reads: Iterable[Path | str | None] = (), overwrite: bool) -> None:
    """Refuse a report folder that can't be written, before anything is computed.

    Parameters
    ----------
    folder
        The folder of the report.
    reads, overwrite
        As for :func:`check_files`.

    Raises
    ------
    NormLensError
        If the folder holds something other than a report, or a report that may not be replaced; if it isn't writable; or if
        the report would replace a file that the command reads.
    """
    from normlens.statistics.report import files_of_report, refuse_to_overwrite

    _refuse_dash(folder)
    refuse_to_overwrite(folder, overwrite=overwrite)
    check_creatable(folder)
    _refuse_same([folder / name for name in files_of_report(folder)], reads)


def check_creatable(folder: Path) -> None:
    """Refuse a folder that can neither be written nor created.

    Raises
    ------
    NormLensError
        Naming the file in its place, or the folder without permission.
    """
    above = folder.absolute().parent
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise InvalidInput(f"The folder {folder} can't be created: {above} is a file. Choose another folder.")
    _check_writable(folder if folder.is_dir() else above)


def _refuse_dash(path: Path) -> None:
    if str(path) == "-":
        raise InvalidInput(
            "The output is -, which names no file. Leave out -o to print to standard output, or name a file."
        )


def _check_place(path: Path, *, may_exist: bool) -> None:
    refuse_special(path)
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no folder {path.parent} for the output. Create it, or choose another folder.")
    if not may_exist and os.path.lexists(path):
        raise InvalidInput(f"The output {path} exists already. Choose another name, or use --overwrite.")
    _check_writable(path.parent)


def _refuse_same(results: Sequence[Path], reads: Iterable[Path | str | None]) -> None:
    for path, other in combinations(results, 2):
        if _identity(path) == _identity(other):
            raise InvalidInput(
                f"The outputs {path} and {other} are the same file. Choose another name for one of them."
            )
    sources = {_identity(file): file for read in reads if read is not None for file in _files_of(Path(read))}
    if _STANDARD_INPUT.is_file():
        sources[_identity(_STANDARD_INPUT)] = Path("standard input")
    for path in results:
        if (source := sources.get(_identity(path))) is not None:
            raise InvalidInput(f"The output {path} is {source}, which this command reads. Choose another name.")


def _identity(path: Path) -> tuple[object, ...]:
    """The identity of a file: device and inode; for a file that doesn't exist yet, those of its folder, and its name."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except (OSError, ValueError):
        real = path.parent.resolve()
        try:
            above = real.stat()
            return above.st_dev, above.st_ino, path.name
        except (OSError, ValueError):
            return str(real), path.name


def _files_of(place: Path) -> list[Path]:
    """A file, or the files in a model's folder."""
    try:
        return [path for path in place.iterdir() if path.is_file()] if place.is_dir() else [place]
    except (OSError, ValueError):
        return []


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise NormLensError(f"{folder} isn't writable. Choose another folder.")
