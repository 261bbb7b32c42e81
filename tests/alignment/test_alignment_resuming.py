"""A killed run goes on where it stopped and writes no line twice."""

from pathlib import Path

import pytest

from normlens.alignment.resumable import ResumableFile
from normlens.errors import InvalidInput, NormLensError

LINES = [f"line {k}\n".encode() for k in range(7)]
SETTINGS = {"layer": 1, "model": "m"}


class Killed(BaseException):
    """Not an error that anything catches."""


def _run(path: Path, stop_at: int | None = None, tail: bytes = b"", settings: dict[str, object] = SETTINGS) -> int:
    """Write the lines that are missing; be killed in the middle of one."""
    with ResumableFile(path).opened(settings) as (done, file):
        for number, line in enumerate(LINES[done:], start=done):
            if number == stop_at:
                file.write(tail)
                raise Killed
            file.write(line)
    return done


@pytest.mark.parametrize("tail", [b"", b"li", b"longer than all that follows " * 5])
@pytest.mark.parametrize("stop_at", [0, 3, 6])
def test_the_result_is_the_same_wherever_it_was_killed(tmp_path: Path, stop_at: int, tail: bytes) -> None:
    path = tmp_path / "out"
    with pytest.raises(Killed):
        _run(path, stop_at, tail)

    assert _run(path) == stop_at

    assert path.read_bytes() == b"".join(LINES)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_killed_twice(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for stop_at in (2, 5):
        with pytest.raises(Killed):
            _run(path, stop_at, b"half")
    _run(path)

    assert path.read_bytes() == b"".join(LINES)


def test_other_settings_are_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(Killed):
        _run(path, 3, b"half")

    with pytest.raises(InvalidInput, match="layer was 1 and is now 2"):
        _run(path, settings={**SETTINGS, "layer": 2})

    assert path.read_bytes() == b"".join(LINES[:3]) + b"half"


def test_a_finished_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "out"
    _run(path)

    with pytest.raises(InvalidInput, match="exists already"):
        ResumableFile(path)


def test_overwriting_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(Killed):
        _run(path, 3)

    with ResumableFile(path, overwrite=True).opened({"layer": 9}) as (done, file):
        file.write(b"new\n")

    assert done == 0
    assert path.read_bytes() == b"new\n"


def test_what_cannot_be_read_again_cannot_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(Killed), ResumableFile(path, resumable=False).opened({}) as (_, file):
        file.write(b"one\n")
        raise Killed

    with pytest.raises(InvalidInput, match="exists already"):
        ResumableFile(path, resumable=False)


def test_places_that_are_no_files_are_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "folder", "expected a file name in a folder that"),
    ):
        with pytest.raises(NormLensError, match=message):
            ResumableFile(path)
