"""``normlens negation``: which words each cue of negation reaches, by weight and by norm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normlens.cli import options
from normlens.cli.commands.negated_sentences import NegatedSentences
from normlens.cli.destinations import check_ending, check_files
from normlens.cli.opening import open_lens
from normlens.cli.output.reached import REACH_SUFFIXES, give

if TYPE_CHECKING:
    from normlens.loading.outline import Outline


def negation(
    model: options.Model,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="One sentence per line, or a treebank (.conllu). Or pass --text.", show_default=False
        ),
    ] = None,
    text: options.SingleText = None,
    cue: Annotated[
        str | None,
        typer.Option(
            "--cue",
            help="The cue: a word, several words, or an affix such as un. Default: not, n't, no, never and the like.",
        ),
    ] = None,
    limit: options.Limit = None,
    skip_bad: options.SkipBad = False,
    output: options.ScopeMapFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Show which words each "not" reaches: its share in what attention brings to them, by weight and by norm.

    For each word, the layer with the largest share is shown; a picture and JSON hold all layers. Encoders and decoders are
    read; in a decoder, a cue reaches only the words after it.

    [bold]Examples[/bold]

    - [cyan]normlens negation minilm-l6 --text "The acting is not bad, but I never laughed."[/cyan]

    - [cyan]normlens negation smollm2-135m reviews.txt --limit 3 -o scopes.svg[/cyan]

    - [cyan]normlens negation minilm-l6 --text "an unhappy end" --cue un --json[/cyan]
    """
    check_ending(output, REACH_SUFFIXES)
    check_files(output, reads=[model, file], overwrite=overwrite)
    sentences = NegatedSentences.read(file, text, cue, limit, skip_bad=skip_bad)

    def check(outline: Outline) -> None:
        sentences.check_outline(outline)

    lens = open_lens(
        model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code, check=check
    )
    reaches = sentences.reached(lens)
    sentences.skips.report()
    give(reaches, output, as_json, sentences.skips.as_data())
