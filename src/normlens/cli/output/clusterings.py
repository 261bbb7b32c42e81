"""Output of ``normlens cluster``: the search for clusterings, what it proves, labels and figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from normlens.cli.destinations import PICTURES, check_ending, check_files
from normlens.cli.opening import quiet
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import counted, messages, percent, printable, results, waiting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

    from normlens.clustering import Clustering, SearchResult
    from normlens.figures.panels import PanelAxes

_MOST_NAMED = 24  # members of a cluster on the terminal
_MOST_DRAWN = 2000
_LABELS = (".csv", ".json")


@dataclass(frozen=True, eq=False)
class ClusteredSet:
    """A set of points or heads to cluster.

    Attributes
    ----------
    title
        Title of the result.
    noun
        What a member is, such as "head".
    names
        Name of each member.
    data, metric
        As in :func:`normlens.clustering.find_good_clusterings`.
    unit
        Name of the distance.
    kinds
        Takes labels, and describes each cluster in a few words; None if there are no descriptions.
    further
        Further plain data of the result.
    """

    title: str
    noun: str
    names: Sequence[str]
    data: np.ndarray
    metric: str
    unit: str
    kinds: Callable[[np.ndarray], Sequence[str]] | None = None
    further: Mapping[str, Any] = field(default_factory=dict)

    def kinds_of(self, labels: np.ndarray) -> Sequence[str]:
        """A description of each cluster; empty if there are none."""
        return () if self.kinds is None else self.kinds(labels)


@dataclass(frozen=True)
class Search:
    """The parameters of :func:`normlens.clustering.find_good_clusterings`.

    Raises
    ------
    InvalidInput
        If α, γ or δ is out of range.
    """

    alpha: float
    gamma: float
    delta: float
    seed: int

    def __post_init__(self) -> None:
        from normlens.clustering import check_parameters

        check_parameters(self.alpha, self.gamma, self.delta)

    def run(self, clustered: ClusteredSet) -> SearchResult:
        """Search for clusterings, with a message on standard error."""
        from normlens.clustering import find_good_clusterings

        with waiting(f"Searching for clusters of {len(clustered.names)} {clustered.noun}s"), quiet():
            return find_good_clusterings(
                clustered.data,
                alpha=self.alpha,
                gamma=self.gamma,
                delta=self.delta,
                metric=clustered.metric,
                random_state=self.seed,
            )


@dataclass(frozen=True)
class ClusterFiles:
    """Where results are written: a file of labels and a figure; and whether to print JSON."""

    labels: Path | None
    figure: Path | None
    as_json: bool

    def check(self, *reads: Path | str, overwrite: bool) -> None:
        """Refuse files that can't be written, before anything is computed.

        Parameters
        ----------
        *reads, overwrite
            As for :func:`normlens.cli.destinations.check_files`.

        Raises
        ------
        NormLensError
            For an unknown suffix, or a file that can't or mustn't be written.
        """
        check_ending(self.labels, _LABELS)
        check_ending(self.figure, PICTURES)
        check_files(self.labels, self.figure, reads=reads, overwrite=overwrite)


def give(result: SearchResult, search: Search, clustered: ClusteredSet, outputs: ClusterFiles) -> None:
    """Write and print the result of a search.

    Parameters
    ----------
    result, search, clustered
        The result, the search, and the set that was clustered.
    outputs
        Where to write the result.

    Raises
    ------
    NormLensError
        If a file can't be written, or the set is too large to draw.
    """
    answer = as_data(result, search, clustered)
    if outputs.figure is not None:
        from normlens.figures import save

        with waiting("Drawing"):
            save(_drawn(result, clustered), outputs.figure)
        messages().print(f"Wrote {outputs.figure}", markup=False, soft_wrap=True)
    if outputs.labels is not None:
        _write(outputs.labels, answer, clustered)
        messages().print(f"Wrote {outputs.labels}", markup=False, soft_wrap=True)
    if outputs.as_json:
        typer.echo(json_text(answer))
    else:
        _print(result, search, clustered)


def as_data(result: SearchResult, search: Search, clustered: ClusteredSet) -> dict[str, Any]:
    """The result as plain data, clusters numbered from 1; infinite ratios are written "infinite"."""
    best = result.clusterings[0] if result.clusterings else None
    return {
        "certificate": str(result.certificate),
        "status": result.certificate.status,
        "found": result.certificate.found,
        "none_exists": result.certificate.none_exists,
        **asdict(search),
        **clustered.further,
        f"{clustered.noun}s": list(clustered.names),
        "clustering": None if best is None else _described(best, search, clustered.names),
        "nearest": None if result.nearest is None else _described(result.nearest, search, clustered.names),
    }


def _described(clustering: Clustering, search: Search, names: Sequence[str]) -> dict[str, Any]:
    witness = clustering.goodness.witness
    return {
        "clusters": len(clustering.goodness.sizes),
        "alpha_star": _number(clustering.alpha),
        "gamma_star": clustering.goodness.gamma,
        "share_above_alpha": clustering.goodness.share_above(search.alpha),
        "witness": {
            "name": names[witness.point],
            "own": int(witness.own) + 1,
            "other": int(witness.other) + 1,
            "own_distance": witness.own_distance,
            "other_distance": witness.other_distance,
        },
        "labels": (clustering.labels + 1).tolist(),
        "ratios": [_number(float(ratio)) for ratio in clustering.goodness.ratios],
    }


def _number(value: float) -> float | str:
    return value if isfinite(value) else "infinite"


def _write(path: Path, answer: dict[str, Any], clustered: ClusteredSet) -> None:
    """Write the cluster of each member; the file appears whole or not at all."""
    from normlens.files.atomic import write_atomically

    if path.suffix.lower() == ".json":
        write_atomically(path, json_text(answer))
        return
    blank = [""] * len(clustered.names)
    best, nearest = ((answer[key] or {"labels": blank, "ratios": blank}) for key in ("clustering", "nearest"))
    content = io.StringIO(newline="")
    rows = csv.writer(content)
    rows.writerow([clustered.noun, "cluster", "nearest_cluster", "nearest_ratio"])
    rows.writerows(zip(clustered.names, best["labels"], nearest["labels"], nearest["ratios"], strict=True))
    write_atomically(path, content.getvalue())


def _print(result: SearchResult, search: Search, clustered: ClusteredSet) -> None:
    """Print the certificate, and the best or the nearest clustering."""
    console = results()
    console.print(Text(printable(clustered.title), style="bold"), soft_wrap=True)
    console.print(str(result.certificate), markup=False, soft_wrap=True)
    shown = result.clusterings[0] if result.clusterings else result.nearest
    if shown is None:
        return
    goodness, witness = shown.goodness, shown.goodness.witness
    which = "The best clustering" if result.clusterings else "The nearest clustering, which isn't good enough,"
    lines = [
        f"\n{which} has {counted(len(goodness.sizes), 'cluster')}: α* {goodness.alpha:.4g}, γ* {goodness.gamma:.3g}; "
        f"{percent(goodness.share_above(search.alpha))} of the {clustered.noun}s have a ratio of {search.alpha:g} or more.",
        f"Witness: {clustered.noun} {clustered.names[witness.point]} of cluster {int(witness.own) + 1} has a mean "
        f"distance of {witness.own_distance:.4g} within its own cluster and of {witness.other_distance:.4g} to cluster "
        f"{int(witness.other) + 1}.",
    ]
    kinds = clustered.kinds_of(shown.labels)
    for code, size in enumerate(goodness.sizes):
        members = [clustered.names[int(place)] for place in (shown.labels == code).nonzero()[0]]
        more = f" … and {size - _MOST_NAMED} more" if size > _MOST_NAMED else ""
        kind = f", {kinds[code]}" if kinds else ""
        lines.append(f"  {code + 1} ({size}{kind}): {'  '.join(members[:_MOST_NAMED])}{more}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _drawn(result: SearchResult, clustered: ClusteredSet) -> PanelAxes:
    """A heatmap beside the cluster tree, with the certified nodes marked."""
    from normlens.clustering import read_distances
    from normlens.clustering.model_heads import HABITS
    from normlens.figures import cluster_map

    if len(clustered.names) > _MOST_DRAWN:
        raise InvalidInput(
            f"There are {len(clustered.names)} {clustered.noun}s to draw; expected at most {_MOST_DRAWN}. Leave out "
            "--figure, or use fewer."
        )
    shown = result.clusterings[0] if result.clusterings else result.nearest
    certified = [
        ((clustering.labels == code).nonzero()[0].tolist(), clustering.alpha)
        for clustering in result.clusterings
        for code in range(len(clustering.goodness.sizes))
    ]
    title = clustered.title
    if shown is not None:
        goodness = f"α* {shown.alpha:.3g}" + ("" if result.clusterings else ", not good enough")
        title = f"{title}: {counted(len(shown.goodness.sizes), 'cluster')}, {goodness}"
    return cluster_map(
        read_distances(clustered.data, clustered.metric).matrix(),
        None if shown is None else shown.labels,
        names=clustered.names,
        kinds=() if shown is None else clustered.kinds_of(shown.labels),
        certified=certified,
        title=title,
        unit=clustered.unit,
        aside=HABITS[-1],
    )
