"""A finished report takes its place, so that a kill at any moment leaves the old one, the new one, or one to complete.

Where nothing is, the finished folder gets its name in one rename. Where a folder is already, the finished one is renamed
to `_ARRIVED` inside it, which is the moment at which the new report holds; its files are then moved out one by one, and
whoever comes next completes that after a kill. Other files in the folder stay where they are.
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
"""The file in a report's folder that holds its numbers."""

_ARRIVED = ".normlens-report"
_OUTGOING = "outgoing.txt"  # inside it: names of the older report's files that the new one doesn't have
_FIGURE = re.compile(rf"{FIGURES}/[^/()\\\n]+\.svg")


def refuse_to_overwrite(folder: str | Path, *, overwrite: bool = True) -> None:
    """Refuse a place for a report where something other than a report stands.

    A report that a killed run left half replaced is completed first.

    Parameters
    ----------
    folder
        Where the report should go: new, empty, or an older report.
    overwrite
        Whether an older report may be replaced.

    Raises
    ------
    InvalidInput
        If it is a file, a folder that holds something else, or an older report that may not be replaced.
    NormLensError
        If the folder can't be looked at.
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
            raise InvalidInput(f"'{folder}' holds a report already. Choose another place, or say --overwrite.")
    except (OSError, ValueError) as error:
        raise NormLensError(f"'{folder}' can't be used for a report: {reason(error)}. Choose another place.") from error


@contextmanager
def taking_its_place(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, which takes the place of ``folder`` if that went well, and else leaves no trace.

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
    """Names, from the folder on, of the files of a report that stands in it: its pages, numbers, and figures shown."""
    with suppress(OSError):
        shown = _FIGURE.findall((folder / MARKDOWN).read_text(encoding="utf-8", errors="replace"))
        return [MARKDOWN, HTML, NUMBERS, *dict.fromkeys(shown)]
    return [MARKDOWN, HTML, NUMBERS]


def complete(folder: Path) -> None:
    """Move the files of a report that has arrived in a folder to where they belong; can be done again after a kill.

    Raises
    ------
    OSError
        If one can't be moved.
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
    """Give the finished folder its name, or let it arrive in the folder that has this name already."""
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
    """Refuse to move a file onto a folder or a link, or into a folder that is none."""
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode)):
            raise InvalidInput(
                f"{path} is in the way of the report: it is no {'folder' if is_folder else 'file'}. Choose another place."
            )


def _outgoing(arrived: Path) -> list[str]:
    """Names of files of the older report that go; none but such as a report has."""
    with suppress(OSError):
        names = (arrived / _OUTGOING).read_text(encoding="utf-8", errors="replace").splitlines()
        return [name for name in names if name in (MARKDOWN, HTML, NUMBERS) or _FIGURE.fullmatch(name)]
    return []
