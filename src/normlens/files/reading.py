"""Files that are read: of a kind that ends, that somebody writes, and that is there when it is needed again."""

from __future__ import annotations

import stat
from pathlib import Path

from normlens.errors import InvalidInput

_OPEN_ALREADY = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")  # such as a shell's <(…)


def refuse_unreadable(path: Path, *, again: bool = False) -> None:
    """Refuse a path whose reading would wait, never end, or work only once where that isn't enough.

    Parameters
    ----------
    path
        Of a file; one that isn't there is left to whoever opens it.
    again
        Whether the file is read more than once.

    Raises
    ------
    InvalidInput
        For a folder, a device, a pipe that nobody may be writing to, and for any pipe if it is read again.
    OSError, ValueError
        If the path can't be looked at, such as for a name that is too long.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        return
    if stat.S_ISFIFO(mode):
        if again:
            raise InvalidInput(f"{path} can be read only once; expected a file. Save what it gives in one first.")
        if str(path).startswith(_OPEN_ALREADY):
            return
        raise InvalidInput(f"{path} is a pipe; expected a file, or standard input. Save what it gives in a file first.")
    kind = "a folder" if stat.S_ISDIR(mode) else "a device"
    raise InvalidInput(f"{path} can't be read: it is {kind}; expected a file. Check the path.")
