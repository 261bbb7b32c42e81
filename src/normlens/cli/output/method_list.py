"""Output of ``normlens methods``: each method of attribution with its meaning, result and options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.padding import Padding
from rich.text import Text

from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import results

if TYPE_CHECKING:
    from normlens.attribution import Method

_TARGETS = {"none": "map of sources, no target", "optional": "shares of a target", "required": "shares of a target"}
_OTHER_FORMS = ("layers", "at", "vectors", "sources", "rolled", "group")  # of Python, not of words on a terminal


def show(methods: Sequence[Method], as_json: bool) -> None:
    """Print the methods.

    Parameters
    ----------
    methods
        In the order in which they are listed.
    as_json
        Whether to print JSON and nothing else.
    """
    if as_json:
        typer.echo(json_text([_plain(method) for method in methods]))
        return
    console = results()
    for method in methods:
        kind = _TARGETS[method.targets] + (
            ", which add up exactly" if method.exact and method.targets != "none" else ""
        )
        console.print(Text.assemble((method.name, "bold"), f"  {kind}"))
        console.print(Padding(Text(method.meaning), (0, 0, 0, 2)))
        about = f"{method.source}." + (f" Options: {', '.join(options)}." if (options := own_options(method)) else "")
        console.print(Padding(Text(about, style="dim"), (0, 0, 1, 2)))
    console.print(Text("normlens attribute MODEL TEXT --method NAME --option NAME=VALUE"))


def own_options(method: Method) -> list[str]:
    """A method's options with their defaults, as ``--option`` takes them."""
    return [
        f"{name}={'null' if value is None else value}"
        for name, value in method.options.items()
        if name not in _OTHER_FORMS
    ]


def _plain(method: Method) -> dict[str, object]:
    return {
        "name": method.name,
        "meaning": method.meaning,
        "source": method.source,
        "scopes": list(method.scopes),
        "target": method.targets,
        "signed": method.signed,
        "exact": method.exact,
        "options": {name: value for name, value in method.options.items() if name not in _OTHER_FORMS},
    }
