"""The terminal: results on standard output, progress and messages on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from normlens.words.characters import shown

WEIGHT = "#2e8bcc"
"""Blue stands for weights, as in the figures; the tone is legible on dark and on light terminals."""
NORM = "#e0662a"
"""Vermilion stands for norms."""

MEASURE_STYLES = {"weight": WEIGHT, "norm": NORM}

_FILE_WIDTH = 120
_EIGHTHS = " ▏▎▍▌▋▊▉"


class _CleanConsole(Console):
    """A console that prints no control characters, whatever names, labels and paths contain."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Replace control characters by a middle dot."""
        return super().render_str(shown(text, lambda letter: letter if letter in "\n\t" else "·"), **options)


def results() -> Console:
    """Standard output, for results; wide if it isn't a terminal, so that tables don't wrap."""
    console = _CleanConsole(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console


def messages() -> Console:
    """Standard error, for everything else; silent if it is closed."""
    return _CleanConsole(file=sys.stderr, stderr=True, highlight=False, quiet=sys.stderr is None)


def show_error(message: str) -> None:
    """Print an error message on standard error.

    Parameters
    ----------
    message
        What was seen, what was expected, what to do.
    """
    lines = "\n".join(printable(line) for line in message.splitlines())
    messages().print(f"[bold red]normlens:[/] {escape(lines)}", soft_wrap=True)


def percent(share: float) -> str:
    """Format a share as a percentage, with one decimal below 10 %; "–" for NaN.

    Parameters
    ----------
    share
        Between 0 and 1, or NaN.

    Returns
    -------
    str

    Examples
    --------
    >>> percent(0.384), percent(0.0712), percent(0.0), percent(float("nan"))
    ('38 %', '7.1 %', '0 %', '–')
    """
    if share != share:
        return "–"
    return f"{100 * share:.1f} %" if 0.0005 <= share < 0.0995 else f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    Examples
    --------
    >>> counted(1, "line"), counted(1200, "text")
    ('1 line', '1200 texts')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def bar(share: float, measure: str, width: int) -> Text:
    """Draw a share as a bar, followed by its percentage.

    Parameters
    ----------
    share
        Between 0 and 1, or NaN.
    measure
        "weight" or "norm"; selects the color.
    width
        Width of a share of 1, in columns.

    Returns
    -------
    rich.text.Text
    """
    eighths = 0 if share != share else round(8 * width * min(max(share, 0.0), 1.0))
    drawn = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return Text.assemble((drawn, MEASURE_STYLES[measure]), " " if drawn else "", percent(share))


def printable(text: str) -> str:
    r"""Replace control characters, such as those of an escape sequence in a text, by a middle dot; see `shown`.

    Parameters
    ----------
    text
        Any text, such as a token.

    Returns
    -------
    str
        As long as `text`.

    Examples
    --------
    >>> printable("a\x1b[31m")
    'a·[31m'
    """
    return shown(text, lambda _: "·")


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on standard error what is running: a spinner on a terminal, otherwise a line.

    Parameters
    ----------
    what
        What is running, such as "Loading minilm-l6".
    """
    console = messages()
    if not console.is_terminal:
        console.print(escape(printable(what)), soft_wrap=True)
        yield
        return
    with _spinner(console, escape(printable(what))):
        yield


@contextmanager
def starting() -> Iterator[None]:
    """Show a spinner while libraries are imported; nothing if standard error isn't a terminal."""
    console = messages()
    with _spinner(console, "Starting") if console.is_terminal else nullcontext():
        yield


@contextmanager
def _spinner(console: Console, what: str) -> Iterator[None]:
    """A spinner that is drawn at once, since its thread may have to wait for an import."""
    with console.status(what) as status:
        status.update(spinner="dots")
        yield


@contextmanager
def counting(what: str, total: int | None, noun: str = "text") -> Iterator[Progress]:
    """Show a progress bar with one task on standard error; the caller advances it.

    Parameters
    ----------
    what
        What is running, such as "Analyzing".
    total
        The number of steps; None if unknown.
    noun
        What is counted.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = messages()
    if not console.is_terminal:
        number = "" if total is None else f" {counted(total, noun)}"
        console.print(escape(printable(f"{what}{number}")), soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(escape(printable(what)), total=total)
        yield progress
