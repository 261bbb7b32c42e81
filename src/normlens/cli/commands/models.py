"""``normlens models``: what is here, and how to get what isn't."""

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
Any Transformer of the transformers library whose attention can be followed exactly: encoders, decoders and
encoder-decoders, for text, images and sound; grouped-query and sliding-window attention, rotary and other position
schemes, attention sinks, parallel blocks, mixtures of experts.

A model is not trusted by its name. When it is first used, what was measured must add up to what the model really
produced, and random pairs of positions must equal explicit vectors; a model that fails is refused, and the message names
the module and the reason.

The table of model types that were checked, and at which scope, is in the documentation: docs/architectures.md.
To try one: normlens analyze MODEL "A short text."
"""


def models(
    as_json: Json = False,
    architectures: Annotated[
        bool, typer.Option("--architectures", help="Say which kinds of model can be analysed.")
    ] = False,
) -> None:
    """List the models that have a name here, and say how to get those that aren't installed.

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
        "\nAny other hub id, a folder with safetensors weights, or a GGUF file works as well: "
        "[bold]normlens analyze MODEL TEXT[/bold]"
    )


def _where(row: AvailableModel) -> str:
    """Whether a model is on this machine and how large it is, or how to get it."""
    if row.installed and row.size is not None:
        return f"[green]yes[/], {row.size / 1e6:.0f} MB"
    return "[yellow]no:[/] downloaded when first used" if row.package == "hub" else f"[yellow]no:[/] {row.how}"
