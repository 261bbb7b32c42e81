"""``normlens analyze``: analyze one text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normlens.cli import options
from normlens.cli.choices import ATTENTION_SCOPES, Scope, Split
from normlens.cli.destinations import PICTURES, SUFFIXES, check_ending, check_files
from normlens.cli.media_inputs import media_named, read_inputs
from normlens.cli.opening import open_lens, quiet
from normlens.cli.output.analysis_file import write
from normlens.cli.terminal import messages, starting, waiting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens import Analysis
    from normlens.loading.outline import Outline

_WITH_BOTH = (*PICTURES, ".html")
"""Formats that show weights beside norms."""


@dataclass(frozen=True)
class View:
    """What to show of an analysis.

    Attributes
    ----------
    group
        Kind of attention; None for all.
    layer
        Layer; None for the one where weights and norms differ most.
    head
        Head; None for all heads together.
    scope
        Scope of the norm.
    """

    group: str | None
    layer: int | None
    head: int | None
    scope: Scope


def analyze(
    model: options.Model,
    text: options.Text = None,
    file: options.TextFile = None,
    image: options.Images = None,
    audio: options.Audio = None,
    target_text: options.TargetText = None,
    layer: options.ShownLayer = None,
    head: options.Head = None,
    scope: options.LayerScope = Scope.attention,
    product: options.Product = Split.half,
    group: options.Group = None,
    words: Annotated[bool, typer.Option("--words", help="Merge subwords into words.")] = False,
    generate: options.Generate = None,
    reduce: options.Reduce = None,
    chunk_size: Annotated[
        int | None,
        typer.Option(min=1, help="Process this many target positions at a time, to save memory on long texts."),
    ] = None,
    measures: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Measures to write with -o or --json: weight, vector_norm, weighted_norm, norm, mixing_ratio (the default: "
            "these five), displacement, contribution_weight, output_norm.",
        ),
    ] = None,
    output: options.AnalysisFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Analyze one text: attention weights beside the norms of the vectors that attention moves.

    [bold]Examples[/bold]

    - [cyan]normlens analyze minilm-l6 "The capital of France is Paris."[/cyan]

    - [cyan]normlens analyze minilm-l6 "Unbelievably, it worked." --words -o view.html[/cyan]

    - [cyan]normlens analyze minilm-l6 "Unbelievably, it worked." --scope block[/cyan]

    - [cyan]normlens analyze smollm2-135m "Once upon a time" --generate 20 --layer 5[/cyan]

    - [cyan]normlens analyze Helsinki-NLP/opus-mt-de-en "Das ist gut." --target-text "That is good." --group cross[/cyan]

    - [cyan]normlens analyze smollm2-135m -f page.txt --reduce categories --chunk-size 64 --json | jq .attrs[/cyan]
    """
    check_ending(output, SUFFIXES, reduced=reduce is not None)
    check_files(output, reads=[model, file, audio, *(image or ())], overwrite=overwrite)
    names = None if measures is None else _checked_measures(measures, output)
    read = read_inputs(text, file, image, audio)

    def check(outline: Outline) -> None:
        outline.check_media(**media_named(read))
        outline.check_second_text(target_text is not None, "--target-text")
        outline.check_view(group, layer, head)

    lens = open_lens(
        model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code, check=check
    )
    with waiting("Analyzing"), quiet():
        analysis = lens.analyze(
            read, target_text, generate=generate, reduce=reduce, chunk_size=chunk_size, product=product.value,
            through="attention" if scope in ATTENTION_SCOPES else "block", measures=names,
        )  # fmt: skip
    _give(analysis.words() if words else analysis, View(group, layer, head, scope), output, as_json)


def _checked_measures(measures: str, output: Path | None) -> list[str]:
    """The names of measures; refuses a format that shows others."""
    with starting():
        from normlens.analysis.measurement import left_out
    names = [name.strip() for name in measures.split(",")]
    missing = left_out(names)
    if missing and output is not None and output.suffix.lower() in _WITH_BOTH:
        raise InvalidInput(
            f"{output.name} shows weights and norms, and --measures leaves out {', '.join(missing)}. Add them, or "
            "choose .nc or .json."
        )
    return names


def _give(analysis: Analysis, view: View, output: Path | None, as_json: bool) -> None:
    """Write the analysis, or print it."""
    layers = _layers(analysis, view)
    if output is not None:
        group, layer = next(iter(layers.items()))
        write(analysis, output, layer=layer, head=view.head, group=group, scope=view.scope)
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(analysis.to_json())
    elif output is None:
        from normlens.cli.output.analysis_tables import show

        show(analysis, layers, view.head, view.scope.value, is_explicit=view.layer is not None)


def _layers(analysis: Analysis, view: View) -> dict[str, int]:
    """The groups to show, and the layer of each; refuses what the analysis doesn't have."""
    from normlens.cli.output.summary import check_choice, shares, widest_gap

    if view.group is not None and view.group not in analysis.groups:
        raise InvalidInput(
            f"This analysis has no group {view.group}; it has {', '.join(analysis.groups)}. Choose one of these."
        )
    layers = {}
    for name in analysis.groups if view.group is None else [view.group]:
        if not {"weight", "norm"} <= set(analysis[name].data.variables) and not analysis.attrs.get("reduce"):
            layers[name] = int(analysis[name].data["layer"].values[0])  # of measures that only files hold
            continue
        check_choice(analysis[name], view.layer, view.head, view.scope)
        gap = shares(analysis[name], view.scope, view.head) if view.layer is None else None
        layers[name] = widest_gap(gap) if view.layer is None else view.layer
    return layers
