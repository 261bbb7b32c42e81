"""Keeps numbers and their units on one line in tables: 60 %, 28 ms."""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

CELL = re.compile(r"<t[dh]\b[^>]*>.*?</t[dh]>", re.S)
UNIT = re.compile(r"(?<=\d) (?=(?:%|s|ms|min|MiB|GiB)(?![\w.]))")


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put a no-break space between number and unit in every cell."""
    return CELL.sub(lambda cell: UNIT.sub("\u00a0", cell[0]), html)
