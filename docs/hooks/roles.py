"""Turns Sphinx's roles in docstrings, such as :meth:`save`, into code, with a link where the name is on a page."""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

ROLE = re.compile(r":(?:meth|func|class|attr|mod|data|exc|obj):<code>(~?)([\w.]+)</code>")


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace every role; a tilde shows the last part of the name, as in Sphinx."""
    return ROLE.sub(_linked, html)


def _linked(role: re.Match[str]) -> str:
    shown = role[2].rpartition(".")[2] if role[1] else role[2]
    return f'<autoref optional identifier="{role[2]}"><code>{shown}</code></autoref>'
