"""Tables without lines, as every command prints them."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def borderless(gap: int = 2, **options: Any) -> Table:
    """An empty table without lines.

    Parameters
    ----------
    gap
        Blank columns between two columns of the table.
    **options
        Of :class:`rich.table.Table`, such as ``show_header``.
    """
    return Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), **options)


def numbers_table(first: str, *others: str) -> Table:
    """A table of names, on the left, and numbers, aligned right.

    Parameters
    ----------
    first
        Heading of the names.
    *others
        Headings of the numbers.
    """
    table = borderless()
    table.add_column(first, header_style="bold")
    for heading in others:
        table.add_column(heading, header_style="bold", justify="right")
    return table
