"""Results that are measured part by part: each is kept in one JSON file until it is measured again."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from finding import DOCS_IMAGES, RESULTS
from matplotlib.figure import Figure

from normlens import NormLensError, figures

T = TypeVar("T")


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


def tabulate(
    name: str,
    folder: Path,
    measured: Iterable[tuple[str, Mapping[str, Any]]],
    page: Callable[[dict[str, Any]], str],
    draw: Callable[[dict[str, Any]], Mapping[str, Figure]],
) -> int:
    """Keep parts as they are measured, then write page and figures of all that is kept.

    Parameters
    ----------
    name
        Of the files.
    folder
        Where they go.
    measured
        Parts with their numbers, measured as they are asked for; empty to draw what is kept anew.
    page, draw
        From everything that is kept to the page, and to figures by the end of their names.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    path = folder / f"{name}.json"
    try:
        for part, numbers in measured:
            keep(path, part, numbers)
            print(f"{part} kept", file=sys.stderr, flush=True)
        found = kept(path)
        if not found:
            raise NormLensError("No result is kept. Run without --redraw.")
        print(write(name, page(found), draw(found), folder))
    except NormLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure_of(part: str, measures: Mapping[str, T]) -> T:
    """What measures a part.

    Raises
    ------
    NormLensError
        If there is no such part.
    """
    if part not in measures:
        raise NormLensError(f"There is no part {part!r}; expected some of {', '.join(measures)}.")
    return measures[part]


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
