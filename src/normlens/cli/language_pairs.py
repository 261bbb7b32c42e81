"""Options of the commands for a language pair, ``align`` and ``translation``, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from normlens.cli.choices import GuidingAligner
from normlens.cli.options import ADVANCED
from normlens.errors import InvalidInput

MODELS = "Models"
"""The panel for translation models and their languages."""


def _guide(default: str, panel: str | None = None) -> Any:
    return typer.Option(
        metavar="GUIDE",
        help="Aligner whose links the attention of trained models learns to follow: eflomal, which is installed separately, "
        f"or none. Default: {default}.",
        rich_help_panel=panel,
    )


def _language(side: str, further: str) -> Any:
    return typer.Option(help=f"Language code of the {side}. {further}", rich_help_panel=MODELS)


_NAMED = "It names a folder. Default: that of --tokenize, or the suffix of the file."

ReverseTranslator = Annotated[
    str | None,
    typer.Option(
        help="Translation model, target to source. With it, both directions are aligned and symmetrized.",
        rich_help_panel=MODELS,
    ),
]
SourceFile = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE_FILE",
        help="One sentence per line. Without TARGET_FILE: sentence, tab (or |||), translation.",
        show_default=False,
    ),
]
TargetFile = Annotated[
    Path | None, typer.Argument(metavar="TARGET_FILE", help="Its translation, line by line.", show_default=False)
]
SourceLanguage = Annotated[str | None, _language("source", "Multilingual models need it.")]
TargetLanguage = Annotated[str | None, _language("target", "Multilingual models need it.")]
TrainedSource = Annotated[str | None, _language("source", _NAMED)]
TrainedTarget = Annotated[str | None, _language("target", _NAMED)]
Tokenize = Annotated[
    str | None,
    typer.Option(
        metavar="SRC-TGT", help="Tokenize raw text first, by the Moses rules for two languages, such as de-en."
    ),
]
GuidedBy = Annotated[GuidingAligner | None, _guide("eflomal", ADVANCED)]
TrainedWith = Annotated[GuidingAligner, _guide("none")]
MoreText = Annotated[
    list[str] | None,
    typer.Option(
        "--more-text",
        metavar="FILE",
        help="Further text to train on: a file with both sides, or two files separated by a comma. Can be repeated.",
        rich_help_panel=ADVANCED,
    ),
]
RecipeSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="NAME=VALUE",
        help="Setting of a training, such as epochs=10 or width=256. Default: by the amount of text. Can be repeated.",
        rich_help_panel=ADVANCED,
    ),
]
TrainingFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for what is trained. A killed run resumes when the command is repeated.",
    ),
]
SourceChild = Annotated[
    Path | None,
    typer.Option(
        "--source-child",
        metavar="DELTA",
        help="Another child, whose source language is read instead: a pair that neither child was trained on.",
    ),
]
ExcludedText = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Leave out pairs with one of these sentences, such as those of a test set. Can be repeated.",
    ),
]
HeldOut = Annotated[
    int | None,
    typer.Option(min=0, help="Number of pairs held out to measure quality. Default: every fiftieth, at most 1,000."),
]
TokenizedTest = Annotated[
    bool,
    typer.Option("--tokenized", help="The texts are split into words already, and BLEU doesn't split them again."),
]
Beams = Annotated[
    int | None, typer.Option(min=1, help="Width of the beam search. Default: the model's, 4 for trained ones.")
]
Lowercase = Annotated[
    bool, typer.Option("--lowercase", help="Lowercase the text that the model reads.", rich_help_panel=ADVANCED)
]


def text_files(source: Path, target: Path | None, more: list[str] | None) -> list[tuple[Path, Path | None]]:
    """The files of a text: the first ones, and those of ``--more-text``.

    Raises
    ------
    InvalidInput
        If standard input is named, which can't be read twice, or more than two files are.
    """
    if str(source) == "-":
        raise InvalidInput("Standard input can be read only once, but training reads a text again. Pass a file.")
    files: list[tuple[Path, Path | None]] = [(source, target)]
    for named in more or ():
        names = [named] if Path(named).exists() else named.split(",")
        if len(names) > 2:
            raise InvalidInput(
                f"--more-text {named} names {len(names)} files; expected one with both sides, or two. Repeat the option for "
                "further files."
            )
        files.append((Path(names[0]), Path(names[1]) if len(names) == 2 else None))
    return files


def languages_of(
    files: list[tuple[Path, Path | None]], tokenize: str | None, source: str | None, target: str | None
) -> tuple[str, str]:
    """Names of the two languages: as named, those of ``--tokenize``, or the suffixes of the first two files.

    Examples
    --------
    >>> languages_of([(Path("text.de"), Path("text.fr"))], None, None, "fra")
    ('de', 'fra')
    """
    named = (tokenize or "").split("-")
    suffixes = [(path.suffix if path else "").lstrip(".") for path in files[0]]
    if len(named) != 2 or not all(named):
        distinct = all(suffix.isalnum() for suffix in suffixes) and len(set(suffixes)) == 2
        named = suffixes if distinct else ["source", "target"]
    return source or named[0], target or named[1]


def recipe_settings(named: list[str] | None, recipe: type | None = None) -> dict[str, Any]:
    """The settings of ``--recipe``, with values of their types.

    Parameters
    ----------
    named
        As typed, such as "epochs=10".
    recipe
        The class that has them; None for that of a new translation model.

    Raises
    ------
    InvalidInput
        If there is no such setting, or a value is of another type.
    """
    from typing import get_type_hints

    from normlens.translation import Recipe

    hints, settings = get_type_hints(recipe or Recipe), {}
    for setting in named or ():
        name, sign, value = setting.partition("=")
        if not sign or name not in hints:
            raise InvalidInput(f"--recipe {setting} sets nothing; expected NAME=VALUE, with one of {', '.join(hints)}.")
        kind = hints[name] if hints[name] in (int, float) else str
        try:
            settings[name] = kind(value)
        except ValueError as error:
            raise InvalidInput(
                f"--recipe {setting}: expected {'an integer' if kind is int else 'a number'}."
            ) from error
    return settings
