"""The pages: each study has a Markdown template, filled with its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

Rows = Sequence[Sequence[str]]


def fill(template: str, **values: object) -> str:
    """Fill a template; consecutive blank lines, left by conditions, become one.

    Parameters
    ----------
    template
        Its path in the folder `reproduce`.
    **values
        Variables of the template. In a template, ``rows | table(headings)`` is `markdown_table`.
    """
    text = _environment().get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def markdown_table(rows: Rows, headings: Sequence[str]) -> str:
    """Lay out a Markdown table; the first column is text, the others are numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1]),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = markdown_table
    return environment
