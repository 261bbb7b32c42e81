"""One analysis as tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlens.cli.output.summary import mixing, shares, strongest
from normlens.cli.terminal import NORM, WEIGHT, percent, printable, results

if TYPE_CHECKING:
    from normlens import Analysis
    from normlens.analysis import Group

_MOST_TARGETS = 40
_WHOLE = 1.0001  # shares that sum to more count something twice
_MANY = 8  # columns of percentages
_WIDE = 100  # a terminal of so many letters has room for three sources on each side
_SHORT = {"feedforward": "ffn", "feedforward_residual": "ffn+resid."}
_NAMES = {
    "special": "special", "first token": "first token", "punctuation": "punctuation", "other": "the rest",
    "elsewhere": "no token",
}  # fmt: skip


def show(analysis: Analysis, layers: dict[str, int], head: int | None, scope: str, was_chosen: bool) -> None:
    """Print one block per kind of attention, and how exact the numbers are.

    Parameters
    ----------
    analysis
        What to show.
    layers
        The layer whose sources are shown, by the groups that are shown.
    head
        One head. Default: all together.
    scope
        Of the norm.
    was_chosen
        Whether the layer was asked for, not found.
    """
    console = results()
    for name, layer in layers.items():
        console.print(_heading(analysis, name, analysis[name]), soft_wrap=True)
        _show_group(console, analysis[name], layer, head, scope, was_chosen)
    if analysis.attrs.get("not_measured"):
        console.print(f"\nNot measured: {analysis.attrs['not_measured']}", markup=False)
    console.print(
        f"\nParts add up to what the model produced within {analysis.conservation_error:.0e} of its length; the norms of "
        f"random parts are those of their vectors within {analysis.attrs['vector_error']:.0e}.",
        style="dim",
    )


def _show_group(console: Console, group: Group, layer: int, head: int | None, scope: str, was_chosen: bool) -> None:
    """Print shares by layer, the strongest sources of each target, and mixing ratios."""
    found = shares(group, scope, head)
    if found is not None:
        whose = "" if head is None else f" in head {head}"
        _print(console, f"Where what a target receives comes from{whose}, scope {scope}", _shares(found))
        if bool((found.sum("category") > _WHOLE).any()):
            console.print("A special first token counts as special and as the first token.", style="dim")
    rows = strongest(group, layer, scope, head, count=3 if console.width >= _WIDE else 2)
    if rows:
        why = "" if was_chosen or found is None else ", where the two differ most"
        title = f"Strongest sources in layer {layer}{why}; bold: norms disagree on the first"
        _print(console, title, _strongest(rows[:_MOST_TARGETS]))
    if len(rows) > _MOST_TARGETS:
        console.print(f"and {len(rows) - _MOST_TARGETS} more targets; -o writes them all", style="dim")
    of_all = "" if head is None else ", all heads together"
    _print(console, f"Mixing ratio: how much comes from other positions{of_all}", _mixing(mixing(group)))


def _heading(analysis: Analysis, name: str, group: Group) -> Text:
    """Which model, which attention, how large."""
    sizes = group.data.sizes
    counts = [f"{sizes['layer']} layers", *([f"{sizes['head']} heads"] if "head" in sizes else [])]
    counts.append(f"{sizes['target']} targets")
    model = printable(str(analysis.attrs.get("model", "")))
    return Text.assemble("\n", (model, "bold"), " · ", (name, "bold"), " · ", ", ".join(counts))


def _shares(found: xr.DataArray) -> Table:
    """One row per layer, two columns per category."""
    columns = []
    for category in found["category"].values.tolist():
        for measure in ("weight", "norm"):
            heading = f"{_NAMES[category] if measure == 'weight' else ''}\n{measure}"
            columns.append((heading, measure, found.sel(measure=measure, category=category)))
    return _by_layer(columns)


def _mixing(found: dict[str, xr.DataArray]) -> Table:
    """One row per layer, one or two columns per scope."""
    columns = []
    for scope in found["norm"]["scope"].values.tolist():
        for measure, ratios in found.items():
            values = ratios.sel(scope=scope)
            if bool(values.notnull().any()):
                columns.append((f"{_SHORT.get(scope, scope)}\n{measure}", measure, values))
    return _by_layer(columns)


def _by_layer(columns: list[tuple[str, str, Any]]) -> Table:
    """Percentages by layer, with their mean in the last row."""
    gap = 2 if len(columns) < _MANY else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), show_footer=True)
    table.add_column("\nlayer", justify="right", footer="mean", no_wrap=True, min_width=5)
    for heading, measure, values in columns:
        style = WEIGHT if measure == "weight" else NORM
        footer = Text(percent(float(values.mean())), style=f"bold {style}")
        table.add_column(Text(heading, style=style), footer=footer, justify="right", style=style, no_wrap=True)
    for place, layer in enumerate(columns[0][2]["layer"].values.tolist() if columns else []):
        table.add_row(str(layer), *(percent(float(values[place])) for _, _, values in columns))
    return table


def _strongest(rows: list[Any]) -> Table:
    """One row per target; bold where weight and norm disagree."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("target", no_wrap=True, overflow="ellipsis", min_width=8, max_width=16)
    for heading, style in (("the weights say", WEIGHT), ("the norms say", NORM)):
        table.add_column(heading, header_style=style, style=style, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(Text(row.target), Text(row.by_weight), Text(row.by_norm, style="bold" if row.differs else ""))
    return table


def _print(console: Console, title: str, table: Table) -> None:
    console.print(Text(f"\n{title}", style="bold"))
    console.print(table)
