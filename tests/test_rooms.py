"""The house stands: imports run by the floors in pyproject.toml, loose modules are few, files short, the map complete."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
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


def _commands() -> set[Path]:
    """The files of commands, which are named after their commands."""
    from typer.main import get_command

    from normlens.cli import app

    return {PACKAGE / "cli" / "commands" / f"{name.replace('-', '_')}.py" for name in get_command(app).commands}


def test_no_two_packages_or_modules_share_a_name() -> None:
    modules = set(PACKAGE.rglob("*.py")) - _commands() - {PACKAGE / "__init__.py"}
    names = Counter(path.parent.name if path.stem == "__init__" else path.stem for path in modules)
    assert len(names) > 200
    assert [name for name, count in names.items() if count > 1] == []


def test_no_two_classes_share_a_name() -> None:
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    names = Counter(node.name for module in modules for node in ast.walk(module) if isinstance(node, ast.ClassDef))
    assert len(names) > 100
    assert [name for name, count in names.items() if count > 1] == []
