"""Output of ``normlens analyze``: tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlens.cli.output.borderless import borderless
from normlens.cli.output.summary import mixing, shares, strongest
from normlens.cli.terminal import NORM, WEIGHT, counted, percent, printable, results

if TYPE_CHECKING:
    from normlens import Analysis
    from normlens.analysis import Group

_MOST_TARGETS = 40
_WHOLE = 1.0001  # shares with a larger sum count a source twice
_MANY = 8  # columns from which a table is set narrower
_WIDE = 100  # columns of a terminal with room for three sources per measure
_SHORT = {"feedforward": "ffn", "feedforward_residual": "ffn+resid."}
_NAMES = {
    "special": "special", "first token": "first token", "punctuation": "punctuation", "other": "the rest",
    "elsewhere": "no token",
}  # fmt: skip


def show(analysis: Analysis, layers: dict[str, int], head: int | None, scope: str, is_explicit: bool) -> None:
    """Print tables for each kind of attention, and how exact the numbers are.

    Parameters
    ----------
    analysis
        The analysis.
    layers
        The layer whose sources are shown, by group.
    head
        Head to show; None for all heads together.
    scope
        Scope of the norm.
    is_explicit
        Whether the user named the layer.
    """
    console = results()
    for name, layer in layers.items():
        console.print(_heading(analysis, name, analysis[name]), soft_wrap=True)
        _show_group(console, analysis[name], layer, head, scope, is_explicit)
    if analysis.attrs.get("not_measured"):
        console.print(f"\nNot measured: {analysis.attrs['not_measured']}", markup=False)
    console.print(
        f"\nContributions add up to the model's output (relative error at most {analysis.conservation_error:.0e}); norms of "
        f"random pairs match explicit vectors (at most {analysis.attrs['vector_error']:.0e}).",
        style="dim",
    )


def _show_group(console: Console, group: Group, layer: int, head: int | None, scope: str, is_explicit: bool) -> None:
    """Print shares by layer, the strongest sources of each target, and mixing ratios."""
    categories = shares(group, scope, head)
    if categories is not None:
        whose = "" if head is None else f" in head {head}"
        _print(console, f"Sources of what a target receives{whose}, scope {scope}", _shares(categories))
        if bool((categories.sum("category") > _WHOLE).any()):
            console.print("A special first token counts both as special and as the first token.", style="dim")
    rows = strongest(group, layer, scope, head, count=3 if console.width >= _WIDE else 2)
    if rows:
        why = "" if is_explicit or categories is None else ", where weights and norms differ most"
        title = f"Strongest sources in layer {layer}{why}; bold: the norm ranks another source first"
        _print(console, title, _strongest(rows[:_MOST_TARGETS]))
    if len(rows) > _MOST_TARGETS:
        console.print(f"and {len(rows) - _MOST_TARGETS} more targets; write all of them with -o", style="dim")
    of_all = "" if head is None else ", all heads together"
    _print(console, f"Mixing ratio: share that comes from other positions{of_all}", _mixing(mixing(group)))


def _heading(analysis: Analysis, name: str, group: Group) -> Text:
    """Model, kind of attention, and sizes."""
    sizes = group.data.sizes
    counts = [counted(sizes[name], name) for name in ("layer", "head", "target") if name in sizes]
    model = printable(str(analysis.attrs.get("model", "")))
    return Text.assemble("\n", (model, "bold"), " · ", (name, "bold"), " · ", ", ".join(counts))


def _shares(categories: xr.DataArray) -> Table:
    """One row per layer, two columns per category."""
    columns = []
    for category in categories["category"].values.tolist():
        for measure in ("weight", "norm"):
            heading = f"{_NAMES[category] if measure == 'weight' else ''}\n{measure}"
            columns.append((heading, measure, categories.sel(measure=measure, category=category)))
    return _by_layer(columns)


def _mixing(ratios_by_measure: dict[str, xr.DataArray]) -> Table:
    """One row per layer, one or two columns per scope."""
    columns = []
    for scope in ratios_by_measure["norm"]["scope"].values.tolist():
        for measure, ratios in ratios_by_measure.items():
            values = ratios.sel(scope=scope)
            if bool(values.notnull().any()):
                columns.append((f"{_SHORT.get(scope, scope)}\n{measure}", measure, values))
    return _by_layer(columns)


def _by_layer(columns: list[tuple[str, str, Any]]) -> Table:
    """Percentages by layer, with the mean in the last row."""
    gap = 2 if len(columns) < _MANY else 1
    table = borderless(gap, show_footer=True)
    table.add_column("\nlayer", justify="right", footer="mean", no_wrap=True, min_width=5)
    for heading, measure, values in columns:
        style = WEIGHT if measure == "weight" else NORM
        footer = Text(percent(float(values.mean())), style=f"bold {style}")
        table.add_column(Text(heading, style=style), footer=footer, justify="right", style=style, no_wrap=True)
    for place, layer in enumerate(columns[0][2]["layer"].values.tolist() if columns else []):
        table.add_row(str(layer), *(percent(float(values[place])) for _, _, values in columns))
    return table


def _strongest(rows: list[Any]) -> Table:
    """One row per target; bold if weight and norm rank different sources first."""
    table = borderless()
    table.add_column("target", no_wrap=True, overflow="ellipsis", min_width=8, max_width=16)
    for heading, style in (("by weight", WEIGHT), ("by norm", NORM)):
        table.add_column(heading, header_style=style, style=style, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(Text(row.target), Text(row.by_weight), Text(row.by_norm, style="bold" if row.differs else ""))
    return table


def _print(console: Console, title: str, table: Table) -> None:
    console.print(Text(f"\n{title}", style="bold"))
    console.print(table)
