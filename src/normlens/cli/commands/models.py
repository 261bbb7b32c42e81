"""``normlens models``: the models that have a short name, and how to get those that aren't installed."""

from __future__ import annotations

from typing import Annotated

import typer

from normlens.cli.options import Json
from normlens.cli.output.model_list import show, show_architectures


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
        show_architectures(as_json)
        return
    from normlens.loading import available_models

    show(available_models(), as_json)
