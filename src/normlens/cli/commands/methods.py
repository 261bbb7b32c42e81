"""``normlens methods``: the methods of attribution, what each one measures, and its options."""

from __future__ import annotations

from normlens.cli.options import Json
from normlens.cli.output.method_list import show
from normlens.cli.terminal import starting


def methods(as_json: Json = False) -> None:
    """List the methods of attribution, with the options that --option sets.

    [bold]Examples[/bold]

    - [cyan]normlens methods[/cyan]

    - [cyan]normlens attribute smollm2-135m "Paris is in" -m occlusion --option replacement=pad[/cyan]
    """
    with starting():
        from normlens.attribution.registry import registered

        listed = list(registered().values())
    show(listed, as_json)
