"""Output of ``normlens heads``: heads whose weights mislead, and heads that move least; as text, table or picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlens.cli.destinations import PICTURES
from normlens.cli.output.borderless import borderless
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import bar, counted, messages, percent, printable, results, waiting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from normlens.statistics.heads import Sources

_SHOWN = 5  # heads of each list
_BAR = 16
_NOUNS = {"first_token": "the first token", "special": "special tokens"}


def give(
    name: str,
    tables: Mapping[str, tuple[pd.DataFrame, int]],
    sources: str,
    output: Path | None,
    as_json: bool,
    *,
    skipped: object,
) -> None:
    """Write or print the statistics of heads.

    Parameters
    ----------
    name
        Name of the model.
    tables
        By kind of attention: the table of :class:`~normlens.statistics.heads.HeadStatistics`, and the number of texts.
    sources
        "first_token" or "special".
    output
        A picture or a table, by its suffix; None for standard output.
    as_json
        Whether to print JSON and nothing else.
    skipped
        The lines that were skipped, ready for JSON.

    Raises
    ------
    NormLensError
        If no kind of attention has such sources, or the file can't be written.
    """
    shown = {kind: table for kind, (table, _) in tables.items() if f"{sources}_weight" in set(table["quantity"])}
    if not shown:
        raise InvalidInput(
            f"These texts have no special tokens for {name}, so there is nothing to show for --sources {sources}. Choose "
            "--sources first_token."
        )
    if output is not None:
        _write(name, tables, shown, sources, output, skipped)
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(_as_json(name, tables, skipped))
    elif output is None:
        for kind, table in shown.items():
            _show(results(), f"{name} · {kind} · {counted(tables[kind][1], 'text')}", table, sources)


def _write(
    name: str,
    tables: Mapping[str, tuple[pd.DataFrame, int]],
    shown: Mapping[str, pd.DataFrame],
    sources: str,
    path: Path,
    skipped: object,
) -> None:
    """The file appears whole or not at all."""
    from normlens.files.atomic import write_atomically

    suffix = path.suffix.lower()
    if suffix in PICTURES:
        from normlens.figures import save

        with waiting("Drawing"):
            save(_drawn(shown, sources), path)
    elif suffix == ".json":
        write_atomically(path, _as_json(name, tables, skipped))
    else:
        import pandas as pd

        whole = pd.concat([table.assign(group=kind) for kind, (table, _) in tables.items()], ignore_index=True)
        whole = whole[["group", *whole.columns.drop("group")]]
        if suffix == ".csv":
            write_atomically(path, whole.to_csv(index=False))
        else:
            write_atomically(path, whole.to_parquet(index=False))


def _drawn(shown: Mapping[str, pd.DataFrame], sources: str) -> Figure:
    """A scatter of heads for each kind of attention, side by side."""
    from normlens.figures.style import drawing_style, new_figure
    from normlens.statistics.heads import head_scatter

    with drawing_style():
        figure = new_figure(5.6 * len(shown), 4.4)
        row = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (kind, table) in zip(row, shown.items(), strict=True):
            head_scatter(table, cast("Sources", sources), ax=axes)
            if len(shown) > 1:
                axes.set_title(kind)
    return figure


def _as_json(name: str, tables: Mapping[str, tuple[pd.DataFrame, int]], skipped: object) -> str:
    """Each row of each table; missing numbers as null."""
    groups = {
        kind: {"texts": count, "rows": json.loads(table.to_json(orient="records", double_precision=15))}
        for kind, (table, count) in tables.items()
    }
    return json_text({"model": name, "groups": groups, "skipped": skipped})


def _show(console: Console, title: str, table: pd.DataFrame, sources: str) -> None:
    """Two short lists of heads."""
    overall = table[table["layer"].isna()].set_index("quantity")["value"]
    by_head = table[table["head"].notna()].pivot_table(index=["layer", "head"], columns="quantity", values="value")
    weight, norm = f"{sources}_weight", f"{sources}_norm"
    gap = by_head[weight] - by_head[norm]
    noun = _NOUNS[sources]
    console.print(Text(printable(title), style="bold"), soft_wrap=True)
    lines = [
        f"Of all weight, {percent(overall[weight])} is on {noun}; of what is moved, {percent(overall[norm])} comes from "
        "there."
    ]
    if sources == "first_token":
        lines.append(
            f"Heads with more than 30 % on it: {percent(overall['sink_by_weight'])} by weight, "
            f"{percent(overall['sink_by_norm'])} by norm."
        )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    console.print("\nHeads whose weights mislead most", style="bold")
    console.print(_rows(by_head.loc[gap.sort_values(ascending=False).index[:_SHOWN]], weight, norm))
    console.print("\nHeads that move least", style="bold")
    console.print(_rows(by_head.sort_values("relative_output_norm").iloc[:_SHOWN], weight, norm))
    console.print(
        "\noutput: length of the head's output, relative to the mean of its layer", style="dim", soft_wrap=True
    )


def _rows(heads: Any, weight: str, norm: str) -> Table:
    """One row for each head: layer.head, both shares, and its output."""
    table = borderless()
    for column in ("head", "by weight", "by norm"):
        table.add_column(column, header_style="bold", no_wrap=True)
    table.add_column("output", header_style="bold", justify="right", no_wrap=True)
    for (layer, head), row in heads.iterrows():
        shares = [bar(row[weight], "weight", _BAR), bar(row[norm], "norm", _BAR)]
        table.add_row(f"{layer}.{head}", *shares, percent(row["relative_output_norm"]))
    return table
