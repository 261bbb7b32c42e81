"""Output of ``normlens negation``: which words each cue reaches, on the terminal, as JSON or as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlens.cli.destinations import PICTURES
from normlens.cli.output.borderless import borderless
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import bar, messages, percent, printable, results

if TYPE_CHECKING:
    import xarray as xr

REACH_SUFFIXES = (*PICTURES, ".json")
_BAR = 24
_MEASURES = ("weight", "norm")


def give(
    reaches: Sequence[xr.Dataset], output: Path | None, as_json: bool, skipped: Sequence[dict[str, Any]] = ()
) -> None:
    """Write or print what each cue reaches.

    Parameters
    ----------
    reaches
        From :func:`normlens.negation.cue_reach`, for all sentences.
    output
        A picture or JSON, by its suffix; None for standard output.
    as_json
        Whether to print JSON and nothing else.
    skipped
        Lines that were skipped.

    Raises
    ------
    NormLensError
        If there are more cues than a picture holds, or the file can't be written.
    """
    if output is not None:
        _write(reaches, output, skipped)
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(_as_json(reaches, skipped))
    elif output is None:
        console = results()
        for reach in reaches:
            _show(console, reach)


def _write(reaches: Sequence[xr.Dataset], path: Path, skipped: Sequence[dict[str, Any]]) -> None:
    from normlens import figures
    from normlens.files.atomic import write_atomically

    if path.suffix.lower() in PICTURES:
        figures.save(figures.scope_maps(reaches), path)
    else:
        write_atomically(path, _as_json(reaches, skipped))


def _as_json(reaches: Sequence[xr.Dataset], skipped: Sequence[dict[str, Any]]) -> str:
    """Every cue with its words: the largest share and its layer, and the shares of all layers."""
    from normlens.negation import reached_words

    cues = []
    for reach in reaches:
        by_layer = {
            "weight": reach["weight_mean"].sel(direction="from_cue").values,
            "norm": reach["summed_norm_share"].sel(direction="from_cue").values,
        }
        words = [
            {**row, "shares": {name: values[:, row["number"]].tolist() for name, values in by_layer.items()}}
            for row in reached_words(reach)
        ]
        about = {name: reach.attrs[name] for name in ("text", "cue", "start", "end", "group")}
        cues.append({**about, "layers": reach["layer"].values.tolist(), "words": words})
    data = {"model": reaches[0].attrs["model"] if reaches else None, "cues": cues, "skipped": list(skipped)}
    return json_text(data)


def _show(console: Console, reach: xr.Dataset) -> None:
    """The sentence with its cue, and a row for each word."""
    from normlens.negation import reached_words

    attrs = reach.attrs
    sentence = Text(printable(attrs["text"]))
    sentence.stylize("bold reverse", attrs["start"], attrs["end"])
    console.print(Text.assemble("\n", (printable(attrs["model"]), "bold")), soft_wrap=True)
    console.print(sentence, soft_wrap=True)
    console.print(
        f"The share of “{printable(attrs['cue'])}” in what attention brings to a word, in the layer where it is largest\n",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    rows = reached_words(reach)
    console.print(_words(rows))
    if any(row["weight"] is None for row in rows):
        console.print("– : in a decoder nothing reaches the words before the cue", style="dim")
    console.print(_first(rows), style="dim", soft_wrap=True)


def _words(rows: Sequence[dict[str, Any]]) -> Table:
    table = borderless()
    table.add_column("word", header_style="bold", overflow="fold")
    for name in _MEASURES:
        table.add_column(f"by {name}", header_style="bold", no_wrap=True)
        table.add_column("layer", header_style="bold", justify="right")
    largest = max((row[name]["share"] for row in rows for name in _MEASURES if row[name] is not None), default=1.0)
    for row in rows:
        cells: list[Text | str] = [Text(printable(row["word"]))]
        for name in _MEASURES:
            cells += (
                ["–", ""] if row[name] is None else [_drawn(row[name]["share"], name, largest), str(row[name]["layer"])]
            )
        table.add_row(*cells)
    return table


def _drawn(share: float, measure: str, largest: float) -> Text:
    """A bar that is full for the largest share of the table."""
    return bar(share, measure, round(_BAR / largest) if largest > 0 else _BAR)


def _first(rows: Sequence[dict[str, Any]]) -> str:
    """The word that receives most from the cue, by each measure."""
    named = []
    for name in _MEASURES:
        reached = [row for row in rows if row[name] is not None]
        if reached:
            most = max(reached, key=lambda row: row[name]["share"])
            named.append(f"by {name} {printable(most['word'])} ({percent(most[name]['share'])})")
    return f"Reached most: {', '.join(named)}." if named else "The cue reaches no other word."
