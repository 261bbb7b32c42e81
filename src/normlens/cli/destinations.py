"""Where results go: one rule for every command and every file that it writes, kept before anything is read or computed.

What is there already is replaced only with ``--overwrite``. Never replaced are what the command reads, links, and what is
no plain file; two results don't go to one place. Files are compared by what they are, not by how their names are spelled.
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
    """Refuse a result file whose ending tells no format, or one that can't hold the result.

    Parameters
    ----------
    path
        Where the result goes; None for no file.
    suffixes
        What its name may end in.
    reduced
        Whether the analysis keeps no whole maps, which most formats show.

    Raises
    ------
    InvalidInput
        Naming the endings.
    """
    if path is None:
        return
    _refuse_dash(path)
    if path.suffix.lower() not in suffixes:
        raise InvalidInput(
            f"The output {path.name} ends in {path.suffix or 'nothing'}; expected one of {', '.join(suffixes)}. The ending "
            "tells the format."
        )
    if reduced and path.suffix.lower() not in REDUCED_SUFFIXES:
        raise InvalidInput(
            f"The output {path.name} shows whole maps, and a reduced analysis keeps none; expected one of "
            f"{', '.join(REDUCED_SUFFIXES)}. Choose one of these, or leave out --reduce."
        )


def check_files(
    *files: Path | None, reads: Iterable[Path | str | None] = (), overwrite: bool, resumable: Sequence[Path] = ()
) -> None:
    """Refuse result files that can't be written, or that would replace what isn't to be replaced.

    Parameters
    ----------
    *files
        Where results go; None for no file.
    reads
        What is read: files, models (a name that is no place here is nobody's file), None for nothing.
    overwrite
        Whether files that are there already may be replaced.
    resumable
        Further files that are written, and which may be there: what a killed run began.

    Raises
    ------
    NormLensError
        With the file and the reason.
    """
    results = [*(path for path in files if path is not None), *resumable]
    for path in results:
        _refuse_dash(path)
    _refuse_same(results, reads)
    for path in results:
        try:
            _check_place(path, may_exist=overwrite or path in resumable)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"The output {path} can't be written: {reason(error)}. Choose another name.") from error


def check_folder(folder: Path, *, reads: Iterable[Path | str | None] = (), overwrite: bool) -> None:
    """Refuse a report folder that can't be written, before anything is computed.

    Parameters
    ----------
    folder
        Where the report goes.
    reads, overwrite
        As for :func:`check_files`.

    Raises
    ------
    NormLensError
        If something other than a report is there already, or a report that may not be replaced, or the place may not be
        written to; if a file that is read is one of the report's.
    """
    from normlens.statistics.report import files_of_report, refuse_to_overwrite

    _refuse_dash(folder)
    refuse_to_overwrite(folder, overwrite=overwrite)
    above = folder.absolute().parent
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise InvalidInput(f"{above} is a file, so that no folder {folder} can be made. Choose another place.")
    _check_writable(folder if folder.is_dir() else above)
    _refuse_same([folder / name for name in files_of_report(folder)], reads)


def _refuse_dash(path: Path) -> None:
    if str(path) == "-":
        raise InvalidInput("The output is -, which names no file. Leave it out for standard output, or name a file.")


def _check_place(path: Path, *, may_exist: bool) -> None:
    refuse_special(path)
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no folder {path.parent} for the output. Create it, or choose another place.")
    if not may_exist and os.path.lexists(path):
        raise InvalidInput(f"The output {path} is there already. Choose another name, or say --overwrite.")
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
            raise InvalidInput(f"The output {path} is {source}, which is read. Choose another name.")


def _identity(path: Path) -> tuple[object, ...]:
    """What a file is: its place on a disk; for one that isn't there yet, its folder's, with its name."""
    try:
        found = path.stat()
        return found.st_dev, found.st_ino
    except (OSError, ValueError):
        real = path.parent.resolve()
        try:
            above = real.stat()
            return above.st_dev, above.st_ino, path.name
        except (OSError, ValueError):
            return str(real), path.name


def _files_of(place: Path) -> list[Path]:
    """A file, or those in the folder of a model."""
    try:
        return [path for path in place.iterdir() if path.is_file()] if place.is_dir() else [place]
    except (OSError, ValueError):
        return []


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise NormLensError(f"{folder} may not be written to. Choose another place.")
