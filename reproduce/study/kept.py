"""Kept results: the numbers of a study in one JSON file, with its page in Markdown and its figures as SVG."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure

from normlens import NormLensError, figures

RESULTS = Path(__file__).parents[1] / "results"

T = TypeVar("T")
PageOf = Callable[[dict[str, Any]], str]
"""From all kept results to the page."""

FiguresOf = Callable[[dict[str, Any]], Mapping[str, Figure]]
"""From all kept results to figures by their names."""


def numbers_of(study: str, output: Path) -> Path:
    """The file with the numbers of a study."""
    return output / study / "result.json"


def keep(path: Path, part: str, measured: Mapping[str, Any]) -> None:
    """Write one part to the file, in place of its earlier numbers; one line per part."""
    parts = {**kept(path), part: measured}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(parts[name], ensure_ascii=False)}" for name in sorted(parts))
    replace(path, "{\n" + lines + "\n}\n")


def kept(path: Path) -> dict[str, Any]:
    """The contents of the file, by part; empty if there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def rounded(value: Any) -> Any:
    """Numbers to five digits after the point, which no page shows; NaN is None."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    if isinstance(value, float):
        return None if value != value else round(float(value), 5)
    return value


def replace(path: Path, text: str) -> None:
    """Write a file completely, or leave the old one unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def tabulate(
    study: str,
    output: Path,
    measured: Iterable[tuple[str, Mapping[str, Any]]],
    page: PageOf,
    draw: FiguresOf,
) -> int:
    """Keep parts as they are measured, then write page and figures from all kept results.

    Parameters
    ----------
    study
        Name of the study and of its folder.
    output
        The folder of all studies.
    measured
        Parts with their numbers, measured lazily; empty to redraw kept results.
    page, draw
        Functions from all kept results to the page, and to figures by their names.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    path = numbers_of(study, output)

    def work() -> str:
        for part, numbers in measured:
            keep(path, part, numbers)
            print(f"{part} kept", file=sys.stderr, flush=True)
        results = kept(path)
        if not results:
            raise NormLensError("There is no kept result to redraw. Run without --redraw first.")
        return write(study, page(results), draw(results), output)

    return printed(work)


def printed(work: Callable[[], str]) -> int:
    """Print what ``work`` returns; exit status 2 after an error, which is printed."""
    try:
        print(work())
    except NormLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure_of(part: str, measures: Mapping[str, T]) -> T:
    """The function that measures a part.

    Raises
    ------
    NormLensError
        If there is no such part.
    """
    if part not in measures:
        raise NormLensError(f"There is no part {part!r}; expected one of {', '.join(measures)}.")
    return measures[part]


def write(study: str, text: str, drawn: Mapping[str, Figure], output: Path) -> str:
    """Write a page and its figures (by name) into the study's folder; return the page."""
    folder = output / study
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page.md").write_text(text + "\n", encoding="utf-8")
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.svg")
    return text
