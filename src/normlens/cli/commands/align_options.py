"""Arguments and options of ``normlens align``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli.options import AttentionScope

_READING = "What is read"
_LINKS = "Which links"
_OUTPUT = "Output"
_MODEL = "The model"


class Measure(StrEnum):
    """What is read of the cross-attention."""

    norm = "norm"
    weight = "weight"


class Setting(StrEnum):
    """In which row of the map a target word is read."""

    awi = "awi"
    awo = "awo"
    both = "both"


class Way(StrEnum):
    """How two directions are made one."""

    intersection = "intersection"
    union = "union"
    grow_diag = "grow-diag"
    grow_diag_final = "grow-diag-final"
    grow_diag_final_and = "grow-diag-final-and"
    agreement = "agreement"


class Format(StrEnum):
    """How links are written."""

    pharaoh = "pharaoh"
    talp = "talp"
    json = "json"
    matrix = "matrix"


class ChoosingRule(StrEnum):
    """How auto chooses a layer."""

    combined = "combined"
    norm = "norm"
    entropy = "entropy"
    monotony = "monotony"
    coverage = "coverage"
    self_agreement = "self-agreement"
    agreement = "agreement"
    moved = "moved"


SourceFile = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A sentence per line, its words between spaces. Without TARGET: sentence, tab (or |||), "
        "translation; - for standard input.",
        show_default=False,
    ),
]
TranslationFile = Annotated[
    Path | None, typer.Argument(metavar="TARGET", help="Its translation, line by line.", show_default=False)
]
Translator = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help="A translation model, source to target. Default: the two that come along, German–English.",
        rich_help_panel=_MODEL,
    ),
]
ReverseTranslator = Annotated[
    str | None, typer.Option(help="One from target to source; both are then read.", rich_help_panel=_MODEL)
]
MeasureRead = Annotated[Measure, typer.Option(rich_help_panel=_READING)]
ScopeRead = Annotated[
    AttentionScope, typer.Option(help="How far the norm follows the vectors.", rich_help_panel=_READING)
]
SettingRead = Annotated[
    Setting,
    typer.Option(
        help="Read a target word where it is the decoder's input (awi), its output (awo), or both, each in a layer "
        "of its own.",
        rich_help_panel=_READING,
    ),
]
LayerRead = Annotated[
    str,
    typer.Option(metavar="auto|N|N,M", help="Layer, from 0 (two for both); auto chooses.", rich_help_panel=_READING),
]
Rule = Annotated[ChoosingRule | None, typer.Option(help="Rule by which auto chooses.", rich_help_panel=_READING)]
HeadRead = Annotated[
    int | None, typer.Option(min=0, help="One head alone. Default: all together.", rich_help_panel=_READING)
]
Symmetrise = Annotated[
    Way | None,
    typer.Option(
        help="Make two directions one. Default: grow-diag with two models; with one, one direction.",
        rich_help_panel=_LINKS,
    ),
]
Threshold = Annotated[float, typer.Option(min=0, max=1, help="Smallest score of a link.", rich_help_panel=_LINKS)]
Balance = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Hold back source words that get something from all: 0 no, 1 fully.",
        rich_help_panel=_LINKS,
    ),
]
LinksFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="A file; a killed run goes on where it stopped.", rich_help_panel=_OUTPUT),
]
LinksFormat = Annotated[
    Format, typer.Option("--format", help="matrix is JSON with every share.", rich_help_panel=_OUTPUT)
]
FirstNumber = Annotated[int, typer.Option(min=0, max=1, help="Number of the first word.", rich_help_panel=_OUTPUT)]
PageFile = Annotated[
    Path | None,
    typer.Option(metavar="HTML", help="A page with the first 100 pairs, links drawn.", rich_help_panel=_OUTPUT),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.", rich_help_panel=_OUTPUT)]
Tokenize = Annotated[
    str | None,
    typer.Option(
        metavar="de-en",
        help="Cut raw text into words first, by Moses' rules for the languages of source and target.",
        rich_help_panel=_READING,
    ),
]
Lowercase = Annotated[
    bool, typer.Option("--lowercase", help="Let the model read lowercased words.", rich_help_panel=_MODEL)
]
SourceLanguage = Annotated[
    str | None, typer.Option(help="For many-language models, as they spell it.", rich_help_panel=_MODEL)
]
TargetLanguage = Annotated[str | None, typer.Option(help="Likewise.", rich_help_panel=_MODEL)]
SourcePrefix = Annotated[str, typer.Option(help="Words before each source sentence, for T5.", rich_help_panel=_MODEL)]
PairsTogether = Annotated[int, typer.Option(min=1, help="How many pairs run together; the links don't depend on it.")]
