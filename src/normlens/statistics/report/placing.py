"""Put a finished report in its place: a kill at any moment leaves the old report, the new one, or one to complete.

If there is no folder yet, the finished one gets its name in one rename. If there is one, the finished folder is renamed
to `_ARRIVED` inside it; from that moment the new report is valid. Its files are then moved out one by one; after a kill,
the next reader or writer completes that. Other files in the folder stay where they are.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import is_temporary, reason, remove_leftovers, temporary_folder

MARKDOWN, HTML, FIGURES = "report.md", "report.html", "figures"
NUMBERS = "numbers.parquet"
"""The file with the numbers in the folder of a report."""

_ARRIVED = ".normlens-report"
_OUTGOING = "outgoing.txt"  # inside it: names of the older report's files that the new one doesn't have
_FIGURE = re.compile(rf"{FIGURES}/[^/()\\\n]+\.svg")


def refuse_to_overwrite(folder: str | Path, *, overwrite: bool = True) -> None:
    """Refuse a place for a report that has something other than a report.

    A report that a killed run left partly replaced is completed first.

    Parameters
    ----------
    folder
        Folder of the report: new, empty, or an older report.
    overwrite
        Whether an older report may be replaced.

    Raises
    ------
    InvalidInput
        If it is a file, a folder with something else in it, or an older report that may not be replaced.
    NormLensError
        If the folder can't be read.
    """
    folder = Path(folder)
    expected = "expected a new or empty folder, or a report to replace. Choose another place."
    try:
        if folder.is_symlink() and not folder.exists():
            raise InvalidInput(f"'{folder}' is a symbolic link to nothing; {expected}")
        if os.path.lexists(folder) and not folder.is_dir():
            raise InvalidInput(f"'{folder}' is a file; {expected}")
        if not folder.is_dir():
            return
        complete(folder)
        if not (folder / NUMBERS).is_file():
            if any(not is_temporary(path.name) for path in folder.iterdir()):
                raise InvalidInput(f"'{folder}' is not empty and not a report (it has no {NUMBERS}); {expected}")
        elif not overwrite:
            raise InvalidInput(f"'{folder}' holds a report already. Choose another place, or pass --overwrite.")
    except (OSError, ValueError) as error:
        raise NormLensError(f"'{folder}' can't be used for a report: {reason(error)}. Choose another place.") from error


@contextmanager
def taking_its_place(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which replaces ``folder`` on success and is removed otherwise.

    Raises
    ------
    NormLensError
        If the place can't be written to. An older report stays.
    """
    try:
        folder = folder.resolve()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder if folder.is_dir() else folder.parent) as partial:
            yield partial
            _put_in_place(partial, folder)
    except (OSError, NormLensError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__  # of a file under a temporary name
        if not isinstance(cause, OSError):
            raise
        raise NormLensError(
            f"The report could not be written to '{folder}': {reason(cause)}. Check that the place may be "
            "written to and has space left, or choose another folder."
        ) from error


def files_of_report(folder: Path) -> list[str]:
    """Names of the files of the report in a folder, relative to it: its pages, its numbers, and the figures it shows."""
    with suppress(OSError):
        shown = _FIGURE.findall((folder / MARKDOWN).read_text(encoding="utf-8", errors="replace"))
        return [MARKDOWN, HTML, NUMBERS, *dict.fromkeys(shown)]
    return [MARKDOWN, HTML, NUMBERS]


def complete(folder: Path) -> None:
    """Move the files of a report that has arrived in a folder to their places; can be repeated after a kill.

    Raises
    ------
    OSError
        If a file can't be moved.
    """
    arrived = folder / _ARRIVED
    if arrived.is_symlink() or not arrived.is_dir():
        return
    for path in [path for path in sorted(arrived.rglob("*")) if path.is_file() and path.name != _OUTGOING]:
        place = folder / path.relative_to(arrived)
        place.parent.mkdir(exist_ok=True)
        os.replace(path, place)
    for name in _outgoing(arrived):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        (folder / FIGURES).rmdir()  # if it is empty
    shutil.rmtree(arrived)


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename the finished folder to its name, or move it into the folder that already has this name."""
    if not folder.exists():
        os.rename(partial, folder)
        return
    complete(folder)
    remove_leftovers(folder)
    new = [path.relative_to(partial).as_posix() for path in partial.rglob("*") if path.is_file()]
    for name in [FIGURES, *new]:
        _refuse_obstacle(folder / name, is_folder=name == FIGURES)
    outgoing = sorted(set(files_of_report(folder)) - set(new))
    (partial / _OUTGOING).write_text("\n".join(outgoing), encoding="utf-8")
    os.rename(partial, folder / _ARRIVED)
    complete(folder)


def _refuse_obstacle(path: Path, *, is_folder: bool) -> None:
    """Refuse to move a file onto a folder or a link, or into something that isn't a folder."""
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode)):
            raise InvalidInput(
                f"{path} blocks the report: it is not a {'folder' if is_folder else 'file'}. Choose another place."
            )


def _outgoing(arrived: Path) -> list[str]:
    """Names of the files of the older report to remove; only names that a report can have."""
    with suppress(OSError):
        names = (arrived / _OUTGOING).read_text(encoding="utf-8", errors="replace").splitlines()
        return [name for name in names if name in (MARKDOWN, HTML, NUMBERS) or _FIGURE.fullmatch(name)]
    return []
