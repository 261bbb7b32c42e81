"""``normlens report``: a corpus through one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from normlens.cli.files import Lines, check_folder
from normlens.cli.opening import open_lens
from normlens.cli.options import BatchSize, Device, Dtype, Folder, Group, Json, Model, Revision, TrustRemoteCode
from normlens.cli.terminal import results

_HEADLINES = 3


def report(
    model: Model,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="One text per line; blank lines are skipped. For encoder-decoders: text, tab, target.",
            show_default=False,
        ),
    ],
    output: Folder = Path("report"),
    limit: Annotated[int | None, typer.Option(min=1, help="Read so many texts at most.")] = None,
    frequency: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Lines of rank, count, token id. Default: counted in the corpus."),
    ] = None,
    batch_size: BatchSize = 8,
    group: Group = None,
    as_json: Json = False,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Analyse a corpus and write a page with findings, figures and tables, and every number as Parquet.

    The corpus is streamed: memory doesn't grow with its texts, but for a few numbers of each.

    [bold]Examples[/bold]

    - [cyan]normlens report minilm-l6 sentences.txt[/cyan]

    - [cyan]normlens report smollm2-135m wiki.txt --limit 500 -o wiki-report[/cyan]

    - [cyan]normlens report google-bert/bert-base-uncased wiki.txt --frequency rank_count_id.txt[/cyan]

    - [cyan]normlens report Helsinki-NLP/opus-mt-de-en pairs.tsv --group cross --json[/cyan]
    """
    check_folder(output)
    next(iter(Lines(file)), None)
    lens = open_lens(model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code)
    from normlens.cli.corpus import answers, measure, write

    paired = lens.model.config.is_encoder_decoder
    texts = Lines(file, limit, column=0 if paired else None)
    targets = Lines(file, limit, column=1) if paired else None
    measured = measure(lens, texts, targets, frequency=frequency, group=group, batch_size=batch_size)
    numbers = write(measured, output, f"What attention moves in {lens.name}", corpus=file.name)
    count = max(len(collected) for collected in measured.statistics.values())
    found = answers(numbers)
    if as_json:
        page = {"folder": str(output), "report": str(output / "report.html"), "texts": count, "findings": found}
        typer.echo(json.dumps(page, ensure_ascii=False))
        return
    console = results()
    for kind, sentences in found.items():
        console.print(f"[bold]{escape(lens.name)}[/] · [bold]{kind}[/] · {count} texts")
        for sentence in sentences[:_HEADLINES]:
            console.print(f"  {escape(sentence)}")
    typer.echo(output / "report.html")
