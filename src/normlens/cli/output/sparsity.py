"""Output of ``normlens topk``: quality by k, and the sources that targets need, as tables or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from normlens.cli.output.borderless import numbers_table
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import percent, results
from normlens.cli.text_files import shown_name


def give(measured: Mapping[str, Any], name: str, file: Path, as_json: bool) -> None:
    """Print the result.

    Parameters
    ----------
    measured
        From :func:`normlens.cli.commands.topk_runs.measured`.
    name, file
        Name of the model, and the file of its text.
    as_json
        Whether to print JSON and nothing else.
    """
    if as_json:
        typer.echo(json_text({"model": name, "file": str(file), **measured}))
        return
    settings, console = measured["settings"], results()
    criterion = settings["measure" if settings["keep"] == "largest" else "keep"]
    chosen = "chosen jointly" if criterion == "joint" else f"kept by {criterion}"
    weights = "weights renormalized" if settings["renormalize"] else "weights unchanged"
    console.print(
        f"{name}, {shown_name(file)}: {measured['passages']} of {measured['passages_in_text']} passages of "
        f"{measured['tokens']} tokens; sources {chosen}, {weights}.\n",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    console.print(_quality_table(measured))
    console.print(
        f"\nNumber of sources that a target needs to keep the relative error of a head's output below "
        f"{percent(settings['within'])} (median over heads and targets; then the head that needs the most)",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    _print_needed(console, measured["needed"])


def _quality_table(measured: Mapping[str, Any]) -> Table:
    decoder = "perplexity" in measured["dense"]
    headings = ["perplexity", "change", "same next token"] if decoder else ["cosine with dense", "lowest"]
    table = numbers_table("k", *headings)
    if decoder:
        table.add_row("dense", f"{measured['dense']['perplexity']:.2f}", "", "")
    for row in measured["kept"]:
        if decoder:
            ratio = row["perplexity"] / measured["dense"]["perplexity"]
            table.add_row(str(row["k"]), f"{row['perplexity']:.2f}", _change(ratio), percent(row["agreement"]))
        else:
            table.add_row(str(row["k"]), f"{row['cosine']:.4f}", f"{row['lowest_cosine']:.4f}")
    return table


def _change(ratio: float) -> str:
    """A ratio to the dense perplexity: as a change in percent below 2, otherwise as a factor.

    Examples
    --------
    >>> _change(1.014), _change(12.3)
    ('+1.4 %', '× 12')
    """
    return f"{100 * (ratio - 1):+.1f} %" if ratio < 2 else f"× {ratio:.0f}"


def _print_needed(console: Console, needed: Sequence[dict[str, Any]]) -> None:
    table = numbers_table("attention", "by weight", "by norm", "neediest head, by weight", "by norm")
    for row in needed:
        medians = [f"{row[name]['median']:g}" for name in ("weight", "norm")]
        neediest = [f"{row[name]['neediest']:g} (head {row[name]['head']})" for name in ("weight", "norm")]
        table.add_row(row["module"], *medians, *neediest)
    console.print(table)
