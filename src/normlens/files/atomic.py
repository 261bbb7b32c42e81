"""Atomic writing: a file appears complete or not at all.

The content is completed in memory first, so that no other library has a file open when the disk is full. It is written to
the target folder under a temporary name and then renamed. Temporary files are locked while they are in use; the next run
removes those that a killed run left behind.
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
    """Write a file under a temporary name in its folder, then rename it; a failure leaves nothing behind.

    Parameters
    ----------
    path
        Path of the file. An existing file is replaced; other hard links keep the old content. A symbolic link is neither
        followed nor replaced.
    content
        The whole content; text is written in UTF-8.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    NormLensError
        If it can't be written: the folder doesn't exist, permission is denied, the disk is full, or the path is a link or
        a device.
    """
    path = Path(path)
    # File names that aren't UTF-8 contain lone surrogates, which become escapes that JSON also reads.
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
            f"{path} could not be written: {reason(error)}. Check that the folder exists, is writable "
            "and has space left, or choose another path."
        ) from error
    return path


def refuse_special(path: Path) -> None:
    """Refuse an existing path that isn't a regular file: a folder, a symbolic link, a pipe or a device.

    Raises
    ------
    NormLensError
        Naming the kind of path.
    OSError, ValueError
        If the path can't be examined, for example because it is too long.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "a pipe or a device"
    raise NormLensError(f"{path} is {kind}; expected a new file, or a regular file to replace. Choose another name.")


def reason(error: OSError | ValueError) -> str:
    """The message of an operating-system error, without the error number and the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Create a temporary folder, which is removed at the end unless it was renamed.

    Parameters
    ----------
    parent
        The folder in which it is created.

    Raises
    ------
    OSError
        If it can't be created.
    """
    remove_leftovers(parent)
    while True:
        temporary = _new_name(parent)
        temporary.mkdir()
        try:
            descriptor = None if sys.platform == "win32" else os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:  # another process took it for a leftover before it was locked
            continue
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
    """Remove temporary files and folders that killed runs left in a folder; those of running processes stay."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if is_temporary(entry.name) and not entry.is_symlink():
                with suppress(OSError):
                    _remove_unless_locked(Path(entry.path))


def is_temporary(name: str) -> bool:
    """Whether a name is a temporary name of :func:`write_atomically` or :func:`temporary_folder`."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


@contextmanager
def _temporary_file(folder: Path) -> Iterator[tuple[Path, int]]:
    """A new, locked file; removed at the end unless it was renamed."""
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
    """Lock a new file or folder against `remove_leftovers`; False if it was already removed.

    On file systems without locks, nothing is ever removed.
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
