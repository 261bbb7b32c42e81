"""``normlens analyze``: one text through one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlens.cli.files import check_file, read_text, write
from normlens.cli.opening import open_lens, quiet
from normlens.cli.options import Device, Dtype, Group, Json, Model, Revision, Scope, TrustRemoteCode
from normlens.cli.terminal import NORM, WEIGHT, messages, percent, printable, results, waiting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr

    from normlens import Analysis
    from normlens.analysis import Group as AnalysisGroup

_MOST_TARGETS = 40
_NAMES = {
    "special": "special", "first token": "first token", "punctuation": "punctuation", "other": "the rest",
    "elsewhere": "no token",
}  # fmt: skip


def analyze(
    model: Model,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help='The text; "-" or nothing reads standard input.', show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Read the text from a file.")] = None,
    target: Annotated[str | None, typer.Option("-t", "--target", help="Encoder-decoders: the text to decode.")] = None,
    layer: Annotated[
        int | None, typer.Option(help="Layer to show. Default: where weight and norm differ most.")
    ] = None,
    head: Annotated[int | None, typer.Option(help="One head: α beside ‖α f(x)‖. Default: all heads together.")] = None,
    scope: Annotated[Scope, typer.Option(help="How far the norm follows the vectors.")] = Scope.attention,
    group: Group = None,
    words: Annotated[bool, typer.Option("--words", help="Merge sub-words into words.")] = False,
    generate: Annotated[int | None, typer.Option(help="Let a decoder continue by so many tokens first.")] = None,
    reduce: Annotated[
        str | None, typer.Option(help="Long texts: keep categories, sinks, edges or mean instead of all maps.")
    ] = None,
    chunk_size: Annotated[int | None, typer.Option(help="Long texts: so many targets at a time.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write .nc, .html, .png, .svg, .pdf, .parquet or .json instead."),
    ] = None,
    as_json: Json = False,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Analyse one text: what attention weights say, and what attention moves.

    [bold]Examples[/bold]

    - [cyan]normlens analyze minilm-l6 "The capital of France is Paris."[/cyan]

    - [cyan]normlens analyze minilm-l6 "Unbelievably, it worked." --words -o view.html[/cyan]

    - [cyan]normlens analyze smollm2-135m "Once upon a time" --generate 20 --layer 5[/cyan]

    - [cyan]normlens analyze Helsinki-NLP/opus-mt-de-en "Das ist gut." -t "That is good." --group cross[/cyan]

    - [cyan]normlens analyze minilm-l6 -f page.txt --reduce categories --chunk-size 64 --json | jq .attrs[/cyan]
    """
    given = read_text(text, file)
    if output is not None:
        check_file(output, reduced=reduce is not None)
    lens = open_lens(model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code)
    with waiting("Analysing"), quiet():
        analysis = lens.analyze(given, target, generate=generate, reduce=reduce, chunk_size=chunk_size)
    analysis = analysis.words() if words else analysis
    chosen = _chosen(analysis, group)
    layers = {name: _layer(analysis[name], layer, head, scope.value) for name in chosen}
    if output is not None:
        first = chosen[0]
        write(analysis, output, layer=layers[first], head=head, group=first, scope=scope)
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(analysis.to_json())
    elif output is None:
        _show(analysis, layers, head, scope.value, was_chosen=layer is not None)


def _chosen(analysis: Analysis, group: str | None) -> list[str]:
    """Names of the groups to show."""
    if group is not None and group not in analysis.groups:
        raise InvalidInput(f"There is no group {group} in this analysis; it has {', '.join(analysis.groups)}.")
    return analysis.groups if group is None else [group]


def _layer(group: AnalysisGroup, layer: int | None, head: int | None, scope: str) -> int:
    """The layer to show, once the choice was found to be possible."""
    from normlens.cli.summary import check_choice, shares, widest_gap

    check_choice(group, layer, head, scope)
    return widest_gap(shares(group, scope, head)) if layer is None else layer


def _show(analysis: Analysis, layers: dict[str, int], head: int | None, scope: str, was_chosen: bool) -> None:
    """Print one block per kind of attention."""
    from normlens.cli.summary import mixing, shares, strongest

    console = results()
    for name, layer in layers.items():
        group = analysis[name]
        console.print(_heading(analysis, name, group), soft_wrap=True)
        found = shares(group, scope, head)
        if found is not None:
            whose = "" if head is None else f" in head {head}"
            _print(console, f"Where what a target receives comes from{whose}, scope {scope}", _shares(found))
        rows = strongest(group, layer, scope, head)
        if rows:
            why = "" if was_chosen or found is None else ", where the two differ most"
            _print(
                console,
                f"Strongest sources in layer {layer}{why}; bold: norms disagree on the first",
                _strongest(rows[:_MOST_TARGETS]),
            )
        if len(rows) > _MOST_TARGETS:
            console.print(f"and {len(rows) - _MOST_TARGETS} more targets; -o writes them all", style="dim")
        _print(console, "Mixing ratio: how much comes from other positions", _mixing(mixing(group)))
    if analysis.attrs.get("not_measured"):
        console.print(f"\nNot measured: {analysis.attrs['not_measured']}", markup=False)
    console.print(
        f"\nParts add up to what the model produced within {analysis.conservation_error:.0e} of its length.",
        style="dim",
    )


def _heading(analysis: Analysis, name: str, group: AnalysisGroup) -> Text:
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
                columns.append((f"{scope}\n{measure}", measure, values))
    return _by_layer(columns)


def _by_layer(columns: list[tuple[str, str, Any]]) -> Table:
    """Percentages by layer, with their mean in the last row."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_footer=True)
    table.add_column("\nlayer", justify="right", footer="mean")
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
    table.add_column("target", overflow="fold")
    for heading, style in (("the weights say", WEIGHT), ("the norms say", NORM)):
        table.add_column(heading, header_style=style, style=style, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(Text(row.target), Text(row.by_weight), Text(row.by_norm, style="bold" if row.differs else ""))
    return table


def _print(console: Console, title: str, table: Table) -> None:
    console.print(Text(f"\n{title}", style="bold"))
    console.print(table)
