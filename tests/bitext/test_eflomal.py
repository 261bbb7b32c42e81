"""eflomal as a program: looked up, run, and its failures explained."""

from pathlib import Path

import pytest

from normlens.bitext.eflomal import PROGRAM, eflomal_program, link_files
from normlens.errors import InvalidInput, NormLensError


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, for a program in eflomal's place."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr("normlens.bitext.eflomal.SCRIPTS", str(tmp_path / "scripts"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin" / PROGRAM


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in ("source", "target", "ahead", "back")]


def test_without_the_program_it_is_named(program: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"eflomal-align isn't installed. Install it \(pip install eflomal"):
        link_files(*_files(tmp_path))


def test_the_program_beside_python_is_run_though_it_is_not_on_the_path(program: Path, tmp_path: Path) -> None:
    beside = tmp_path / "scripts" / PROGRAM
    beside.parent.mkdir()
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    assert eflomal_program() == str(beside)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert eflomal_program() == str(program)  # the search path comes first


def test_links_appear_when_they_are_complete(program: Path, tmp_path: Path) -> None:
    program.write_text('#!/bin/sh\n# --overwrite -s 3 -t 5 -f 7 -r 9\necho "0-0" > "$7"\necho "1-0" > "$9"\n')
    program.chmod(0o755)
    link_files(*_files(tmp_path))
    assert ((tmp_path / "ahead").read_text(), (tmp_path / "back").read_text()) == ("0-0\n", "1-0\n")
    assert list(tmp_path.glob("*.unfinished")) == []


def test_its_failure_is_shown_and_leaves_no_links(program: Path, tmp_path: Path) -> None:
    program.write_text('#!/bin/sh\necho "0-0" > "$7"\necho "No space left on device" >&2\nexit 1\n')
    program.chmod(0o755)
    with pytest.raises(NormLensError, match="eflomal-align failed: No space left on device"):
        link_files(*_files(tmp_path))
    assert not (tmp_path / "ahead").exists()
