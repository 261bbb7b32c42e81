"""``normlens report``: analyze a corpus and write a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

    A run that was stopped or killed goes on where it was when the command is repeated.

    [bold]Examples[/bold]

    - [cyan]normlens report minilm-l6 sentences.txt[/cyan]

    - [cyan]normlens report smollm2-135m wiki.txt --limit 500 -o wiki-report[/cyan]

    - [cyan]normlens report google-bert/bert-base-uncased wiki.txt --frequency rank_count_id.txt[/cyan]

    - [cyan]normlens report Helsinki-NLP/opus-mt-de-en pairs.tsv --group cross --json[/cyan]
    """
    with starting():
        from normlens.cli.report_runs import ReportRun, check_run_folder

        check_folder(output, reads=[model, file, frequency], overwrite=overwrite)
        check_run_folder(output)
    loading: dict[str, Any] = {"device": device, "dtype": dtype, "revision": revision}
    loading["trust_remote_code"] = trust_remote_code
    reading: dict[str, Any] = {"group": group, "limit": limit, "truncate": truncate, "skip_bad": skip_bad}
    lens, _ = CorpusReading.opened(model, file, **reading, **loading)
    from normlens.cli.output.corpus_report import give

    with ReportRun.planned(
        lens, model, file, output, frequency=frequency, batch_size=batch_size, overwrite=overwrite, **reading, **loading
    ) as run:
        run.compute()
        run.skipped.report()
        written = run.write(f"What attention moves in {lens.name}", file.name)
    give(written, lens.name, as_json)
