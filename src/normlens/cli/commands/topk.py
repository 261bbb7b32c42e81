"""``normlens topk``: how a model's output changes with k sources per target, and how many sources a target needs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli import options
from normlens.cli.commands.topk_runs import TopKSettings, measured, numbers_in
from normlens.cli.opening import open_lens
from normlens.cli.output.sparsity import give
from normlens.cli.text_files import read_text

_CHOICE = options.SELECTION


class By(StrEnum):
    """What chooses the sources that each target keeps."""

    weight = "weight"
    norm = "norm"
    displacement = "displacement"
    joint = "joint"
    random = "random"
    recent = "recent"


_BASELINES = (By.random, By.recent)


def topk(
    model: options.Model,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Text to cut into passages. - reads standard input.", show_default=False),
    ],
    k: Annotated[
        str,
        typer.Option(
            "-k",
            "--k",
            metavar="K,…",
            help="Number of sources per target. Several are separated by commas.",
            rich_help_panel=_CHOICE,
        ),
    ] = "1,2,4,8,16,32,64",
    by: Annotated[
        By,
        typer.Option(
            metavar="BY",
            help="Sources to keep: the largest by weight, norm or displacement; joint: the best k together (for short "
            "passages); random ones; or the most recent ones.",
            rich_help_panel=_CHOICE,
        ),
    ] = By.weight,
    full_denominator: Annotated[
        bool,
        typer.Option(
            "--full-denominator",
            help="Keep the full softmax denominator. Default: renormalize the kept weights.",
            rich_help_panel=_CHOICE,
        ),
    ] = False,
    tokens: options.PassageTokens = None,
    passages: Annotated[
        int, typer.Option(min=1, help="Use at most this many passages, spread evenly over the text.")
    ] = 4,
    within: Annotated[
        float, typer.Option(help="Largest relative error allowed in a head's output when sources are counted.")
    ] = 0.1,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Measure how much the output changes with k sources per target, and how many sources a target needs.

    Decoders are evaluated by the perplexity of the text, encoders by the cosine of their mean-pooled embeddings with those
    of the dense model. A second table shows how many sources the targets of each layer need.

    [bold]Examples[/bold]

    - [cyan]normlens topk smollm2-135m page.txt -k 4,16,64[/cyan]

    - [cyan]normlens topk minilm-l6 page.txt --by norm --full-denominator --json[/cyan]
    """
    settings = TopKSettings(
        numbers_in(k),
        By.weight.value if by in _BASELINES else by.value,
        by.value if by in _BASELINES else "largest",
        not full_denominator,
        tokens,
        passages,
        within,
        seed,
    )
    settings.check()
    text = read_text(None, file)
    lens = open_lens(model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code)
    give(measured(lens, text, settings), lens.name, file, as_json)
