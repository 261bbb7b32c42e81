"""Attributions on the terminal: highlighted words, the strongest words, and sums."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlens.cli.output.borderless import borderless
from normlens.cli.terminal import printable, results

if TYPE_CHECKING:
    from normlens.figures import ScoredText

_FOR, _AGAINST, _AMOUNT = "#2e8bcc", "#e0662a", "#2aa07a"  # legible on dark and on light terminals
_FAINTEST = 0.06  # weaker words are not highlighted
_MOST_WORDS, _MOST_COMPARED = 8, 3
_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"


def show(texts: Sequence[ScoredText], model: str) -> None:
    """Print one attribution, or several, one below the other.

    Parameters
    ----------
    texts
        Words with their shares, one text per method.
    model
        Name of the model.
    """
    console = results()
    first = next((text for text in texts if text.balance), texts[0])
    name = f" · {printable(first.name)}" if len(texts) == 1 else ""
    console.print(Text.assemble("\n", (printable(model), "bold"), name), soft_wrap=True)
    console.print(Text(printable(first.explained)), soft_wrap=True)
    console.print()
    if len(texts) == 1:
        _show_one(console, first)
    else:
        _show_several(console, texts)


def highlighted(text: ScoredText) -> Text:
    """The words of a text on colors for their shares, followed by shares of no source in brackets.

    Parameters
    ----------
    text
        Words with their shares.

    Returns
    -------
    rich.text.Text
        Special tokens are dim; a second text starts on a new line.
    """
    from normlens.figures import highlight_colors

    drawn = Text()
    for k, word in enumerate(text.words):
        if k and word.side != text.words[k - 1].side:
            drawn.append("\n")
        elif k and not word.joined:
            drawn.append(" ")
        strength = text.strength(word)
        ground, ink = highlight_colors(strength, signed=text.signed)
        style = f"{ink} on {ground}" if abs(strength) >= _FAINTEST else "dim italic" if word.is_special else ""
        drawn.append(printable(word.text), style)
    for name, number in text.apart:
        drawn.append(f"  [{name} {text.written(number)}]", "dim")
    return drawn


def _show_one(console: Console, text: ScoredText) -> None:
    console.print(highlighted(text))
    console.print(Text.assemble(("\nStrongest words", "bold"), f", {text.note}" if text.note else ""))
    console.print(strongest(text))
    special = [f"{printable(word.text)} {text.written(word.share)}" for word in text.words if word.is_special]
    if special:
        console.print(Text(f"special tokens: {', '.join(special)}", style="dim"))
    show_sums(console, text)
    if text.advice:
        console.print(Text(f"\n{printable(text.advice)}"))


def show_sums(console: Console, text: ScoredText) -> None:
    """Print what the shares add up to, and how exactly."""
    if text.balance:
        console.print(Text(f"\n{text.balance}" + (f" ({text.unit})" if text.unit != "share" else "")))
    if text.conservation_error == text.conservation_error:
        terms = "The vectors" if text.note else "The shares"
        console.print(f"{terms} add up (relative error {text.conservation_error:.0e}).", style="dim")


def strongest(text: ScoredText) -> Table:
    """One row per word, with a bar."""
    table = borderless(show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for k in text.strongest(_MOST_WORDS):
        word = text.words[k]
        color = (_FOR if word.share >= 0 else _AGAINST) if text.signed else _AMOUNT
        eighths = round(8 * _BAR * abs(text.strength(word)))
        drawn = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        table.add_row(Text(printable(word.text)), text.written(word.share), Text(drawn, color))
    return table


def _show_several(console: Console, texts: Sequence[ScoredText]) -> None:
    rows = borderless(3, show_header=False)
    rows.add_column(no_wrap=True, style="bold")
    rows.add_column(overflow="fold")
    for text in texts:
        rows.add_row(text.name.replace(" ", "\n", 1), highlighted(text))
    console.print(rows)
    for _, group in groupby(texts, key=lambda text: [word.text for word in text.words]):
        console.print(Text("\nStrongest words", style="bold"))
        console.print(_side_by_side(list(group)))
    console.print(Text("\nSums", style="bold"))
    console.print(_sums(texts))
    for advice in dict.fromkeys(text.advice for text in texts if text.advice):
        console.print(Text(f"\n{printable(advice)}"))


def _side_by_side(texts: Sequence[ScoredText]) -> Table:
    """The strongest words of any method, in the order of the text; the strongest of each method is bold."""
    table = borderless(3)
    table.add_column("word", overflow="fold")
    for text in texts:
        table.add_column(text.name.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for k in sorted({k for text in texts for k in text.strongest(_MOST_COMPARED)}):
        cells = [
            Text(text.written(text.words[k].share), style="bold" if [k] == text.strongest(1) else "") for text in texts
        ]
        table.add_row(Text(printable(texts[0].words[k].text)), *cells)
    return table


def _sums(texts: Sequence[ScoredText]) -> Table:
    """One row per method: the sum of the shares, and the conservation error."""
    table = borderless(3)
    for heading in ("method", "sum", "unit", "conservation error"):
        table.add_column(heading, overflow="fold")
    for text in texts:
        error = f"{text.conservation_error:.0e}" if text.conservation_error == text.conservation_error else "–"
        table.add_row(text.name, text.balance or f"sources of {printable(text.explained)}", text.unit, error)
    return table
