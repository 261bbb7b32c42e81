"""``normlens translation``: train a translation model for a language pair, and evaluate one."""

from __future__ import annotations

from typing import Annotated

import typer

from normlens.cli import language_pairs, options
from normlens.cli.checked_command import CheckedCommand
from normlens.cli.choices import GuidingAligner
from normlens.cli.destinations import check_creatable
from normlens.cli.help_pages import DescribedGroup
from normlens.cli.opening import quiet
from normlens.cli.output.training_progress import training_progress
from normlens.cli.terminal import starting

translation = typer.Typer(
    cls=DescribedGroup,
    name="translation",
    help="Train small translation models for any language pair, and evaluate them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@translation.command(cls=CheckedCommand)
def train(
    source_file: language_pairs.SourceFile,
    target_file: language_pairs.TargetFile = None,
    out: language_pairs.TrainingFolder = ...,  # type: ignore[assignment]  # Typer's sign of a required option
    both: Annotated[bool, typer.Option("--both", help="Train the opposite direction, too.")] = False,
    guide: language_pairs.TrainedWith = GuidingAligner.none,
    more_text: language_pairs.MoreText = None,
    tokenize: language_pairs.Tokenize = None,
    exclude: language_pairs.ExcludedText = None,
    held_out: language_pairs.HeldOut = None,
    source_language: language_pairs.TrainedSource = None,
    target_language: language_pairs.TrainedTarget = None,
    lowercase: language_pairs.Lowercase = False,
    recipe: language_pairs.RecipeSettings = None,
    device: options.TrainingDevice = None,
) -> None:
    """Train a translation model on a text and its translation.

    Prints the folder of the model, whose path every other command takes. Sizes follow from the amount of text. The time is
    estimated before the training begins.

    [bold]Examples[/bold]

    - [cyan]normlens translation train text.de text.fr --out runs --both[/cyan]

    - [cyan]normlens translation train pairs.tsv --tokenize de-fr --out runs --guide eflomal[/cyan]
    """
    files = language_pairs.text_files(source_file, target_file, more_text)
    languages = language_pairs.languages_of(files, tokenize, source_language, target_language)
    with starting():
        from normlens.translation import TrainingText
        from normlens.translation import train as train_models

        settings = language_pairs.recipe_settings(recipe)
    check_creatable(out)
    text = TrainingText(files, *languages, tokenize is not None, lowercase, exclude or (), held_out)
    with quiet(), training_progress() as progress:
        models = train_models(
            text, out, both=both, device=device, reporter=progress, **{"guide": guide.value, **settings}
        )
    for folder in (models.forward, models.reverse):
        if folder is not None:
            typer.echo(folder)


@translation.command(cls=CheckedCommand)
def evaluate(
    model: options.Model,
    source_file: language_pairs.SourceFile,
    target_file: language_pairs.TargetFile = None,
    tokenized: language_pairs.TokenizedTest = False,
    beams: language_pairs.Beams = None,
    output: options.TranslationsFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
) -> None:
    """Translate a test set and score the translations by BLEU and chrF, with the signatures of sacrebleu.

    Both files hold raw text, unless the model was trained on words that are separated by spaces ([bold]--tokenized[/bold]).

    [bold]Examples[/bold]

    - [cyan]normlens translation evaluate runs/de-fr test.de test.fr[/cyan]

    - [cyan]normlens translation evaluate Helsinki-NLP/opus-mt-de-fr test.tsv -o translations.txt --json[/cyan]
    """
    from normlens.cli.output.translations import check, evaluated, give, read

    check(output, [model, source_file, target_file], overwrite=overwrite)
    texts = read(source_file, target_file)
    result = evaluated(model, texts, tokenized=tokenized, beams=beams, batch_size=batch_size, device=device)
    give(result, output, as_json)
