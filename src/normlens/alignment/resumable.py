"""A result file with one line for each line of a text, which a killed run leaves in a state to go on from.

Lines are written in order and only whole ones count, so the number of whole lines says where to go on. Beside the file lies
a note on how it is made; a run that would go on differently is refused, and the note goes when the file is complete.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import reason, refuse_special, write_atomically

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
        self._note = self.note_of(path)
        self._resumable = resumable
        try:
            for place in (path, self._note):
                refuse_special(place)
            self._anew = overwrite or not path.exists()
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{path} can't be a result file: {reason(error)}. Choose another name.") from error
        if not path.parent.is_dir():
            raise InvalidInput(f"{path} can't be a result file: expected a file name in a folder that exists.")
        if not self._anew and not (resumable and self._note.is_file()):
            raise InvalidInput(
                f"{path} is there already, and is no unfinished result that this command could go on with. Choose another "
                "place, or say --overwrite."
            )
        if not self._anew and path.stat().st_nlink > 1:
            raise InvalidInput(
                f"{path} has another name too (it is a hard link), whose lines would change as well. Remove one of the "
                "names, or say --overwrite, which leaves the other as it is."
            )

    @staticmethod
    def note_of(path: Path) -> Path:
        """Where the note on how a result is made lies while it is unfinished."""
        return path.parent / f".{path.name}.unfinished"

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
    def opened(self, settings: Mapping[str, Any], lines: int | None = None) -> Iterator[tuple[int, IO[bytes]]]:
        """Open the file to go on with it; the note goes if the block ends without an error.

        Parameters
        ----------
        settings
            Everything that the result depends on, as plain data.
        lines
            How many the text has, if that is known.

        Yields
        ------
        int, file
            How many whole lines are there, and the file, to be written to in whole lines.

        Raises
        ------
        InvalidInput
            If the file was begun with other settings, or has more lines than the text.
        NormLensError
            If it can't be written, then or later.
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
            done, end = _whole_lines(file)
            if lines is not None and done > lines:
                raise InvalidInput(
                    f"{self.path} has {done} lines and the text has {lines}, so that it is no unfinished result of this "
                    "text. Choose another place, or say --overwrite."
                )
            file.truncate(end)
            file.seek(end)
            yield done, file
        self._note.unlink(missing_ok=True)

    def _opened(self, settings: Mapping[str, Any]) -> _Whole:
        """Open the file; in an order in which no kill leaves old lines with a new note."""
        if self._anew:
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
            if self._resumable:
                text = json.dumps(settings, ensure_ascii=False, indent=1)
                write_atomically(self._note, text)
            self.path.touch()
        return _Whole(self.path, "r+b")

    def _before(self) -> dict[str, Any]:
        """The settings that the file was begun with."""
        try:
            return dict(json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
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


class _Whole(io.FileIO):
    """A file without a buffer of which every write is whole, or an error."""

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) or 0 :]
        except OSError as error:
            raise NormLensError(
                f"{self.name!s} can't be written: {reason(error)}. What was aligned so far stays; the same command goes on."
            ) from error
        return len(data)


def _whole_lines(file: IO[bytes]) -> tuple[int, int]:
    """How many whole lines a file has, and where the last one ends."""
    lines, end, place = 0, 0, 0
    while chunk := file.read(_CHUNK):
        lines += chunk.count(b"\n")
        if b"\n" in chunk:
            end = place + chunk.rfind(b"\n") + 1
        place += len(chunk)
    return lines, end
