"""``normlens corpus``: plan a run over a corpus, run it on one machine or many, and gather its results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from normlens.cli import language_pairs, options
from normlens.cli.checked_command import CheckedCommand
from normlens.cli.choices import ATTENTION_SCOPES, JobKind, Measure, Scope, Split
from normlens.cli.destinations import check_creatable
from normlens.cli.help_pages import DescribedGroup
from normlens.cli.opening import open_lens, quiet
from normlens.cli.terminal import messages, starting, waiting
from normlens.errors import InvalidInput

_INPUT, _WORK = "Input", "Shards and batches"

corpus = typer.Typer(
    cls=DescribedGroup,
    name="corpus",
    help="Analyze or attribute a whole corpus, in shards that survive a kill.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.", show_default=False)]


@corpus.command(cls=CheckedCommand)
def plan(
    model: options.Model,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="One text per line; .jsonl, .csv, .parquet, or a folder of datasets; .gz and .zst are decompressed.",
            show_default=False,
        ),
    ],
    output: options.CorpusRunFolder,
    kind: Annotated[JobKind, typer.Option(help="What to compute of each text.")] = JobKind.analyze,
    scope: options.LayerScope = Scope.attention,
    product: options.Product = Split.half,
    reduce: options.KeptSummary = None,
    group: options.Group = None,
    method: options.SingleMethod = "decompx",
    target: options.Explained = None,
    layer: options.CrossLayer = None,
    measure: options.AlignedBy = Measure.norm,
    reverse_model: language_pairs.ReverseTranslator = None,
    truncate: options.Truncate = False,
    frequency: options.Frequency = None,
    no_frequency: Annotated[
        bool,
        typer.Option(
            "--no-frequency",
            help="Don't count tokens, which takes a pass over the corpus; correlations with frequency are left out.",
        ),
    ] = False,
    limit: options.Limit = None,
    text_column: Annotated[
        str, typer.Option(metavar="NAME", help="Column of the text.", rich_help_panel=_INPUT)
    ] = "text",
    target_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the second text (encoder-decoders only).", rich_help_panel=_INPUT),
    ] = None,
    document_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column that says which document a row belongs to, for the bootstrap. Default: a row is a document.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    second_file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Second texts of a file, line by line (encoder-decoders only). Repeat it for each file.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    shard_rows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most rows of a shard. Default: minutes of work, by the model's size.", rich_help_panel=_WORK
        ),
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Most tokens of a batch, padding included.", rich_help_panel=_WORK)
    ] = 2048,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each worker.", rich_help_panel=_WORK)] = 1,
    as_json: options.Json = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Plan a run: read the files to their end, try the model on the first text, and write the plan.

    The plan never changes. It fixes everything that the numbers depend on.

    [bold]Examples[/bold]

    - [cyan]normlens corpus plan minilm-l6 sentences.txt -o run[/cyan]

    - [cyan]normlens corpus plan smollm2-135m wiki.jsonl.zst --text-column body --kind attribute -o run[/cyan]

    - [cyan]normlens corpus plan de-en memory.tsv --kind align --reverse-model en-de -o run[/cyan]
    """
    pushed = {"product": product.value, "truncate": truncate}
    by_kind: dict[JobKind, dict[str, Any]] = {
        JobKind.analyze: {
            "through": "attention" if scope in ATTENTION_SCOPES else "block",
            "reduce": None if reduce is None else reduce.value,
            "group": group,
            **pushed,
        },
        JobKind.attribute: {"method": method, "target": target, **pushed},
        JobKind.align: {"layer": layer, "measure": measure.value, "reverse_model": reverse_model},
    }
    settings = {"kind": kind.value, **by_kind[kind]}
    check_creatable(output)
    lens = open_lens(model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code)
    from normlens import corpus as library
    from normlens.cli.output.corpus_progress import show_plan
    from normlens.statistics import TokenFrequency

    ranks = None if frequency is None else TokenFrequency.read(frequency)
    loading: dict[str, Any] = {"device": device, "dtype": dtype, "revision": revision}
    with waiting("Reading the files"), quiet():
        made = library.plan(
            model, files, output, job=settings, target_files=second_file, text_column=text_column,
            target_column=target_column, document_column=document_column, shard_rows=shard_rows,
            frequency=ranks, count_tokens=not no_frequency, limit=limit, batch_tokens=batch_tokens, threads=threads,
            lens=lens, trust_remote_code=trust_remote_code, **loading,
        )  # fmt: skip
    show_plan(made, output, as_json)


