"""Output of ``normlens evict``: what each eviction loses, and the heads that pay for the best one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from normlens.cli.commands.evict_runs import best
from normlens.cli.output.borderless import numbers_table
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import counted, percent, results
from normlens.cli.text_files import shown_name


def give(measured: Mapping[str, Any], name: str, file: Path, as_json: bool) -> None:
    """Print the result.

    Parameters
    ----------
    measured
        From :func:`normlens.cli.commands.evict_runs.measured`.
    name, file
        Name of the model, and the file of its text.
    as_json
        Whether to print JSON and nothing else.
    """
    if as_json:
        typer.echo(json_text({"model": name, "file": str(file), **measured}))
        return
    console, evictions = results(), measured["evictions"]
    console.print(
        f"{name}, {shown_name(file)}: {counted(measured['tokens'], 'token')} read.\n", markup=False, soft_wrap=True
    )
    console.print(_scores(measured))
    if measured["loss"] is None:
        console.print(f"\nThe model was not run without the pairs. {measured['not_run']}", markup=False, soft_wrap=True)
    else:
        console.print(
            f"\nLoss rise: when the model reads the middle {measured['copied']} tokens of the text again, in nats; the loss "
            f"is {measured['loss']:.3f} with all pairs. Errors are relative, and mean over layers, heads and queries.",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    leading = best(evictions)
    worst = [head for head in leading["worst_heads"] if head["error"] != 0]
    if not worst:
        by = "" if all(row["head_error"] == 0 for row in evictions) else f" by {leading['score']}"
        console.print(f"\nNothing is lost{by}: the output of every head stays the same.", markup=False, soft_wrap=True)
        return
    console.print(f"\nThe heads whose output changes most by {leading['score']}", markup=False, soft_wrap=True)
    heads = numbers_table("layer", "head", "error")
    for head in worst:
        heads.add_row(str(head["layer"]), str(head["head"]), f"{head['error']:.3f}")
    console.print(heads)


def _scores(measured: Mapping[str, Any]) -> Table:
    ran = measured["loss"] is not None
    table = numbers_table(
        "score", "kept", "layer error", "head error", *(["loss rise", "same next token"] if ran else [])
    )
    for row in measured["evictions"]:
        numbers = [percent(row["kept"]), f"{row['layer_error']:.3f}", f"{row['head_error']:.3f}"]
        numbers += [f"{row['rise']:+.3f}", percent(row["agreement"])] if ran else []
        table.add_row(row["score"], *numbers)
    return table
