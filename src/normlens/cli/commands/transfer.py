"""``normlens transfer``: train a child of a translation model, merge it, translate with it, and evaluate it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from normlens.cli import language_pairs, options
from normlens.cli.checked_command import CheckedCommand
from normlens.cli.destinations import check_creatable
from normlens.cli.help_pages import DescribedGroup
from normlens.cli.opening import open_lens, quiet
from normlens.cli.output.training_progress import training_progress
from normlens.cli.terminal import starting

transfer = typer.Typer(
    cls=DescribedGroup,
    name="transfer",
    help="Adapt a translation model to a new language by its embeddings and its cross-attention.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Parent = Annotated[
    str,
    typer.Argument(
        metavar="PARENT",
        help="A translation model: a bundled one (listed by [bold]normlens models[/bold]), a Hub id, or a folder.",
        show_default=False,
    ),
]
DeltaFolder = Annotated[
    Path,
    typer.Argument(metavar="DELTA", help="Folder of a child, as transfer train printed it.", show_default=False),
]


@transfer.command(cls=CheckedCommand)
def train(
    parent: Parent,
    source_file: language_pairs.SourceFile,
    target_file: language_pairs.TargetFile = None,
    out: language_pairs.TrainingFolder = ...,  # type: ignore[assignment]  # Typer's sign of a required option
    trained: Annotated[
        str, typer.Option(help="What starts anew and what is trained: a setting such as src, src+body or tgt+xattn.")
    ] = "src+xattn",
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
    """Train a child of a translation model on a text and its translation.

    With the default setting the source is a new language, which gets a vocabulary of its own; its embeddings and the
    cross-attention are trained, and everything else stays the parent's. Says what is trained and what is frozen, and
    estimates the time, before the training begins. Prints the folder of the child, which holds only what was trained.

    [bold]Examples[/bold]

    - [cyan]normlens transfer train runs/fr-en text.de text.en --out child[/cyan]

    - [cyan]normlens transfer train runs/fr-en text.fr text.de --trained tgt+xattn --out child[/cyan]
    """
    files = language_pairs.text_files(source_file, target_file, more_text)
    languages = language_pairs.languages_of(files, tokenize, source_language, target_language)
    with starting():
        from normlens.transfer import TransferRecipe
        from normlens.transfer import train as train_child
        from normlens.transfer.transfer_settings import setting_named
        from normlens.translation import TrainingText

        setting_named(trained)
        settings = language_pairs.recipe_settings(recipe, TransferRecipe)
    check_creatable(out)
    text = TrainingText(files, *languages, tokenize is not None, lowercase, exclude or (), held_out)
    lens = open_lens(parent, dtype="float32")
    with quiet(), training_progress() as progress:
        delta = train_child(lens, text, out, trained, device=device, reporter=progress, **settings)
    typer.echo(delta.folder)


@transfer.command(cls=CheckedCommand)
def merge(
    parent: Parent,
    delta: DeltaFolder,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="New folder for the complete model.", show_default=False)
    ],
) -> None:
    """Write a child as a complete model, which every other command takes.

    [bold]Examples[/bold]

    - [cyan]normlens transfer merge runs/fr-en child/de-en complete[/cyan]
    """
    with starting():
        from normlens.transfer import merge as merge_child

    check_creatable(folder)
    lens = open_lens(parent, dtype="float32")
    with quiet():
        typer.echo(merge_child(lens, delta, folder))


@transfer.command(cls=CheckedCommand)
def translate(
    parent: Parent,
    delta: DeltaFolder,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="One sentence per line; - for standard input.", show_default=False)
    ],
    source_child: language_pairs.SourceChild = None,
    beams: language_pairs.Beams = None,
    output: options.TranslationsFile = None,
    overwrite: options.Overwrite = False,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
) -> None:
    """Translate a text with a child, line by line.

    [bold]Examples[/bold]

    - [cyan]normlens transfer translate runs/fr-en child/de-en text.de -o text.en[/cyan]

    - [cyan]normlens transfer translate runs/fr-en fr-it/fr-it text.de --source-child child/de-en[/cyan]
    """
    from normlens.cli.output.children import child, print_translations
    from normlens.cli.output.translations import check, translated
    from normlens.cli.text_files import all_lines

    check(output, [file], overwrite=overwrite)
    sentences = all_lines(file)
    translator = child(parent, delta, source_child, device)
    print_translations(*translated(translator, sentences, beams=beams, batch_size=batch_size), output)


@transfer.command(cls=CheckedCommand)
def evaluate(
    parent: Parent,
    delta: DeltaFolder,
    source_file: language_pairs.SourceFile,
    target_file: language_pairs.TargetFile = None,
    source_child: language_pairs.SourceChild = None,
    parent_pair: Annotated[
        bool,
        typer.Option(
            "--parent-pair",
            help="Score the parent's own pair, by the child's body with the parent's embeddings: what it has forgotten.",
        ),
    ] = False,
    tokenized: language_pairs.TokenizedTest = False,
    beams: language_pairs.Beams = None,
    output: options.TranslationsFile = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
) -> None:
    """Translate a test set with a child, and score the translations by BLEU and chrF.

    [bold]Examples[/bold]

    - [cyan]normlens transfer evaluate runs/fr-en child/de-en test.de test.en[/cyan]

    - [cyan]normlens transfer evaluate runs/fr-en child/de-en test.fr test.en --parent-pair[/cyan]
    """
    from normlens.cli.output.children import child, of_parent
    from normlens.cli.output.translations import check, give, read, scored

    check(output, [source_file, target_file], overwrite=overwrite)
    texts = read(source_file, target_file)
    translator = of_parent(parent, delta, device) if parent_pair else child(parent, delta, source_child, device)
    give(scored(translator, texts, tokenized=tokenized, beams=beams, batch_size=batch_size), output, as_json)
