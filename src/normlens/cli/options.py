"""Arguments and options of several commands, each defined once; those of one command are defined with it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from normlens.attribution.registry import HOMES
from normlens.cli.choices import (
    ATTENTION_SCOPES,
    LAYER_SCOPES,
    AnswerScore,
    FloatType,
    LoadedAs,
    Measure,
    Reduction,
    Scope,
    Split,
)
from normlens.errors import InvalidInput

ADVANCED = "Advanced"
"""The panel of a help page for options that most users never need."""
Choice = TypeVar("Choice", bound=StrEnum)
EXTRACTION = "Link extraction"
"""The panel for how word alignment gets links from cross-attention."""
MEDIA = "Images and sounds"
"""The panel for inputs beside a text."""
ANSWERS = "Whole answers and passages"
"""The panel for answers as targets, and for passages as sources."""
SELECTION = "Selection of sources"
"""The panel for the choice of sources that each target keeps."""


def listed(values: Sequence[str], last: str = "or") -> str:
    """Values as a list in a sentence.

    Examples
    --------
    >>> listed(["norm", "weight"]), listed(["a", "b", "c"], last="and")
    ('norm or weight', 'a, b and c')
    """
    return f" {last} ".join([*([", ".join(values[:-1])] if values[1:] else []), *values[-1:]])


def _layer(further: str, panel: str | None = None) -> Any:
    return typer.Option(min=0, help=f"Layer, counted from 0. {further}", rich_help_panel=panel)


def _head(panel: str | None = None) -> Any:
    return typer.Option(min=0, help="Single head, counted from 0. Default: all heads together.", rich_help_panel=panel)


def _measure(allowed: Sequence[Measure], panel: str | None = None) -> Any:
    return _closed("--measure", "What is measured of attention. Measures", allowed, panel=panel)


def _scope(allowed: Sequence[Scope], further: str = "", panel: str | None = None) -> Any:
    return _closed("--scope", "How far norms follow the vectors. Scopes", allowed, further, panel)


def _closed(option: str, meaning: str, allowed: Sequence[Choice], further: str = "", panel: str | None = None) -> Any:
    """An option that takes some of an enumeration's values."""

    def check(chosen: Choice | None) -> Choice | None:
        if chosen is not None and chosen not in allowed:
            raise InvalidInput(
                f"{option} is {chosen.value}; this command takes {listed(allowed)}. Choose one of these."
            )
        return chosen

    text = f"{meaning}: {listed(allowed)}.{further}"
    return typer.Option(metavar=option[2:].upper(), help=text, callback=check, rich_help_panel=panel)


def _group(default: str) -> Any:
    return typer.Option(metavar="NAME", help=f"Kind of attention: encoder, decoder or cross. Default: {default}.")


def _method(metavar: str, further: str) -> Any:
    return typer.Option(
        "-m", "--method", metavar=metavar, help=f"Method of attribution. Methods: {listed(HOMES)}. {further}"
    )


def _reduce(further: str) -> Any:
    return typer.Option(help=f"Keep this summary of the maps. {further}")


def _workers(default: str = "") -> Any:
    return typer.Option(min=1, help=f"Number of processes that work side by side.{default}")


def _limit(most: int | None = None, least: int = 1) -> Any:
    return typer.Option(min=least, max=most, help="Read at most this many texts.")


def _device(default: str) -> Any:
    return typer.Option(
        metavar="NAME", help=f"Device to run on, such as cuda. Default: {default}.", rich_help_panel=ADVANCED
    )


def _output(metavar: str, further: str) -> Any:
    return typer.Option("-o", "--output", metavar=metavar, help=f"Where to write the results. {further}")


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A bundled model (listed by [bold]normlens models[/bold]), a Hub id, a folder with safetensors weights, or a "
        "GGUF file.",
        show_default=False,
    ),
]
Text = Annotated[
    str | None,
    typer.Argument(metavar="TEXT", help='The text. Omit it, or pass "-", to read standard input.', show_default=False),
]
TextFile = Annotated[Path | None, typer.Option("-f", "--file", help="Read the text from this file.")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--image", metavar="FILE", help="Image to read, with or without a text. Can be repeated.",
        rich_help_panel=MEDIA,
    ),
]  # fmt: skip
Audio = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Sound to read, a mono WAV file.", rich_help_panel=MEDIA),
]
TargetText = Annotated[str | None, typer.Option(help="Text for the decoder to read (encoder-decoders only).")]
Corpus = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="One text per line, or a treebank (.conllu). For encoder-decoders: text, tab, target text.",
        show_default=False,
    ),
]

ShownLayer = Annotated[int | None, _layer("Default: the one where weights and norms differ most.")]
MapLayer = Annotated[int | None, _layer("Only for methods with one map per layer. Default: all layers.")]
AlignedLayer = Annotated[int | None, _layer("Default: chosen by --rule.", ADVANCED)]
CrossLayer = Annotated[int | None, _layer("Only for --kind align. Default: the guided layer of the bundled models.")]
Head = Annotated[int | None, _head()]
AdvancedHead = Annotated[int | None, _head(ADVANCED)]
SingleText = Annotated[str | None, typer.Option("--text", help="A text, instead of a file.")]
PassageTokens = Annotated[
    int | None, typer.Option(help="Tokens per passage. Default: 256, or fewer if the model has fewer positions.")
]
AlignedBy = Annotated[Measure, _measure((Measure.norm, Measure.weight), EXTRACTION)]
ComparedBy = Annotated[Measure, _measure(tuple(Measure))]
LayerScope = Annotated[Scope, _scope(LAYER_SCOPES, " The last three take much longer.")]
AttentionScope = Annotated[Scope, _scope(ATTENTION_SCOPES, panel=ADVANCED)]
MethodScope = Annotated[Scope | None, _scope(tuple(Scope), " Only for norm_rollout. Default: encoder.")]
Group = Annotated[str | None, _group("every kind that the model has")]
SingleGroup = Annotated[str | None, _group("the first that the model has")]

