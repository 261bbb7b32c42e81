"""``normlens compare``: what several methods say of the same text."""

from __future__ import annotations

from typing import Annotated

import typer

from normlens.cli import options as given
from normlens.cli.files import read_input
from normlens.cli.opening import open_lens
from normlens.cli.output.answers import RESULT_SUFFIXES, give
from normlens.cli.output.attribute import Asked, explain_all, has_head, methods_named
from normlens.cli.outputs import check_ending, check_files
from normlens.cli.requirements import refuse_ignored


def compare(
    ctx: typer.Context,
    model: given.Model,
    text: given.Text = None,
    file: given.TextFile = None,
    methods: Annotated[
        str | None, typer.Option("-m", "--methods", help="Names with commas between them. Default: a telling few.")
    ] = None,
    target: given.Explained = None,
    against: given.Against = None,
    position: given.Position = None,
    row: given.Row = None,
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
    """Compare methods of attribution: what each one says of the same text, under each other.

    Methods that know targets explain the target; the others show the sources of the position where it is read.

    [bold]Examples[/bold]

    - [cyan]normlens compare smollm2-135m "The capital of Germany is" -t " Berlin" --against " Paris"[/cyan]

    - [cyan]normlens compare ./sentiment "A film of rare grace." -m decompx,alti,integrated_gradients -o compared.png[/cyan]
    """
    asked = Asked(target, against, position, row, target_text, text_pair)
    asked.check()
    check_ending(output, RESULT_SUFFIXES)
    check_files(output, reads=[model, file], overwrite=overwrite)
    read = read_input(text, file)
    chosen = methods_named(methods)
    lens = open_lens(
        model, task=task, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code,
        check=lambda outline: asked.check_outline(outline, read, chosen),
    )  # fmt: skip
    refuse_ignored(ctx, has_head=has_head(lens))
    results = explain_all(lens, read, asked, chosen)
    give(results, asked.row_of(lens, results), output, as_json)
