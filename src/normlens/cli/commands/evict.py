"""``normlens evict``: which keys and values a model may drop once a text is read, and what that changes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli import options
from normlens.cli.commands.evict_runs import EvictSettings, measured, read_masks, share_in
from normlens.cli.opening import open_lens
from normlens.cli.output.evictions import give
from normlens.cli.text_files import read_text

_CHOICE = options.SELECTION


class Budget(StrEnum):
    """How pairs are shared out."""

    head = "head"
    layer = "layer"
    model = "model"


def evict(
    model: options.Model,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Text to read. - reads standard input.", show_default=False)
    ],
    keep: Annotated[
        str, typer.Option(metavar="SHARE", help="Share of pairs that stay.", rich_help_panel=_CHOICE)
    ] = "50%",
    score: Annotated[
        str,
        typer.Option(
            metavar="SCORE,…",
            help="What ranks keys: weight, snapkv, streaming, vatp, criticalkv, kvzip+, norm, displacement, joint, random. "
            "Several are separated by commas.",
            rich_help_panel=_CHOICE,
        ),
    ] = "weight,norm,displacement,random",
    budget: Annotated[
        Budget,
        typer.Option(
            metavar="BUDGET",
            help="Every head keeps equally many pairs, or the heads of a layer or of the model compete.",
            rich_help_panel=_CHOICE,
        ),
    ] = Budget.head,
    queries: Annotated[
        int | None,
        typer.Option(help="Score and measure by this many queries at the end of the text. Default: all."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Measure your own eviction: a .npy file, Boolean, (layer, head, source).", show_default=False
        ),
    ] = None,
    tokens: options.PassageTokens = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Choose the (key, value) pairs that each head of a decoder keeps once a text is read, and measure what is lost.

    The errors of heads and layers are exact, and are computed without running the model again. Then the model is run: it
    copies the middle of the text, with all pairs and without the evicted ones.

    [bold]Examples[/bold]

    - [cyan]normlens evict smollm2-135m page.txt --keep 50%[/cyan]

    - [cyan]normlens evict smollm2-135m page.txt --keep 25% --score weight,joint --queries 64 --json[/cyan]
    """
    names = () if mask is not None else tuple(dict.fromkeys(name.strip() for name in score.split(",")))
    settings = EvictSettings(share_in(keep), names, budget.value, queries, tokens, seed)
    settings.check()
    text = read_text(None, file)
    masks = None if mask is None else read_masks(mask)
    lens = open_lens(model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code)
    give(measured(lens, text, settings, masks), lens.name, file, as_json)
