"""A result file with one line for each line of a text, which a killed run leaves in a state to go on from.

Lines are written in order and only whole ones count, so the number of whole lines says where to go on. Beside the file lies
a note on how it is made; a run that would go on differently is refused, and the note goes when the file is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from normlens.errors import InvalidInput, NormLensError
from normlens.saving import written_whole

_CHUNK = 1 << 20


class ResumableFile:
    """A result file that is gone on with where it stopped.

    Parameters
    ----------
    path
        Where it goes. While it is unfinished, ``.<name>.unfinished`` beside it notes how it is made.
    resumable
        Whether the text can be read again; if not, every run starts anew.
    overwrite
        Start anew whatever is there.

    Raises
    ------
    InvalidInput
        If there is no folder for it, or something other than an unfinished result is there.
    """

    def __init__(self, path: Path, *, resumable: bool = True, overwrite: bool = False) -> None:
        self.path = path
        self._note = path.with_name(f".{path.name}.unfinished")
        self._resumable = resumable
        self._anew = overwrite or not path.exists()
        if path.is_dir() or not path.parent.is_dir():
            raise InvalidInput(f"{path} can't be a result file: expected a file name in a folder that exists.")
        if not self._anew and not (resumable and self._note.is_file()):
            raise InvalidInput(
                f"{path} is there already, and is no unfinished result that this command could go on with. Choose another "
                "place, or say --overwrite."
            )

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse to go on with other settings, as far as they are known already.

        Raises
        ------
        InvalidInput
            If the file was begun with others.
        """
        if not self._anew:
            self._require_same(self._before() | _plain(settings))

    @contextmanager
    def opened(self, settings: Mapping[str, Any]) -> Iterator[tuple[int, IO[bytes]]]:
        """Open the file to go on with it; the note goes if the block ends without an error.

        Parameters
        ----------
        settings
            Everything that the result depends on, as plain data.

        Yields
        ------
        int, file
            How many whole lines are there, and the file, to be written to in whole lines.

        Raises
        ------
        InvalidInput
            If the file was begun with other settings.
        NormLensError
            If it can't be written.
        """
        if not self._anew:
            self._require_same(_plain(settings))
        try:
            file = self._opened(settings)
        except OSError as error:
            raise NormLensError(
                f"{self.path} can't be written: {error.strerror or error}. Check that its folder may be written to."
            ) from error
        with file:
            yield _keep_whole_lines(file), file
        self._note.unlink(missing_ok=True)

    def _opened(self, settings: Mapping[str, Any]) -> IO[bytes]:
        """Open the file; in an order in which no kill leaves old lines with a new note."""
        if self._anew:
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
            if self._resumable:
                text = json.dumps(settings, ensure_ascii=False, indent=1)
                written_whole(self._note, text)
            self.path.touch()
        return self.path.open("r+b", buffering=0)

    def _before(self) -> dict[str, Any]:
        """The settings that the file was begun with."""
        try:
            return dict(json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InvalidInput(f"{self._note} can't be read: {error}. Say --overwrite to start anew.") from error

    def _require_same(self, settings: Mapping[str, Any]) -> None:
        before = self._before()
        differing = sorted(name for name in {**before, **settings} if before.get(name) != settings.get(name))
        if differing:
            name = differing[0]
            raise InvalidInput(
                f"{self.path} was begun with other settings: {name} was {before.get(name)!r} and is now "
                f"{settings.get(name)!r}. Go on with the same command, choose another place, or say --overwrite."
            )


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they are read back."""
    return dict(json.loads(json.dumps(settings)))


def _keep_whole_lines(file: IO[bytes]) -> int:
    """Count the whole lines of a file, cut off what stands behind the last, and go to its end."""
    lines, end, place = 0, 0, 0
    while chunk := file.read(_CHUNK):
        lines += chunk.count(b"\n")
        if b"\n" in chunk:
            end = place + chunk.rfind(b"\n") + 1
        place += len(chunk)
    file.truncate(end)
    file.seek(end)
    return lines
