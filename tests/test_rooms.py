"""The house stands: imports run by the floors in pyproject.toml, loose modules are few, files short, the map complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    assert loose == {"errors", "memory", "lens"}
