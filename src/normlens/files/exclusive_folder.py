"""A folder that one command works in at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason

if sys.platform != "win32":
    import fcntl


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Create a folder if it is missing, and hold it: meanwhile, nobody else can. Removed at the end if it is empty.

    The operating system ends the hold when the process dies. Where it has no locks for folders, nobody is refused.

    Parameters
    ----------
    folder
        The folder.

    Raises
    ------
    InvalidInput
        If another command holds it.
    NormLensError
        If it can't be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise NormLensError(f"{folder} can't be created: {reason(error)}. Choose another output.") from error
    try:
        if descriptor is not None and not _lock(descriptor, folder):
            raise InvalidInput(
                f"Another command is working in {folder}. Wait until it ends, or choose another name for this output."
            )
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()  # if it is empty
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> bool:
    """Whether the folder could be locked, and is still the one of this name."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except OSError:  # the other command has just ended, and removed it
        return False
