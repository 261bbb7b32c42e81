"""``normlens models``: the models that have a short name, and how to get those that aren't installed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from normlens.cli.options import Json
from normlens.cli.terminal import results

if TYPE_CHECKING:
    from normlens.loading import AvailableModel

_ARCHITECTURES = """\
Any model of the transformers library whose attention can be followed exactly: encoders, decoders and
encoder-decoders, for text, images and sound; grouped-query and sliding-window attention, rotary and other position
schemes, attention sinks, parallel blocks, mixtures of experts.

A model is not trusted by its name. At first use, the measured contributions must add up to the output that the model
really produced, and random pairs of positions must match explicit vectors. A model that fails is refused, with the module
and the reason.

The documentation lists the tested model types and their scopes: docs/architectures.md.
To try one: normlens analyze MODEL "A short text."
"""


def models(
    as_json: Json = False,
    architectures: Annotated[
        bool, typer.Option("--architectures", help="Explain which kinds of model can be analyzed.")
    ] = False,
) -> None:
    """List the bundled and named models, and how to get those that aren't installed.

    [bold]Examples[/bold]

    - [cyan]normlens models[/cyan]

    - [cyan]normlens models --json[/cyan]

    - [cyan]normlens models --architectures[/cyan]
    """
    if architectures:
        typer.echo(json.dumps({"architectures": _ARCHITECTURES}) if as_json else _ARCHITECTURES, nl=as_json)
        return
    from normlens.loading import available_models

    rows = available_models()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], default=str, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("model", "what it is", "on this machine"):
        table.add_column(heading, header_style="bold", no_wrap=heading == "model", overflow="fold")
    for row in rows:
        table.add_row(row.name, row.about, _where(row))
    console = results()
    console.print(table)
    console.print(
        "\nAny other hub id, a folder with safetensors weights, or a GGUF file works too: "
        "[bold]normlens analyze MODEL TEXT[/bold]"
    )


def _where(row: AvailableModel) -> str:
    """Whether a model is on this machine and how large it is, or how to get it."""
    if row.installed and row.size is not None:
        return f"[green]yes[/], {row.size / 1e6:.0f} MB"
    return "[yellow]no:[/] downloaded when first used" if row.package == "hub" else f"[yellow]no:[/] {row.how}"
