"""Output of ``normlens models``: the models with short names, and the kinds of model that can be analyzed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from normlens.cli.output.borderless import borderless
from normlens.cli.output.json_text import json_text
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


def show_architectures(as_json: bool) -> None:
    """Print which kinds of model can be analyzed."""
    typer.echo(json_text({"architectures": _ARCHITECTURES}) if as_json else _ARCHITECTURES, nl=as_json)


def show(models: Sequence[AvailableModel], as_json: bool) -> None:
    """Print the models, whether each is installed, and how to get it if not."""
    if as_json:
        typer.echo(json_text([asdict(model) | {"path": model.path and str(model.path)} for model in models]))
        return
    table = borderless()
    for heading in ("model", "description", "installed"):
        table.add_column(heading, header_style="bold", no_wrap=heading == "model", overflow="fold")
    for model in models:
        table.add_row(model.name, model.about, _installed(model))
    console = results()
    console.print(table)
    console.print(
        "\nAny other Hub id, a folder with safetensors weights, or a GGUF file works too: "
        "[bold]normlens analyze MODEL TEXT[/bold]"
    )


def _installed(model: AvailableModel) -> str:
    """Whether a model is installed and how large it is, or how to get it."""
    if model.installed and model.size is not None:
        return f"[green]yes[/], {model.size / 1e6:.0f} MB"
    return "[yellow]no:[/] downloaded when first used" if model.package == "hub" else f"[yellow]no:[/] {model.how}"
