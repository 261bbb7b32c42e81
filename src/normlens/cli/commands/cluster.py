"""``normlens cluster``: cluster points, or a model's attention heads, with a certificate."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli import options
from normlens.cli.checked_command import CheckedCommand
from normlens.cli.choices import Measure
from normlens.cli.commands.cluster_inputs import read_points
from normlens.cli.corpus_reading import CorpusReading
from normlens.cli.help_pages import DescribedGroup
from normlens.cli.opening import quiet
from normlens.cli.output.clusterings import ClusteredSet, ClusterFiles, Search, give
from normlens.cli.terminal import counted, starting

_SEARCH = "Criteria of a good clustering"

cluster = typer.Typer(
    cls=DescribedGroup,
    name="cluster",
    help="Find good clusterings and state what is proved about them. The number of clusters is a result, not an input.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Metric(StrEnum):
    """The distance between two points."""

    euclidean = "euclidean"
    sqrt_jsd = "sqrt_jsd"
    hellinger = "hellinger"
    precomputed = "precomputed"


_UNITS = {
    Metric.euclidean: "Euclidean distance",
    Metric.sqrt_jsd: "√JSD",
    Metric.hellinger: "Hellinger distance",
    Metric.precomputed: "distance",
}


Alpha = Annotated[
    float,
    typer.Option(
        help="Smallest ratio of a point's mean distance to another cluster to that within its own; above 1.",
        rich_help_panel=_SEARCH,
    ),
]
Gamma = Annotated[
    float, typer.Option(help="Smallest share of all points in each cluster; at most 1/2.", rich_help_panel=_SEARCH)
]
Delta = Annotated[
    float, typer.Option(help="Probability of missing a clustering when the search samples.", rich_help_panel=_SEARCH)
]
Figure = Annotated[
    Path | None, typer.Option(help="Draw a heatmap beside the cluster tree. Format by suffix: .png, .svg or .pdf.")
]


@cluster.command(cls=CheckedCommand)
def points(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A table of numbers, .npy, .parquet or .csv, one point per row.", show_default=False
        ),
    ],
    metric: Annotated[
        Metric,
        typer.Option(help="Distance between points. precomputed: the table holds distances.", rich_help_panel=_SEARCH),
    ] = Metric.euclidean,
    alpha: Alpha = 2.0,
    gamma: Gamma = 0.1,
    delta: Delta = 0.05,
    seed: options.Seed = 0,
    output: options.LabelsFile = None,
    figure: Figure = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Cluster points and state what is proved about the clustering, or that no good one exists.

    [bold]Examples[/bold]

    - [cyan]normlens cluster points vectors.npy --alpha 1.5[/cyan]

    - [cyan]normlens cluster points distances.npy --metric precomputed -o labels.csv --figure map.png[/cyan]
    """
    outputs = ClusterFiles(output, figure, as_json)
    outputs.check(file, overwrite=overwrite)
    with starting():
        search = Search(alpha, gamma, delta, seed)
    table = read_points(file)
    clustered = ClusteredSet(
        file.name, "point", [str(row) for row in range(len(table))], table, metric.value, _UNITS[metric]
    )
    give(search.run(clustered), search, clustered, outputs)


@cluster.command(cls=CheckedCommand)
def heads(
    model: options.Model,
    file: options.Corpus,
    measure: options.ComparedBy = Measure.norm,
    alpha: Alpha = 1.1,
    gamma: Gamma = 0.02,
    delta: Delta = 0.05,
    seed: options.Seed = 0,
    limit: options.Limit = None,
    truncate: options.Truncate = False,
    skip_bad: options.SkipBad = False,
    group: options.SingleGroup = None,
    output: options.LabelsFile = None,
    figure: Figure = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    batch_size: options.BatchSize = 8,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Cluster the attention heads of a model by what they move over a corpus.

    The distance of two heads is the mean √JSD between the rows of their maps. Heads are written as layer.head, from 0.
    The heads of real models are rarely far apart, so the default α is small.

    [bold]Examples[/bold]

    - [cyan]normlens cluster heads minilm-l6 sentences.txt --limit 40 --figure heads.png[/cyan]

    - [cyan]normlens cluster heads minilm-l6 sentences.txt --measure weight --alpha 1.05 --json[/cyan]
    """
    outputs = ClusterFiles(output, figure, as_json)
    outputs.check(model, file, overwrite=overwrite)
    with starting():
        search = Search(alpha, gamma, delta, seed)
    lens, reading = CorpusReading.opened(
        model, file, group=group, limit=limit, truncate=truncate, skip_bad=skip_bad, device=device, dtype=dtype,
        revision=revision, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    from normlens.clustering.model_heads import arrays_for, cluster_habits, compare_heads

    with quiet():
        analyses = reading.analyses(lens, file, batch_size, measures=arrays_for(measure.value))
        compared = compare_heads(analyses, measure=measure.value, group=group)
    skips = reading.skipped
    skips.report()
    skipped = f", {len(skips.reasons)} skipped" if skips.reasons else ""
    title = f"{lens.name}: heads by {measure.value}, {counted(compared.texts, 'text')}{skipped}"
    clustered = ClusteredSet(
        title, "head", compared.names, compared.matrix, "precomputed", "mean √JSD",
        lambda labels: cluster_habits(compared.habits, labels), {"skipped": skips.as_data()},
    )  # fmt: skip
    give(search.run(clustered), search, clustered, outputs)
