"""``normlens attribute``: how much each word contributes to a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from normlens.cli import options
from normlens.cli.choices import AnswerScore
from normlens.cli.commands.answer_options import AnswerOptions
from normlens.cli.commands.attribution_question import AttributionQuestion, has_head
from normlens.cli.commands.method_runs import explain
from normlens.cli.commands.named_methods import check_question, methods_asked, own_options
from normlens.cli.destinations import check_ending, check_files
from normlens.cli.media_inputs import read_inputs
from normlens.cli.opening import open_lens
from normlens.cli.output.answers import RESULT_SUFFIXES, give
from normlens.cli.output.explained_answer import give_answer
from normlens.cli.requirements import refuse_ignored

if TYPE_CHECKING:
    from normlens.loading.outline import Outline


def attribute(
    ctx: typer.Context,
    model: options.Model,
    text: options.Text = None,
    file: options.TextFile = None,
    image: options.Images = None,
    audio: options.Audio = None,
    method: options.SingleMethod = "decompx",
    target: options.Explained = None,
    against: options.Against = None,
    scope: options.MethodScope = None,
    position: options.Position = None,
    row: options.Row = None,
    layer: options.MapLayer = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Option of the method, such as steps=5. Can be repeated."),
    ] = None,
    text_pair: options.TextPair = None,
    target_text: options.TargetText = None,
    generate: options.Generate = None,
    answer: options.Answer = None,
    step_score: options.StepScore = AnswerScore.logprob,
    whole: options.Whole = False,
    spans: options.Spans = None,
    context: options.Context = None,
    question: options.Question = None,
    output: options.AttributionFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    task: options.Task = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Show how much each word contributes to a prediction: a class, the logit of a token, or another score.

    Without --target, the model's own prediction is explained; for a model without a head, the map of sources is shown.
    Subwords are merged into words. With --generate or --answer, every word of an answer is explained; with --context, it is
    shown which passage made the answer.

    [bold]Examples[/bold]

    - [cyan]normlens attribute smollm2-135m "The capital of Germany is" -t " Berlin" --against " Paris"[/cyan]

    - [cyan]normlens attribute ./sentiment "A film of rare grace." -t positive -o why.html[/cyan]

    - [cyan]normlens attribute ./squad "Who slept?" --text-pair "The cat slept." --task question-answering[/cyan]

    - [cyan]normlens attribute smollm2-135m "The capital of Germany is" --generate 10 -o answer.png[/cyan]

    - [cyan]normlens attribute smollm2-135m --context first.txt second.txt --question "Who slept?"[/cyan]

    - [cyan]normlens attribute minilm-l6 "Unbelievably, it worked." -m norm_rollout --row mean[/cyan]
    """
    answered = AnswerOptions(generate, answer, step_score, whole, spans, tuple(context or ()), question)
    asked = AttributionQuestion(target, against, position, row, target_text, text_pair, answered)
    asked.check()
    check_ending(output, RESULT_SUFFIXES)
    check_files(output, reads=[model, file, audio, *(image or ()), *(context or ())], overwrite=overwrite)
    read = answered.prompt(text) if context else read_inputs(text, file, image, audio)
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
    if answered.is_asked:
        give_answer(result, output, as_json)
    else:
        give(result, asked.row_of(lens, [result]), output, as_json)
