"""The command line stands on the public page and on whole rooms, not on the files inside them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from normlens import cli

COMMANDS = Path(cli.__file__).parent
ROOMS = {
    "alignment", "analysis", "attribution", "catalogue", "characters", "clustering", "errors", "figures", "heads", "needs",
    "layer_numbers", "outline", "readable", "scopes",
    "report", "samples", "saving", "statistics", "topk", "treebanks", "words",
}  # fmt: skip
COMMAND_FILES = [
    "aer", "align", "align_options", "aligning", "analyze", "answers", "attribute", "attributing", "cluster", "clustering",
    "compare",
    "corpus", "demo", "files", "highlighted", "models", "opening", "options", "outputs", "points", "report",
    "requirements", "skips", "sparing",
    "summary", "tables", "terminal", "texts", "topk",
]  # fmt: skip


@pytest.mark.parametrize("name", COMMAND_FILES)
def test_a_command_imports_public_rooms_only(name: str) -> None:
    tree = ast.parse((COMMANDS / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {module for module in imported if module.split(".")[0] == "normlens"}
    beyond = {module for module in ours if not module.startswith("normlens.cli")}
    assert beyond <= {"normlens", *(f"normlens.{room}" for room in ROOMS)}
