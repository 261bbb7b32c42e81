"""``normlens topk``: what a model still does when every target keeps k sources, and how many sources it needs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli import options as given
from normlens.cli.files import read_text
from normlens.cli.opening import open_lens
from normlens.cli.output.topk import Asked, give, measured, numbers_in

_CHOICE = "Which sources are kept"


class By(StrEnum):
    """What sources are chosen by."""

    weight = "weight"
    norm = "norm"
    random = "random"
    recent = "recent"


def topk(
    model: given.Model,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A text, read as one and cut into passages.", show_default=False)
    ],
    k: Annotated[
        str, typer.Option("-k", "--k", help="Sources per target, with commas between them.", rich_help_panel=_CHOICE)
    ] = "1,2,4,8,16,32,64",
    by: Annotated[
        By, typer.Option(help="Of the largest α, of the largest α‖f(x)‖, any, or the nearest.", rich_help_panel=_CHOICE)
    ] = By.weight,
    full_denominator: Annotated[
        bool,
        typer.Option(
            "--full-denominator",
            help="Kept weights stay as they were. Default: they sum to one again.",
            rich_help_panel=_CHOICE,
        ),
    ] = False,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens of each passage. Default: 256, or what the model has positions for.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Passages at most, spread evenly over the text.")] = 4,
    within: Annotated[
        float, typer.Option(help="How near a head's kept vector must come to the whole one, as a part of its length.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(min=0, max=given.LARGEST_SEED, help="Of --by random.")] = 0,
    as_json: given.Json = False,
    device: given.Device = None,
    dtype: given.Dtype = None,
    revision: given.Revision = None,
    trust_remote_code: given.TrustRemoteCode = False,
) -> None:
    """Restrict attention to the top-k keys of each query: how much the output changes, and how many keys it needs.

    Decoders are judged by the perplexity of the text, encoders by the cosine of mean-pooled embeddings with those of the
    dense model. In which layer many sources are needed stands in a table below.

    [bold]Examples[/bold]

    - [cyan]normlens topk smollm2-135m page.txt -k 4,16,64[/cyan]

    - [cyan]normlens topk minilm-l6 page.txt --by norm --full-denominator --json[/cyan]
    """
    asked = Asked(numbers_in(k), by.value, not full_denominator, tokens, limit, within, seed)
    asked.check()
    text = read_text(None, file)
    lens = open_lens(model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code)
    give(measured(lens, text, asked), lens.name, file, as_json)
