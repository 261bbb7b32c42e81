"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

ADVANCED = "Advanced"
"""The panel of a help page for options that most users never need."""
LARGEST_SEED = 2**32 - 1
"""The largest seed that NumPy accepts."""


class Measure(StrEnum):
    """What of attention is compared: its weights, or the norms of the vectors that it moves."""

    norm = "norm"
    weight = "weight"


class AttentionScope(StrEnum):
    """How far a norm follows the contributions within the attention block."""

    attention = "attention"
    residual = "residual"
    layernorm = "layernorm"


class Scope(StrEnum):
    """How far a norm follows the contributions within the layer."""

    attention = "attention"
    residual = "residual"
    layernorm = "layernorm"
    feedforward = "feedforward"
    feedforward_residual = "feedforward_residual"
    block = "block"


class Split(StrEnum):
    """How to split a product of two factors that both depend on the contributions."""

    half = "half"
    integrated = "integrated"
    first = "first"
    second = "second"


class Reduction(StrEnum):
    """What to keep of the maps of a layer."""

    categories = "categories"
    sinks = "sinks"
    edges = "edges"
    mean = "mean"


class LoadedAs(StrEnum):
    """The head that a model is loaded with."""

    base = "base"
    causal_lm = "causal-lm"
    masked_lm = "masked-lm"
    seq2seq_lm = "seq2seq-lm"
    sequence_classification = "sequence-classification"
    token_classification = "token-classification"
    question_answering = "question-answering"
    image_classification = "image-classification"


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
Layer = Annotated[
    int | None,
    typer.Option(min=0, help="Layer, counted from 0. Default: the one where weights and norms differ most."),
]
Head = Annotated[int | None, typer.Option(min=0, help="Single head, counted from 0. Default: all heads together.")]
NormScope = Annotated[
    Scope, typer.Option(help="How far norms follow the vectors. The feed-forward scopes and block take much longer.")
]
Product = Annotated[Split, typer.Option(help="How to split the product in gated feed-forwards.")]
Words = Annotated[bool, typer.Option("--words", help="Merge subwords into words.")]
Generate = Annotated[int | None, typer.Option(min=1, help="Generate this many tokens first (decoders only).")]
Reduce = Annotated[
    Reduction | None, typer.Option(help="Keep this summary instead of whole maps, to save memory on long texts.")
]
ChunkSize = Annotated[
    int | None, typer.Option(min=1, help="Process this many target positions at a time, to save memory on long texts.")
]
ResultFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        help="Where to write the results. Format by suffix: .nc, .html, .png, .svg, .pdf, .parquet or .json.",
    ),
]
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
        metavar="N|mean",
        help="Position whose sources are shown, for methods that return a map. Default: the last token; [CLS] in encoders.",
    ),
]
TextPair = Annotated[str | None, typer.Option(help="Second text of a pair, such as a context or a hypothesis.")]
TargetText = Annotated[str | None, typer.Option(help="Text for the decoder to read (encoder-decoders only).")]
AttributionFile = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="Where to write the results. Format by suffix: .html, .png, .svg, .pdf, .json or .csv."
    ),
]
Task = Annotated[
    LoadedAs | None,
    typer.Option(
        help="Head to load the model with. Default: the one that the checkpoint names.", rich_help_panel=ADVANCED
    ),
]
Corpus = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="One text per line, or a treebank (.conllu). For encoder-decoders: text, tab, target text.",
        show_default=False,
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Read at most this many texts.")]
Truncate = Annotated[
    bool,
    typer.Option("--truncate", help="Truncate texts that are too long for the model. Default: stop with an error."),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Skip lines that can't be read, and list them. Default: stop with an error."),
]
FrequencyTable = Annotated[
    Path | None,
    typer.Option(
        metavar="TABLE", help="Token frequencies, as lines of rank, count and token id. Default: counted in the corpus."
    ),
]
Device = Annotated[
    str | None, typer.Option(help="Device to run on, such as cuda. Default: cpu.", rich_help_panel=ADVANCED)
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="Data type of the weights: float32, float64, bfloat16 or float16. Default: that of the checkpoint.",
        rich_help_panel=ADVANCED,
    ),
]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a model on the Hub.", rich_help_panel=ADVANCED)
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run Python code from the model's repository.",
        rich_help_panel=ADVANCED,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Group = Annotated[
    str | None,
    typer.Option(help="Kind of attention: encoder, decoder or cross. Default: every kind that the model has."),
]
BatchSize = Annotated[
    int,
    typer.Option(min=1, help="Number of texts per batch. Results don't depend on it.", rich_help_panel=ADVANCED),
]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Random seed.", rich_help_panel=ADVANCED)]
Folder = Annotated[
    Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write the results. A folder for the report.")
]
