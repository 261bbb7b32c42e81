"""``normlens report``: analyze a corpus and write a report."""

from __future__ import annotations

from pathlib import Path

from normlens.cli import options
from normlens.cli.corpus_reading import CorpusReading
from normlens.cli.destinations import check_folder
from normlens.cli.terminal import starting


def report(
    model: options.Model,
    file: options.Corpus,
    output: options.ReportFolder = Path("report"),
    overwrite: options.Overwrite = False,
    limit: options.Limit = None,
    truncate: options.Truncate = False,
    skip_bad: options.SkipBad = False,
    frequency: options.Frequency = None,
    batch_size: options.BatchSize = 8,
    group: options.Group = None,
    as_json: options.Json = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Analyze a corpus; write a page with findings, figures and tables, and all numbers as Parquet.

    The corpus is streamed: only a few numbers per text stay in memory.

    [bold]Examples[/bold]

    - [cyan]normlens report minilm-l6 sentences.txt[/cyan]

    - [cyan]normlens report smollm2-135m wiki.txt --limit 500 -o wiki-report[/cyan]

    - [cyan]normlens report google-bert/bert-base-uncased wiki.txt --frequency rank_count_id.txt[/cyan]

    - [cyan]normlens report Helsinki-NLP/opus-mt-de-en pairs.tsv --group cross --json[/cyan]
    """
    with starting():
        check_folder(output, reads=[model, file, frequency], overwrite=overwrite)
    lens, reading = CorpusReading.opened(
        model, file, group=group, limit=limit, truncate=truncate, skip_bad=skip_bad, device=device, dtype=dtype,
        revision=revision, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    from normlens.cli.output.corpus_report import give, measured, written

    texts, targets = reading.texts_of(lens, file)
    corpus = measured(
        lens, texts, targets, frequency=frequency, group=group, batch_size=batch_size, reading=reading.options(texts)
    )
    skips = reading.skipped
    if skips.reasons:
        corpus.attributes["skipped lines"] = str(skips)
    if corpus.truncated:
        corpus.attributes["truncated texts"] = corpus.truncated
    skips.report()
    numbers = written(corpus, output, f"What attention moves in {lens.name}", name=file.name)
    give(numbers, corpus, lens.name, output, as_json, skipped=skips.as_data())
