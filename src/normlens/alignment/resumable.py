"""A result file with one line per line of a text, which a killed run leaves in a resumable state.

Lines are written in order and only whole ones count, so the number of whole lines is where to resume. A note beside the
file records the settings; a run with other settings is refused, and the note is removed when the file is complete.
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
    """A result file that a later run resumes where the last one stopped.

    Parameters
    ----------
    path
        The file. While it is unfinished, ``.<name>.unfinished`` beside it records the settings.
    resumable
        Whether the text can be read again; if not, every run starts over.
    overwrite
        Start over, even if there is a result already.

    Raises
    ------
    InvalidInput
        If its folder doesn't exist, or the path is something other than an unfinished result.
    """

    def __init__(self, path: Path, *, resumable: bool = True, overwrite: bool = False) -> None:
        self.path = path
        self._note = self.note_of(path)
        self._resumable = resumable
        try:
            for file in (path, self._note):
                refuse_special(file)
            self._starts_over = overwrite or not path.exists()
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{path} can't be a result file: {reason(error)}. Choose another name.") from error
        if not path.parent.is_dir():
            raise InvalidInput(f"{path} can't be a result file: expected a file name in a folder that exists.")
        if not self._starts_over and not (resumable and self._note.is_file()):
            raise InvalidInput(
                f"{path} exists already and is not an unfinished result that this command could resume. Choose another "
                "name, or pass --overwrite."
            )
        if not self._starts_over and path.stat().st_nlink > 1:
            raise InvalidInput(
                f"{path} has another name too (it is a hard link), whose content would change as well. Remove one of the "
                "names, or pass --overwrite, which leaves the other unchanged."
            )

    @staticmethod
    def note_of(path: Path) -> Path:
        """The path of the note beside an unfinished result."""
        return path.parent / f".{path.name}.unfinished"

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse to resume with other settings; settings that are not decided yet may be missing.

        Raises
        ------
        InvalidInput
            If the file was started with others.
        """
        if not self._starts_over:
            self._require_same(self._before() | _plain(settings))

    @contextmanager
    def opened(self, settings: Mapping[str, Any], lines: int | None = None) -> Iterator[tuple[int, IO[bytes]]]:
        """Open the file to resume it; the note is removed if the block ends without an error.

        Parameters
        ----------
        settings
            Everything that the result depends on, as plain data.
        lines
            The number of lines of the text, if known.

        Yields
        ------
        int, file
            The number of whole lines in the file, and the file, to be written in whole lines.

        Raises
        ------
        InvalidInput
            If the file was started with other settings, or has more lines than the text.
        NormLensError
            If it can't be written, then or later.
        """
        if not self._starts_over:
            self._require_same(_plain(settings))
        try:
            file = self._opened(settings)
        except OSError as error:
            raise NormLensError(
                f"{self.path} can't be written: {error.strerror or error}. Check that its folder is writable."
            ) from error
        with file:
            done, end = _whole_lines(file)
            if lines is not None and done > lines:
                raise InvalidInput(
                    f"{self.path} has {done} lines but the text has {lines}, so it can't be an unfinished result of this "
                    "text. Choose another name, or pass --overwrite."
                )
            file.truncate(end)
            file.seek(end)
            yield done, file
        self._note.unlink(missing_ok=True)

    def _opened(self, settings: Mapping[str, Any]) -> _Whole:
        """Open the file, in an order such that a kill never leaves old lines with a new note."""
        if self._starts_over:
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
            if self._resumable:
                text = json.dumps(settings, ensure_ascii=False, indent=1)
                write_atomically(self._note, text)
            self.path.touch()
        return _Whole(self.path, "r+b")

    def _before(self) -> dict[str, Any]:
        """The settings that the file was started with."""
        try:
            return dict(json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InvalidInput(f"{self._note} can't be read: {error}. Pass --overwrite to start over.") from error

    def _require_same(self, settings: Mapping[str, Any]) -> None:
        before = self._before()
        differing = sorted(name for name in {**before, **settings} if before.get(name) != settings.get(name))
        if differing:
            name = differing[0]
            raise InvalidInput(
                f"{self.path} was started with other settings: {name} was {before.get(name)!r} and is now "
                f"{settings.get(name)!r}. Resume with the same command, choose another name, or pass --overwrite."
            )


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as JSON reads them back."""
    return dict(json.loads(json.dumps(settings)))


class _Whole(io.FileIO):
    """An unbuffered file whose writes are either complete or an error."""

    def write(self, data: Any) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) or 0 :]
        except OSError as error:
            raise NormLensError(
                f"{self.name!s} can't be written: {reason(error)}. What was aligned so far is kept; the same command "
                "resumes."
            ) from error
        return len(data)


def _whole_lines(file: IO[bytes]) -> tuple[int, int]:
    """The number of whole lines in a file, and where the last one ends."""
    lines, end, offset = 0, 0, 0
    while chunk := file.read(_CHUNK):
        lines += chunk.count(b"\n")
        if b"\n" in chunk:
            end = offset + chunk.rfind(b"\n") + 1
        offset += len(chunk)
    return lines, end
