"""``normlens align``: the words of a text and its translation, linked."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli.options import AttentionScope, Device, Dtype, Revision, TrustRemoteCode
from normlens.errors import InvalidInput

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


def align(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A sentence per line, its words between spaces. Without TARGET: sentence, tab, translation; - for "
            "standard input.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path | None, typer.Argument(metavar="TARGET", help="Its translation, line by line.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="A translation model, source to target. Default: the two that come along, German–English.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    reverse_model: Annotated[
        str | None, typer.Option(help="One from target to source; both are then read.", rich_help_panel=_MODEL)
    ] = None,
    measure: Annotated[Measure, typer.Option(rich_help_panel=_READING)] = Measure.norm,
    scope: Annotated[
        AttentionScope, typer.Option(help="How far the norm follows the vectors.", rich_help_panel=_READING)
    ] = AttentionScope.attention,
    setting: Annotated[
        Setting,
        typer.Option(
            help="Read a target word where it is the decoder's input (awi), its output (awo), or both, each in a layer "
            "of its own.",
            rich_help_panel=_READING,
        ),
    ] = Setting.awi,
    layer: Annotated[
        str,
        typer.Option(
            metavar="auto|N|N,M", help="Layer, from 0 (two for both); auto chooses.", rich_help_panel=_READING
        ),
    ] = "auto",
    rule: Annotated[
        str | None,
        typer.Option(
            help="Rule by which auto chooses: self-agreement, moved, norm, … (see the docs).", rich_help_panel=_READING
        ),
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="One head alone. Default: all together.", rich_help_panel=_READING)
    ] = None,
    symmetrise: Annotated[
        Way | None,
        typer.Option(
            help="Make two directions one. Default: grow-diag with two models; with one, one direction.",
            rich_help_panel=_LINKS,
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Smallest score of a link.", rich_help_panel=_LINKS)
    ] = 0.0,
    balance: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Hold back source words that get something from all: 0 no, 1 fully.",
            rich_help_panel=_LINKS,
        ),
    ] = 0.0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A file; a killed run goes on where it stopped.", rich_help_panel=_OUTPUT),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="matrix is JSON with every share.", rich_help_panel=_OUTPUT)
    ] = Format.pharaoh,
    base: Annotated[int, typer.Option(min=0, max=1, help="Number of the first word.", rich_help_panel=_OUTPUT)] = 0,
    view: Annotated[
        Path | None,
        typer.Option(metavar="HTML", help="A page with the first 100 pairs, links drawn.", rich_help_panel=_OUTPUT),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output if it exists.", rich_help_panel=_OUTPUT)
    ] = False,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Let the model read lowercased words.", rich_help_panel=_MODEL)
    ] = False,
    source_language: Annotated[
        str | None, typer.Option(help="For many-language models, as they spell it.", rich_help_panel=_MODEL)
    ] = None,
    target_language: Annotated[str | None, typer.Option(help="Likewise.", rich_help_panel=_MODEL)] = None,
    source_prefix: Annotated[
        str, typer.Option(help="Words before each source sentence, for T5.", rich_help_panel=_MODEL)
    ] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs that run together at most.")] = 32,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Link the words of a text with those of its translation.

    Writes one line per sentence pair, such as [bold]0-0 1-2[/bold]; a pair that can't be aligned gets an empty line and is
    named on standard error.

    [bold]Examples[/bold]

    - [cyan]normlens align text.de text.en > links.txt[/cyan]

    - [cyan]normlens align text.de text.en --model Helsinki-NLP/opus-mt-de-en > links.txt[/cyan]

    - [cyan]normlens align pairs.tsv -m de-en --reverse-model en-de --format json -o links.jsonl[/cyan]
    """
    numbers = _layers(layer, setting)
    from normlens.alignment import DEFAULT_RULE, Aligner, Reading
    from normlens.cli.aligning import Models, Result, Texts, write

    result = Result(output, form.value, base, view)
    result.check(resumable=str(source) != "-", overwrite=overwrite)
    texts = Texts.opened(source, target)
    models = Models.opened(
        model,
        reverse_model,
        opening={"device": device, "dtype": dtype, "revision": revision, "trust_remote_code": trust_remote_code},
        languages=(source_language, target_language),
        source_prefix=source_prefix,
        reading={"lowercase": lowercase, "batch_size": batch_size},
    )
    way = models.way(None if symmetrise is None else symmetrise.value)
    first, second = numbers or (0, 0)
    beside = Reading(second, measure.value, scope.value, "awo", head) if setting is Setting.both else None
    reading = Reading(first, measure.value, scope.value, "awo" if setting is Setting.awo else "awi", head, beside)
    readings, lines = models.readings(reading, texts.lines, None if numbers else (rule or DEFAULT_RULE))
    aligner = Aligner(
        models.forward, readings[0], models.reverse, readings[1], symmetrise=way, threshold=threshold, balance=balance
    )
    settings = {
        "models": models.fingerprints, "readings": [str(one) for one in readings], "symmetrisation": way,
        "threshold": threshold, "balance": balance, "format": form.value, "first word": base, "lowercase": lowercase,
        "languages": [source_language, target_language], "prefix": source_prefix,
    }  # fmt: skip
    write(aligner, lines, texts, result, settings, overwrite=overwrite)


def _layers(given: str, setting: Setting) -> tuple[int, int] | None:
    """The numbers of the layers for AWI and AWO; None for auto."""
    if given == "auto":
        return None
    numbers = given.split(",")
    most = 2 if setting is Setting.both else 1
    if len(numbers) > most or not all(number.strip().isdecimal() for number in numbers):
        raise InvalidInput(
            f"--layer is {given!r}; expected auto, or the number of a layer, from 0; with --setting both also two, such as "
            "0,2, for AWI and for AWO."
        )
    return int(numbers[0]), int(numbers[-1])
