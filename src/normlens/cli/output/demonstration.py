"""Output of ``normlens demo``: weights beside norms, layer by layer, and the paths of the reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from normlens.cli.output.borderless import borderless
from normlens.cli.terminal import NORM, WEIGHT, bar, percent, results

if TYPE_CHECKING:
    from normlens.statistics.report import Estimates

_INTRODUCTION = f"""\
[bold]What attention weights say, and what attention moves[/bold]
A [bold {WEIGHT}]weight[/] is the share of a vector that is mixed in; a [bold {NORM}]norm[/] is the length of what arrives.
{{}} sentences of news and Wikipedia (Universal Dependencies English PUD, CC BY-SA 3.0)
"""
_BAR_WIDTH = 24


@dataclass(frozen=True)
class DemoModel:
    """A model of the demonstration, and the sources whose share it shows.

    Attributes
    ----------
    model
        Bundled name.
    about
        What kind of model it is.
    category
        Category of the sources.
    sources
        The same in words.
    """

    model: str
    about: str
    category: str
    sources: str


def introduce(count: int) -> None:
    """Print what weights and norms are, and how many sentences are analyzed."""
    results().print(_INTRODUCTION.format(count), soft_wrap=True)


def show(demo_model: DemoModel, numbers: Estimates) -> None:
    """Print the share of the model's sources by weight and by norm: over all layers, then layer by layer."""
    console = results()
    weight, norm = _share(numbers, demo_model, "weight"), _share(numbers, demo_model, "norm")
    console.print(f"[bold]{demo_model.model}[/], {demo_model.about}")
    console.print(
        Text.assemble(
            "How much comes from ", demo_model.sources, "?\nWeights say ", (percent(weight), f"bold {WEIGHT}"),
            ", norms say ", (percent(norm), f"bold {NORM}"), ".",
        )
    )  # fmt: skip
    table = borderless()
    table.add_column("layer", justify="right")
    table.add_column("attention weights", header_style=WEIGHT, min_width=_BAR_WIDTH + 7)
    table.add_column("norms of what attention moves", header_style=NORM, min_width=_BAR_WIDTH + 7)
    for layer in numbers.layers:
        shares = {measure: _share(numbers, demo_model, measure, layer) for measure in ("weight", "norm")}
        table.add_row(str(layer), *(bar(share, measure, _BAR_WIDTH) for measure, share in shares.items()))
    console.print(table)
    console.print()


def point_to(reports: Iterable[Path], sentences: Iterable[Path]) -> None:
    """Print the paths of the pages that were written.

    Parameters
    ----------
    reports
        Pages about all sentences.
    sentences
        Pages about one sentence.
    """
    console = results()
    console.print("[bold]Open in a browser:[/]")
    for page in reports:
        console.print(f"  {page}", markup=False, soft_wrap=True)
    for page in sentences:
        console.print(f"  {page}   one sentence, token by token", markup=False, soft_wrap=True)


def _share(numbers: Estimates, demo_model: DemoModel, measure: str, layer: int | None = None) -> float:
    """Share of one measure that goes to the model's sources; NaN if it wasn't measured."""
    estimate = numbers.get("weight_share" if measure == "weight" else numbers.norm_share, demo_model.category, layer)
    return float("nan") if estimate is None else estimate.value
