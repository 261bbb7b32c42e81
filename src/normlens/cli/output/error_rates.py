"""Output of ``normlens aer``: error rates as tables or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from normlens.cli.output.borderless import borderless
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import results

if TYPE_CHECKING:
    from normlens.alignment import Difference, Evaluation, LinkFile


def give(
    evaluations: Sequence[Evaluation], difference: Difference | None, files: Sequence[LinkFile], as_json: bool
) -> None:
    """Print the error rates of one or two alignments.

    Parameters
    ----------
    evaluations
        One for each alignment.
    difference
        Between two alignments; None for one.
    files
        The annotated links, then the alignments.
    as_json
        Whether to print JSON and nothing else.
    """
    if as_json:
        typer.echo(json_text(_as_data(evaluations, difference, files)))
        return
    names = [file.path for file in files[1:]]
    for name, evaluation in zip(names, evaluations, strict=True):
        if difference is not None:
            _say(f"{name}:")
        results().print(_table(evaluation))
        _say(
            f"{evaluation.sentences} sentence pairs, {evaluation.links} links against {evaluation.sure} sure and "
            f"{evaluation.possible} possible ones"
        )
    if difference is not None:
        _say(_in_words(difference, *names))
    _say(f"Words are counted from {', '.join(f'{file.base} in {file.path}' for file in files)}.")


def _as_data(
    evaluations: Sequence[Evaluation], difference: Difference | None, files: Sequence[LinkFile]
) -> dict[str, object]:
    data = evaluations[0].as_dict() | {"bases": [file.base for file in files]}
    return (
        data if difference is None else data | {"other": evaluations[1].as_dict(), "difference": difference.as_dict()}
    )


def _say(text: str) -> None:
    results().print(text, markup=False, soft_wrap=True)


def _in_words(difference: Difference, one: Path, other: Path) -> str:
    """The difference of two error rates, and which alignment is better."""
    low, high = (100 * x for x in difference.aer_interval)
    names = (one.name, other.name) if one.name != other.name else (str(one), str(other))
    numbers = f"{100 * difference.aer:+.1f}" + ("" if low != low else f" ({low:+.1f} to {high:+.1f})")
    better = names[0] if difference.aer < 0 else names[1]
    verdict = f"{better} is significantly better" if low > 0 or high < 0 else "the difference is not significant"
    return f"AER of {names[0]} minus AER of {names[1]}: {numbers}; {verdict}."


def _table(evaluation: Evaluation) -> Table:
    table = borderless()
    for heading in ("", "%", "95 % interval"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in ("aer", "precision", "recall"):
        low, high = getattr(evaluation, f"{name}_interval")
        interval = "–" if low != low else f"{100 * low:.1f} to {100 * high:.1f}"
        value = getattr(evaluation, name)
        table.add_row("AER" if name == "aer" else name, "–" if value != value else f"{100 * value:.1f}", interval)
    return table
