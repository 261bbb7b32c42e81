"""``normlens attribute``: which words made the model say this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from normlens.cli import options as given
from normlens.cli.files import read_input
from normlens.cli.opening import open_lens
from normlens.cli.output.answers import RESULT_SUFFIXES, give
from normlens.cli.output.attribute import Asked, check_question, explain, has_head, methods_asked, own_options
from normlens.cli.outputs import check_ending, check_files
from normlens.cli.requirements import refuse_ignored

if TYPE_CHECKING:
    from normlens.loading.outline import Outline


def attribute(
    ctx: typer.Context,
    model: given.Model,
    text: given.Text = None,
    file: given.TextFile = None,
    method: Annotated[str, typer.Option("-m", "--method", help="How: [bold]compare[/bold] shows several.")] = "decompx",
    target: given.Explained = None,
    against: given.Against = None,
    scope: Annotated[
        str | None, typer.Option(help="For norm_rollout: how far into each block. Default: encoder.")
    ] = None,
    position: given.Position = None,
    row: given.Row = None,
    layer: Annotated[
        int | None, typer.Option(min=0, help="For maps: rolled out through this layer. Default: the whole model.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME=VALUE", help="One of the method's own, such as steps=5; may be repeated."
        ),
    ] = None,
    text_pair: given.TextPair = None,
    target_text: given.TargetText = None,
    output: given.AttributionFile = None,
    overwrite: given.Overwrite = False,
    as_json: given.Json = False,
    task: given.Task = None,
    device: given.Device = None,
    dtype: given.Dtype = None,
    revision: given.Revision = None,
    trust_remote_code: given.TrustRemoteCode = False,
) -> None:
    """Say which words made the model say this: each word's share of a class, a token's logit, or any other number.

    Without --target it is what the model itself predicts; a model without a head gets its map of sources. Sub-words are
    merged into words.

    [bold]Examples[/bold]

    - [cyan]normlens attribute smollm2-135m "The capital of Germany is" -t " Berlin" --against " Paris"[/cyan]

    - [cyan]normlens attribute ./sentiment "A film of rare grace." -t positive -o why.html[/cyan]

    - [cyan]normlens attribute ./squad "Who slept?" --text-pair "The cat slept." --task question-answering[/cyan]

    - [cyan]normlens attribute minilm-l6 "Unbelievably, it worked." -m norm_rollout --row mean[/cyan]
    """
    asked = Asked(target, against, position, row, target_text, text_pair)
    asked.check()
    check_ending(output, RESULT_SUFFIXES)
    check_files(output, reads=[model, file], overwrite=overwrite)
    read = read_input(text, file)
    (chosen,) = methods_asked(ctx.params)
    own = own_options(option or [], chosen)
    check_question(chosen, scope, own)

    def check(outline: Outline) -> None:
        asked.check_outline(outline, read, [chosen])
        outline.check_view(layer=layer)

    lens = open_lens(
        model,
        task=task,
        device=device,
        dtype=dtype,
        revision=revision,
        trust_remote_code=trust_remote_code,
        check=check,
    )
    refuse_ignored(ctx, has_head=has_head(lens))
    result = explain(lens, read, asked, chosen, scope, layer, own)
    give(result, asked.row_of(lens, [result]), output, as_json)
