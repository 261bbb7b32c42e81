"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from normlens.errors import NormLensError


def written_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under a temporary name in its own folder, then rename it; nothing is left behind on failure.

    Parameters
    ----------
    path
        Where the file goes; an existing one is replaced.
    write
        Writes the file at the path that it is given.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    NormLensError
        If it can't be written: no such folder, no permission, a full disk.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{uuid4().hex}{path.suffix}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise NormLensError(
            f"{path} could not be written: {error.strerror or error}. Check that the folder exists, may be written to "
            "and has space left, or choose another place."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path
