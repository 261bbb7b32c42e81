"""Results that say in three lines what they are, what is in them and what to call next, as text and as HTML."""

from __future__ import annotations

import html
from abc import abstractmethod
from collections.abc import Iterable

_SHOWN = 3  # entries of a list in a summary


class Summarized:
    """A result whose ``repr`` and HTML ``repr`` are its summary."""

    def __repr__(self) -> str:
        return "\n".join(self._summary())

    def _repr_html_(self) -> str:
        return paragraph(self._summary()) + self._picture()

    @abstractmethod
    def _summary(self) -> tuple[str, str, str]:
        """Three lines: what it is, what is in it, what to call next."""

    def _picture(self) -> str:
        """What a notebook shows below the summary: HTML that is complete in itself; none by default."""
        return ""


def paragraph(lines: Iterable[str]) -> str:
    """Lines of text as a paragraph of HTML.

    Examples
    --------
    >>> paragraph(["<Lens>", "Next: …"])
    '<p>&lt;Lens&gt;<br>Next: …</p>'
    """
    return f"<p>{'<br>'.join(map(html.escape, lines))}</p>"


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "link"), counted(2, "link")
    ('1 link', '2 links')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def first_few(entries: Iterable[str]) -> str:
    """The first three entries, and a mark if there are more.

    Examples
    --------
    >>> first_few("abcd")
    'a, b, c, …'
    """
    listed = list(entries)
    return ", ".join([*listed[:_SHOWN], *(["…"] if len(listed) > _SHOWN else [])])
