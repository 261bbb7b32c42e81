"""Results that are measured part by part: each is kept in one JSON file until it is measured again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finding import DOCS_IMAGES, RESULTS
from matplotlib.figure import Figure

from normlens import figures


def keep(path: Path, part: str, measured: Mapping[str, Any]) -> None:
    """Put one part into the file, in place of its earlier numbers; one line per part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = {**kept(path), part: measured}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(parts[name], ensure_ascii=False)}" for name in sorted(parts))
    partial = path.with_suffix(".partial")
    partial.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    partial.replace(path)


def kept(path: Path) -> dict[str, Any]:
    """Everything that the file holds, by part; nothing if there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write(name: str, text: str, drawn: Mapping[str, Figure], folder: Path) -> str:
    """Write a page and its figures (by the end of their names), and show the figures in the docs; return the page."""
    (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    for ending, figure in drawn.items():
        for suffix in ("png", "svg"):
            path = figures.save(figure, folder / f"{name}_{ending}.{suffix}")
        if folder == RESULTS:
            DOCS_IMAGES.mkdir(exist_ok=True)
            shutil.copyfile(path, DOCS_IMAGES / path.name)
    return text
