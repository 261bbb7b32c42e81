"""The house stands: imports run by the floors in pyproject.toml, loose modules are few, files short, the map complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "normlens"
MAP = (ROOT / "docs" / "rooms.md").read_text(encoding="utf-8")


def test_imports_run_by_the_floors() -> None:
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_is_on_the_map() -> None:
    rooms = [path.parent for path in PACKAGE.glob("*/__init__.py")] + list((PACKAGE / "engine").glob("*/__init__.py"))
    for room in rooms:
        name = room.parent.name if room.name == "__init__.py" else room.name
        assert f"`{name}/`" in MAP, name


def test_few_modules_stand_outside_of_rooms() -> None:
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "lazily", "version"}
    assert loose == {"errors", "memory", "lens", "front_door"}


def _paths(page: str) -> list[str]:
    """The paths that a page names in code spans outside of code blocks."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    return [path for path in re.findall(r"`([\w./*-]+)`", prose) if "/" in path or path.endswith(".py")]


def _exists(path: str, *roots: Path) -> bool:
    """Whether a path, in which ``*`` and words in capitals stand for any name, is in one of the folders."""
    pattern = re.sub(r"\b[A-Z]{2,}\b", "*", path.rstrip("/"))
    return any(next(root.glob(pattern), None) is not None for root in roots)


def test_every_path_on_the_map_exists() -> None:
    paths = _paths(MAP)
    assert len(paths) > 40
    assert [path for path in paths if not _exists(path, ROOT, PACKAGE, PACKAGE / "engine")] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "docs"])
def test_every_path_of_the_repository_that_a_page_names_exists(page: str) -> None:
    place = ROOT / page
    tops = ("src/", "tests/", "docs/", "reproduce/", "benchmarks/")
    for file in sorted(place.rglob("*.md")) if place.is_dir() else [place]:
        paths = [path for path in _paths(file.read_text(encoding="utf-8")) if path.startswith(tops)]
        assert [path for path in paths if not _exists(path, ROOT)] == [], file


def test_no_two_modules_share_a_name() -> None:
    """Files of commands aside, which are named after their commands."""
    stems = [path.stem for path in PACKAGE.rglob("*.py") if path.stem != "__init__" and path.parent.name != "commands"]
    assert sorted({stem for stem in stems if stems.count(stem) > 1}) == []
