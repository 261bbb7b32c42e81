"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_MODEL = "The model"
LARGEST_SEED = 2**32 - 1
"""The largest that NumPy takes."""


class AttentionScope(StrEnum):
    """How far into the attention block a norm follows the contributions."""

    attention = "attention"
    residual = "residual"
    layernorm = "layernorm"


class Scope(StrEnum):
    """How far into the layer a norm follows the contributions."""

    attention = "attention"
    residual = "residual"
    layernorm = "layernorm"
    feedforward = "feedforward"
    feedforward_residual = "feedforward_residual"
    block = "block"


class Split(StrEnum):
    """How a product of two factors that both depend on the contributions is split."""

    half = "half"
    integrated = "integrated"
    first = "first"
    second = "second"


class Reduction(StrEnum):
    """What is kept of a layer's maps."""

    categories = "categories"
    sinks = "sinks"
    edges = "edges"
    mean = "mean"


class LoadedAs(StrEnum):
    """What a model is loaded as."""

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
        help="A bundled name ([bold]normlens models[/bold] lists them), a hub id, a folder with safetensors weights, "
        "or a GGUF file.",
        show_default=False,
    ),
]
Text = Annotated[
    str | None,
    typer.Argument(metavar="TEXT", help='The text; "-" or nothing reads standard input.', show_default=False),
]
TextFile = Annotated[Path | None, typer.Option("-f", "--file", help="Read the text from a file.")]
Target = Annotated[str | None, typer.Option("-t", "--target", help="Encoder-decoders: the text to decode.")]
Layer = Annotated[int | None, typer.Option(min=0, help="Layer to show. Default: where weight and norm differ most.")]
Head = Annotated[int | None, typer.Option(min=0, help="One head: α beside ‖α f(x)‖. Default: all heads together.")]
NormScope = Annotated[
    Scope, typer.Option(help="How far the norm follows the vectors; the feed-forward scopes take much longer.")
]
Product = Annotated[Split, typer.Option(help="Gated feed-forwards: how a product is split.")]
Words = Annotated[bool, typer.Option("--words", help="Merge sub-words into words.")]
Generate = Annotated[int | None, typer.Option(min=1, help="Let a decoder add this many tokens to the text first.")]
Reduce = Annotated[Reduction | None, typer.Option(help="Long texts: what to keep instead of whole maps.")]
ChunkSize = Annotated[int | None, typer.Option(min=1, help="Long texts: how many targets to compute at a time.")]
ResultFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Write .nc, .html, .png, .svg, .pdf, .parquet or .json instead."),
]
Explained = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--target",
        help='What is explained: a class (name or number), a token such as " Berlin" with its space or "id:22000", '
        'or "logprob: …". '
        "Default: what the model predicts.",
    ),
]
Against = Annotated[
    str | None, typer.Option(help="Another class or token: the difference of the two logits is explained.")
]
Position = Annotated[
    int | None,
    typer.Option(help="Where the target is read, from 0 or from the end. Default: the last token, or the mask."),
]
Row = Annotated[
    str | None,
    typer.Option(
        metavar="N|mean", help="For maps: the position whose sources are shown. Default: the last, an encoder's [CLS]."
    ),
]
TextPair = Annotated[
    str | None, typer.Option(help="A second text that is read with the first: a context, a hypothesis.")
]
TargetText = Annotated[str | None, typer.Option(help="Encoder-decoders: the text to decode.")]
AttributionFile = Annotated[
    Path | None, typer.Option("-o", "--output", help="Write .html, .png, .svg, .pdf, .json or .csv instead.")
]
Task = Annotated[
    LoadedAs | None, typer.Option(help="What to load it as. Default: as the checkpoint says.", rich_help_panel=_MODEL)
]
Corpus = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="One text per line; blank lines are skipped. For encoder-decoders: text, tab, target. Or .conllu.",
        show_default=False,
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Read at most this many texts.")]
Truncate = Annotated[
    bool, typer.Option("--truncate", help="Cut texts that are longer than the model takes. Default: they are refused.")
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out lines that can't be read, and list them. Default: the first is refused."
    ),
]
FrequencyTable = Annotated[
    Path | None,
    typer.Option(metavar="TABLE", help="Lines of rank, count, token id. Default: counted in the corpus."),
]
Device = Annotated[
    str | None, typer.Option(help="Where to compute, such as cuda. Default: cpu.", rich_help_panel=_MODEL)
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, float64, bfloat16 or float16. Default: the checkpoint's own.", rich_help_panel=_MODEL),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.", rich_help_panel=_MODEL)]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run Python code that the model's repository brings along.",
        rich_help_panel=_MODEL,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else, for machines.")]
Group = Annotated[
    str | None,
    typer.Option(help="One kind of attention only: encoder, decoder or cross. Default: all that the model has."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="How many texts run together; the numbers don't depend on it.")]
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the report goes.")]
