"""What a person sees: results on standard output, progress and messages on standard error."""

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
"""Blue is what the weights say, as in the pictures; a tone that dark and light terminals both show well."""
NORM = "#e0662a"
"""Vermilion is what attention moves."""

MEASURE_STYLES = {"weight": WEIGHT, "norm": NORM}

_FILE_WIDTH = 120
_EIGHTHS = " ▏▎▍▌▋▊▉"


class _CleanConsole(Console):
    """A console on which no name, label or path steers the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Take characters that would steer out of what is printed, or stands in a table."""
        return super().render_str(shown(text, lambda letter: letter if letter in "\n\t" else "·"), **options)


def results() -> Console:
    """Standard output, for results; wide where it is no terminal, so that tables stay whole."""
    console = _CleanConsole(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _FILE_WIDTH
    return console


def messages() -> Console:
    """Standard error as it is now, for everything else; nowhere if that is closed."""
    return _CleanConsole(file=sys.stderr, stderr=True, highlight=False, quiet=sys.stderr is None)


def show_error(message: str) -> None:
    """Print one short block on standard error.

    Parameters
    ----------
    message
        What was seen, what was expected, what to do.
    """
    lines = "\n".join(printable(line) for line in message.splitlines())
    messages().print(f"[bold red]normlens:[/] {escape(lines)}", soft_wrap=True)


def percent(share: float) -> str:
    """Write a share as a percentage, with a decimal below 10 %; "–" if there is none.

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


def bar(share: float, measure: str, width: int) -> Text:
    """Draw a share as a bar, followed by its percentage.

    Parameters
    ----------
    share
        Between 0 and 1, or NaN.
    measure
        "weight" or "norm", which tells the color.
    width
        Columns that a share of 1 takes.

    Returns
    -------
    rich.text.Text
    """
    eighths = 0 if share != share else round(8 * width * min(max(share, 0.0), 1.0))
    drawn = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return Text.assemble((drawn, MEASURE_STYLES[measure]), " " if drawn else "", percent(share))


def printable(text: str) -> str:
    r"""Replace what would steer a terminal, such as an escape sequence inside a text, by a middle dot; see `shown`.

    Parameters
    ----------
    text
        Anything, such as a token.

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
    """Say on standard error what is being waited for; a spinner if that is a terminal, else a line.

    Parameters
    ----------
    what
        Such as "Loading minilm-l6".
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
    """Turn a spinner while the libraries are imported; nothing where standard error is no terminal."""
    console = messages()
    with _spinner(console, "Starting") if console.is_terminal else nullcontext():
        yield


@contextmanager
def _spinner(console: Console, what: str) -> Iterator[None]:
    """A spinner that is seen at once: its own thread may have to wait for an import."""
    with console.status(what) as status:
        status.update(spinner="dots")
        yield


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Progress]:
    """Show a progress bar on standard error; advance its only task, number 0.

    Parameters
    ----------
    what
        Such as "Analyzing".
    total
        How many steps there will be; None if that isn't known.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = messages()
    if not console.is_terminal:
        texts = "" if total is None else f" {total} text{'' if total == 1 else 's'}"
        console.print(escape(printable(f"{what}{texts}")), soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(escape(printable(what)), total=total)
        yield progress
