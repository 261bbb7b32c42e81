"""Arguments and options of ``normlens align``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli.language_pairs import MODELS
from normlens.cli.options import ADVANCED, EXTRACTION


class Setting(StrEnum):
    """The row of cross-attention that belongs to a target word: where it is the decoder's input, its output, or both."""

    awi = "awi"
    awo = "awo"
    both = "both"


class Symmetrization(StrEnum):
    """How two directions are symmetrized."""

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
    """How a layer is chosen if ``--layer`` names none."""

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
        metavar="SOURCE_FILE",
        help="One sentence per line, words separated by spaces. Without TARGET_FILE: sentence, tab (or |||), "
        "translation. - reads standard input.",
        show_default=False,
    ),
]
FitFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Train models of both directions on this very text first, and keep them here. For any language pair; a killed "
        "run resumes.",
        rich_help_panel=MODELS,
    ),
]
Translator = Annotated[
    str | None,
    typer.Option(
        help="Translation model, source to target. Default: the two bundled models, German–English.",
        rich_help_panel=MODELS,
    ),
]
SettingRead = Annotated[
    Setting,
    typer.Option(
        metavar="SETTING",
        help="Row of cross-attention for a target word: where it is the decoder's input (awi), its output (awo), or the "
        "average of both (both).",
        rich_help_panel=ADVANCED,
    ),
]
AwoLayer = Annotated[
    int | None,
    typer.Option(
        min=0, help="Layer of AWO, counted from 0, for --setting both. Default: --layer.", rich_help_panel=ADVANCED
    ),
]
Rule = Annotated[
    ChoosingRule | None,
    typer.Option(help="Rule that chooses the layer. Default: combined; norm for AWO.", rich_help_panel=ADVANCED),
]
Symmetrize = Annotated[
    Symmetrization | None,
    typer.Option(
        help="How to symmetrize the two directions. Default: grow-diag with two models, none with one.",
        rich_help_panel=EXTRACTION,
    ),
]
Threshold = Annotated[
    float, typer.Option(min=0, max=1, help="Drop links with a score below this.", rich_help_panel=ADVANCED)
]
Balance = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Down-weight source words that every target word attends to. 0: off, 1: fully.",
        rich_help_panel=ADVANCED,
    ),
]
LinksFormat = Annotated[
    Format, typer.Option("--format", help="Format of the links. json adds scores and words, matrix every share.")
]
FirstNumber = Annotated[int, typer.Option(min=0, max=1, help="Number of the first word.", rich_help_panel=ADVANCED)]
PageFile = Annotated[
    Path | None,
    typer.Option(help="Draw the links of the first 100 pairs on an HTML page."),
]
SourcePrefix = Annotated[
    str,
    typer.Option(
        help="Text to prepend to each source sentence, such as the task prefix of T5.", rich_help_panel=ADVANCED
    ),
]
