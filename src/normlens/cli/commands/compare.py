"""``normlens compare``: several methods of attribution on the same text."""

from __future__ import annotations

import typer

from normlens.cli import options
from normlens.cli.commands.attribution_question import AttributionQuestion, has_head
from normlens.cli.commands.method_runs import explain_all
from normlens.cli.commands.named_methods import methods_named
from normlens.cli.destinations import check_ending, check_files
from normlens.cli.media_inputs import read_inputs
from normlens.cli.opening import open_lens
from normlens.cli.output.answers import RESULT_SUFFIXES, give
from normlens.cli.requirements import refuse_ignored


def compare(
    ctx: typer.Context,
    model: options.Model,
    text: options.Text = None,
    file: options.TextFile = None,
    image: options.Images = None,
    audio: options.Audio = None,
    methods: options.Methods = None,
    target: options.Explained = None,
    against: options.Against = None,
    position: options.Position = None,
    row: options.Row = None,
    text_pair: options.TextPair = None,
    target_text: options.TargetText = None,
    output: options.AttributionFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    task: options.Task = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Compare methods of attribution on the same text, one below the other.

    Methods that take a target explain it. The others show the sources of the position where the target is read.

    [bold]Examples[/bold]

    - [cyan]normlens compare smollm2-135m "The capital of Germany is" -t " Berlin" --against " Paris"[/cyan]

    - [cyan]normlens compare ./sentiment "A film of rare grace." -m decompx,alti,integrated_gradients -o compared.png[/cyan]
    """
    question = AttributionQuestion(target, against, position, row, target_text, text_pair)
    question.check()
    check_ending(output, RESULT_SUFFIXES)
    check_files(output, reads=[model, file, audio, *(image or ())], overwrite=overwrite)
    read = read_inputs(text, file, image, audio)
    chosen = methods_named(methods)
    lens = open_lens(
        model, task=task, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code,
        check=lambda outline: question.check_outline(outline, read, chosen),
    )  # fmt: skip
    refuse_ignored(ctx, has_head=has_head(lens))
    results = explain_all(lens, read, question, chosen)
    give(results, question.row_of(lens, results), output, as_json)
