"""``normlens heads``: what each head of a model looks at and what it moves, over a corpus."""

from __future__ import annotations

from typing import Annotated

import typer

from normlens.cli import options
from normlens.cli.choices import SinkSources
from normlens.cli.corpus_reading import CorpusReading
from normlens.cli.destinations import PICTURES, check_ending, check_files
from normlens.cli.opening import quiet

HEAD_SUFFIXES = (*PICTURES, ".csv", ".parquet", ".json")


def heads(
    model: options.Model,
    file: options.Corpus,
    sources: Annotated[
        SinkSources, typer.Option(help="The sources whose share of weight and of norm is shown.")
    ] = SinkSources.first_token,
    output: options.HeadsFile = None,
    overwrite: options.Overwrite = False,
    limit: options.Limit = None,
    truncate: options.Truncate = False,
    skip_bad: options.SkipBad = False,
    group: options.Group = None,
    batch_size: options.BatchSize = 8,
    as_json: options.Json = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Show which heads look at the first token without moving anything from it, and which heads move least.

    For each head over a corpus: its weight on the first token and on special tokens, what it moves from there by norm, the
    length of its output, its displacement, and the distance that it looks at; means over texts with 95 % intervals.

    [bold]Examples[/bold]

    - [cyan]normlens heads smollm2-135m sentences.txt --limit 200[/cyan]

    - [cyan]normlens heads minilm-l6 sentences.txt --sources special -o heads.svg[/cyan]

    - [cyan]normlens heads minilm-l6 sentences.txt -o heads.csv[/cyan]
    """
    check_ending(output, HEAD_SUFFIXES)
    check_files(output, reads=[model, file], overwrite=overwrite)
    lens, reading = CorpusReading.opened(
        model, file, group=group, limit=limit, truncate=truncate, skip_bad=skip_bad, device=device, dtype=dtype,
        revision=revision, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    from normlens.cli.output.head_statistics import give
    from normlens.statistics.heads import MEASURES, head_statistics, head_sums

    with quiet():
        analyses = reading.analyses(lens, file, batch_size, measures=MEASURES, reduce=head_sums)
        statistics = head_statistics(analyses, group)
    skips = reading.skipped
    skips.report()
    tables = {kind: (of_kind.table(), len(of_kind)) for kind, of_kind in statistics.items()}
    give(lens.name, tables, sources.value, output, as_json, skipped=skips.as_data())
