"""Refusal of files that can't be read to their end, or that are read twice but can be read only once."""

from __future__ import annotations

import stat
from pathlib import Path

from normlens.errors import InvalidInput

_OPEN_ALREADY = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")  # such as a shell's <(…)


def refuse_unreadable(path: Path, *, again: bool = False) -> None:
    """Refuse a path that would block or never end, or that can be read only once but is read again.

    Parameters
    ----------
    path
        Path of a file; a missing file is reported by the code that opens it.
    again
        Whether the file is read more than once.

    Raises
    ------
    InvalidInput
        For a folder, a device, a named pipe, and any pipe if ``again`` is set.
    OSError, ValueError
        If the path can't be examined, for example because it is too long.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        return
    if stat.S_ISFIFO(mode):
        if again:
            raise InvalidInput(f"{path} can be read only once; expected a file. Save its content to a file first.")
        if str(path).startswith(_OPEN_ALREADY):
            return
        raise InvalidInput(f"{path} is a pipe; expected a file or standard input. Save its content to a file first.")
    kind = "a folder" if stat.S_ISDIR(mode) else "a device"
    raise InvalidInput(f"{path} can't be read: it is {kind}; expected a file. Check the path.")