SingleMethod = Annotated[str, _method("NAME", "[bold]normlens compare[/bold] takes several.")]
Methods = Annotated[str | None, _method("NAME,…", "Several are separated by commas. Default: a small selection.")]
Explained = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--target",
        help='What to explain: a class (name or number), a token (with its space, such as " Berlin", or "id:22000"), '
        'or "logprob:…" for the log-probability of one. Default: what the model predicts.',
    ),
]
Against = Annotated[
    str | None, typer.Option(help="Another class or token. The difference between the two logits is explained.")
]
Position = Annotated[
    int | None,
    typer.Option(
        help="Position where the target is read; negative numbers count from the end. Default: the last token, or the mask."
    ),
]
Row = Annotated[
    str | None,
    typer.Option(
        metavar="INT|mean",
        help="Position whose sources are shown, for methods that return a map. Default: the last token; [CLS] in encoders.",
    ),
]
TextPair = Annotated[str | None, typer.Option(help="Second text of a pair, such as a context or a hypothesis.")]
Task = Annotated[
    LoadedAs | None,
    typer.Option(
        help="Head to load the model with. Default: the one that the checkpoint names.", rich_help_panel=ADVANCED
    ),
]

Generate = Annotated[
    int | None, typer.Option(min=1, help="Let the model continue the text by up to this many tokens first.")
]
Answer = Annotated[
    str | None,
    typer.Option(
        help='Explain every token of this answer, such as " Berlin.", with its space.', rich_help_panel=ANSWERS
    ),
]
StepScore = Annotated[
    AnswerScore, typer.Option(help="What is explained of each token of an answer.", rich_help_panel=ANSWERS)
]
Whole = Annotated[
    bool,
    typer.Option("--whole", help="Explain the answer as one target, the sum over its tokens.", rich_help_panel=ANSWERS),
]
Spans = Annotated[
    str | None,
    typer.Option(
        metavar="KIND|REGEX",
        help="Add shares up over spans of the prompt: sentences, lines, paragraphs, or matches of a regular expression.",
        rich_help_panel=ANSWERS,
    ),
]
Context = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE…",
        help="Documents that the answer may come from, one per file. Shares are added up over documents, or over the "
        "sentences of a single one.",
        rich_help_panel=ANSWERS,
    ),
]
Question = Annotated[
    str | None, typer.Option(help="The question about the documents of --context.", rich_help_panel=ANSWERS)
]

Frequency = Annotated[
    Path | None,
    typer.Option(
        metavar="TABLE", help="Token frequencies, as lines of rank, count and token id. Default: counted in the corpus."
    ),
]
Limit = Annotated[int | None, _limit()]
SampleLimit = Annotated[int, _limit(100, least=2)]
Truncate = Annotated[
    bool,
    typer.Option("--truncate", help="Truncate texts that are too long for the model. Default: stop with an error."),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Skip lines that can't be read, and list them. Default: stop with an error."),
]
BatchSize = Annotated[
    int,
    typer.Option(min=1, help="Number of texts per batch. Results don't depend on it.", rich_help_panel=ADVANCED),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.", rich_help_panel=ADVANCED)]

AnalysisFile = Annotated[
    Path | None, _output("FILE", "Format by suffix: .nc, .html, .png, .svg, .pdf, .parquet or .json.")
]
AttributionFile = Annotated[Path | None, _output("FILE", "Format by suffix: .html, .png, .svg, .pdf, .json or .csv.")]
ScopeMapFile = Annotated[Path | None, _output("FILE", "Format by suffix: .png, .svg, .pdf or .json.")]
HeadsFile = Annotated[Path | None, _output("FILE", "Format by suffix: .png, .svg, .pdf, .csv, .parquet or .json.")]
LinksFile = Annotated[Path | None, _output("FILE", "A killed run resumes when the command is repeated.")]
TranslationsFile = Annotated[Path | None, _output("FILE", "One translation per line.")]
GoldBase = Annotated[int, typer.Option(min=0, max=1, help="Number of the first word in the gold file.")]
LabelsFile = Annotated[Path | None, _output("FILE", "Format of the labels by suffix: .csv or .json.")]
ReportFolder = Annotated[Path, _output("FOLDER", "A folder for the report.")]
RunFolder = Annotated[Path, _output("FOLDER", "A folder that also keeps the trained models' results.")]
CorpusRunFolder = Annotated[Path, _output("RUN", "A new folder for the run.")]
Product = Annotated[Split, typer.Option(help="How to split products in gated feed-forwards.")]
Reduce = Annotated[Reduction | None, _reduce("It saves memory on long texts.")]
KeptSummary = Annotated[Reduction | None, _reduce("Default: one row of numbers for each layer of a text.")]
Workers = Annotated[int | None, _workers(" Default: one for each processor core.")]
ShardWorkers = Annotated[int, _workers()]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

Device = Annotated[str | None, _device("cpu")]
TrainingDevice = Annotated[str | None, _device("a GPU if there is one")]
Dtype = Annotated[
    FloatType | None,
    typer.Option(help="Data type of the weights. Default: that of the checkpoint.", rich_help_panel=ADVANCED),
]
Revision = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Branch, tag or commit of a model on the Hub.", rich_help_panel=ADVANCED),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run Python code from the model's repository.",
        rich_help_panel=ADVANCED,
    ),
]
