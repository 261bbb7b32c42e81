"""A module may be imported when it is first needed; then what it imports must be there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import normlens

ROOT = Path(normlens.__file__).parent


def test_every_name_that_the_package_imports_from_itself_exists() -> None:
    # Rooms load their names lazily, so that neither mypy nor the start of a program sees a name that is missing.
    missing = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("normlens"):
                continue
            room = importlib.import_module(str(node.module))
            for alias in node.names:
                try:
                    if not hasattr(room, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
                except ImportError:
                    missing.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.module}.{alias.name}")
    assert not missing