@corpus.command(cls=CheckedCommand)
def run(
    folder: Run,
    workers: options.ShardWorkers = 1,
    shard_index: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Every Nth shard only, from the Ith, counted from 0, for an array of jobs."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Let workers run on this Ray cluster; local starts Ray on this machine."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try shards again that were set aside.")] = False,
    as_json: options.Json = False,
) -> None:
    """Compute the shards that aren't finished. A run that was stopped or killed goes on where it was.

    Several runs may work on one folder, on one machine or on many that share it.

    [bold]Examples[/bold]

    - [cyan]normlens corpus run run --workers 4[/cyan]

    - [cyan]normlens corpus run run --shard-index $SLURM_ARRAY_TASK_ID/100[/cyan]

    - [cyan]normlens corpus run run --ray auto --workers 100[/cyan]
    """
    part = part_of(shard_index)
    with starting():
        from normlens import corpus as library
        from normlens.cli.output.corpus_progress import show_report, showing

        before = library.status(folder)
    with showing(before) as progress, quiet():
        try:
            report = library.run(folder, workers=workers, part=part, ray=ray, retry=retry, progress=progress)
        except KeyboardInterrupt:
            messages().print(
                f"Stopped. What is finished is kept; the same command goes on: normlens corpus run {folder}",
                markup=False, soft_wrap=True,
            )  # fmt: skip
            raise
    show_report(report, folder, as_json)


@corpus.command(cls=CheckedCommand)
def status(folder: Run, as_json: options.Json = False) -> None:
    """Show how far a run is, from any shell, also after it was killed.

    [bold]Examples[/bold]

    - [cyan]normlens corpus status run[/cyan]
    """
    with starting():
        from normlens import corpus as library
        from normlens.cli.output.corpus_progress import show_status

        found = library.status(folder)
    show_status(found, folder, as_json)


@corpus.command(cls=CheckedCommand)
def finalize(folder: Run) -> None:
    """Gather the results of a finished run: few large Parquet files, statistics, and a page.

    [bold]Examples[/bold]

    - [cyan]normlens corpus finalize run[/cyan]
    """
    with starting():
        from normlens import corpus as library
    with waiting("Gathering the results"), quiet():
        final = library.finalize(folder)
    typer.echo(str(final))


@corpus.command(cls=CheckedCommand)
def export(
    folder: Run,
    destination: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="A .csv or .jsonl file, or a folder for datasets.", show_default=False),
    ],
) -> None:
    """Write the results of a finalized run in another format.

    [bold]Examples[/bold]

    - [cyan]normlens corpus export run results.jsonl[/cyan]
    """
    with starting():
        from normlens import corpus as library
    with waiting(f"Writing {destination}"):
        library.export(folder, destination)
    typer.echo(str(destination))


def part_of(text: str | None) -> tuple[int, int]:
    """The part of the shards that ``I/N`` names.

    Raises
    ------
    InvalidInput
        If it is written otherwise, or there is no such part.

    Examples
    --------
    >>> part_of(None), part_of("3/10")
    ((0, 1), (3, 10))
    """
    if text is None:
        return 0, 1
    numbers = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if numbers is None or not int(numbers[1]) < int(numbers[2]):
        raise InvalidInput(
            f"--shard-index is {text!r}; expected I/N with I from 0 to N − 1, such as 0/4 for the first of four."
        )
    return int(numbers[1]), int(numbers[2])
