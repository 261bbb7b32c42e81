"""Files that appear whole or not at all.

What is written is complete in memory first, so that no other library holds a file open when a disk is full. It goes under a
temporary name into the folder where it belongs, and is then renamed. Temporary names are locked while they are in use: the
next run removes those that a killed one left.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from normlens.errors import NormLensError

if sys.platform != "win32":
    import fcntl

_PREFIX, _SUFFIX = ".normlens-", ".tmp"


def write_atomically(path: str | Path, content: bytes | memoryview | str) -> Path:
    """Write a file under a temporary name in its own folder, then rename it; nothing is left behind on failure.

    Parameters
    ----------
    path
        Where the file goes. An existing file is replaced, whoever else links to it keeps what was there; a symbolic link
        is neither followed nor replaced.
    content
        All of it; text is written in UTF-8.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    NormLensError
        If it can't be written: no such folder, no permission, a full disk, a link or a device of that name.
    """
    path = Path(path)
    # A name that isn't UTF-8, in a text, becomes the escape that JSON knows as well.
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        refuse_special(path)
        with _temporary_file(path.parent) as (temporary, descriptor):
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
            if sys.platform == "win32":  # where an open file can't be renamed
                os.close(descriptor)
            os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise NormLensError(
            f"{path} could not be written: {reason(error)}. Check that the folder exists, may be written to "
            "and has space left, or choose another place."
        ) from error
    return path


def refuse_special(path: Path) -> None:
    """Refuse a name that is there already and is no plain file: a folder, a symbolic link, a pipe, a device.

    Raises
    ------
    NormLensError
        Naming what it is.
    OSError, ValueError
        If that can't be found out, such as for a name that is too long.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "a pipe or a device"
    raise NormLensError(f"{path} is {kind}; expected the name of a file, new or to be replaced. Choose another name.")


def reason(error: OSError | ValueError) -> str:
    """What an error of the operating system says, without numbers and names."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """Make a folder under a temporary name, which is removed in the end if it still has that name.

    Parameters
    ----------
    beside
        The folder in which it is made.

    Raises
    ------
    OSError
        If it can't be made.
    """
    remove_leftovers(beside)
    while True:
        temporary = _new_name(beside)
        temporary.mkdir()
        descriptor = None if sys.platform == "win32" else os.open(temporary, os.O_RDONLY)
        if descriptor is None or _locked(descriptor):
            break
        os.close(descriptor)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed runs left in a folder; those of running ones stay."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if is_temporary(entry.name) and not entry.is_symlink():
                with suppress(OSError):
                    _remove_unless_locked(Path(entry.path))


def is_temporary(name: str) -> bool:
    """Whether a name is one under which something is written before it is renamed."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


@contextmanager
def _temporary_file(folder: Path) -> Iterator[tuple[Path, int]]:
    """A new file that is locked; removed in the end unless it was renamed."""
    remove_leftovers(folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = _new_name(folder)
        descriptor = os.open(temporary, flags, 0o666)
        if _locked(descriptor):
            break
        os.close(descriptor)
    try:
        yield temporary, descriptor
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        with suppress(OSError):
            os.close(descriptor)


def _new_name(folder: Path) -> Path:
    return folder / f"{_PREFIX}{uuid4().hex}{_SUFFIX}"


def _locked(descriptor: int) -> bool:
    """Hold what was just made against `remove_leftovers`; false if that was faster.

    File systems without locks have nothing removed from them either.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return os.fstat(descriptor).st_nlink > 0


def _remove_unless_locked(path: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(descriptor)
