"""Every public name stands on a page: what a room's ``__all__`` lists is rendered in docs/api.md, or named on some page.

A module that a page shows by ``::: module`` shows the names of its ``__all__`` that have a docstring; a submodule of the
same name hides a function, which then needs a line of its own. A page names something by its room: ``topk.use``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
SHOWN = {path for page in PAGES for path in re.findall(r"^::: ([\w.]+)$", page, flags=re.M)}
SPANS = {name for page in PAGES for span in re.findall(r"`([^`\n]+)`", page) for name in re.findall(r"[\w.]+", span)}

PACKAGE = griffe.load("normlens", search_paths=[ROOT / "src"], resolve_aliases=True)
assert isinstance(PACKAGE, griffe.Module)


def _rooms(module: griffe.Module) -> list[griffe.Module]:
    below = [room for child in module.modules.values() if not child.is_alias for room in _rooms(child)]
    return [module, *below] if module.exports else below


ROOMS = _rooms(PACKAGE)


def _is_on_a_page(room: griffe.Module, name: str) -> bool:
    member = room.members.get(name)
    if f"{room.name}.{name}" in SPANS or f"{room.path}.{name}" in SPANS:
        return True
    if member is None or (member.is_alias and not member.resolved):
        return False
    if member.is_module:
        return any(path.startswith(f"{room.path}.") and path.endswith(f".{name}") for path in SHOWN)
    if {f"{room.path}.{name}", member.canonical_path} & SHOWN:
        return True
    shown = room.path in SHOWN or member.canonical_path.rpartition(".")[0] in SHOWN
    return shown and member.has_docstring


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.path)
def test_every_public_name_is_on_a_page(room: griffe.Module) -> None:
    exports = [str(name) for name in room.exports or []]
    missing = [name for name in exports if not _is_on_a_page(room, name)]
    assert missing == [], f"{room.path} exports these, but no page of docs/ shows or names them"


def test_the_walk_finds_the_rooms() -> None:
    paths = {room.path for room in ROOMS}
    assert {"normlens", "normlens.alignment", "normlens.topk", "normlens.topk.needs"} <= paths


def test_no_public_name_gives_way_to_a_submodule_of_the_same_name() -> None:
    """Importing a submodule binds its name in the package, over a function that is called the same."""
    code = """
        import importlib, pkgutil, types
        import normlens

        modules = [info.name for info in pkgutil.walk_packages(normlens.__path__, "normlens.")]
        rooms = [importlib.import_module(name) for name in modules if not name.endswith("__main__")]
        for room in [normlens, *rooms]:
            for name in getattr(room, "__all__", ()):
                for _ in range(2):
                    assert not isinstance(getattr(room, name), types.ModuleType), f"{room.__name__}.{name}"
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
