"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_MODEL = "The model"


class Scope(StrEnum):
    """How far into the block a norm follows the contributions."""

    attention = "attention"
    residual = "residual"
    layernorm = "layernorm"


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A bundled name ([bold]normlens models[/bold] lists them), a hub id, a folder with safetensors weights, "
        "or a GGUF file.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None, typer.Option(help="Where to compute, such as cuda. Default: cpu.", rich_help_panel=_MODEL)
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, float64, bfloat16 or float16. Default: the checkpoint's own.", rich_help_panel=_MODEL),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.", rich_help_panel=_MODEL)]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run Python code that the model's repository brings along.",
        rich_help_panel=_MODEL,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else, for machines.")]
Group = Annotated[
    str | None,
    typer.Option(help="One kind of attention only: encoder, decoder or cross. Default: all that the model has."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Texts that run together. The numbers don't depend on it.")]
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the report goes.")]
