"""What ``normlens cluster`` does once it knows the distances: search, print what was found and write it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from normlens.cli.destinations import PICTURES, check_ending, check_files
from normlens.cli.opening import quiet
from normlens.cli.terminal import messages, percent, printable, results, waiting
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
    """What is clustered.

    Attributes
    ----------
    title
        What the whole is called.
    noun
        What one of them is called, such as "head".
    names
        What each is called.
    data, metric
        As :func:`normlens.clustering.find_good_clusterings` takes them.
    unit
        What a distance is.
    kinds
        From labels to a few words on each cluster; None where nothing is known of the members.
    further
        What else the result says as plain data.
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
        """A few words on each cluster; nothing where nothing is known."""
        return () if self.kinds is None else self.kinds(labels)


@dataclass(frozen=True)
class Search:
    """What is asked for: see :func:`normlens.clustering.find_good_clusterings`.

    Raises
    ------
    InvalidInput
        For an α, γ or δ that no search can be made with.
    """

    alpha: float
    gamma: float
    delta: float
    seed: int

    def __post_init__(self) -> None:
        from normlens.clustering import check_parameters

        check_parameters(self.alpha, self.gamma, self.delta)

    def run(self, clustered: ClusteredSet) -> SearchResult:
        """Search, saying so on standard error."""
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
    """Where results go beside the terminal: a file of labels, a picture; and whether JSON is printed."""

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
            For an unknown ending, or a place that can't or mustn't be written to.
        """
        check_ending(self.labels, _LABELS)
        check_ending(self.figure, PICTURES)
        check_files(self.labels, self.figure, reads=reads, overwrite=overwrite)


def give(found: SearchResult, search: Search, clustered: ClusteredSet, outputs: ClusterFiles) -> None:
    """Write and print what was found.

    Parameters
    ----------
    found, search, clustered
        The result, what was asked, and of what.
    outputs
        Where it goes.

    Raises
    ------
    NormLensError
        If a file can't be written, or there is too much to draw.
    """
    answer = as_data(found, search, clustered)
    if outputs.figure is not None:
        from normlens.figures import save

        with waiting("Drawing"):
            save(_drawn(found, clustered), outputs.figure)
        messages().print(f"Wrote {outputs.figure}", markup=False, soft_wrap=True)
    if outputs.labels is not None:
        _write(outputs.labels, answer, clustered)
        messages().print(f"Wrote {outputs.labels}", markup=False, soft_wrap=True)
    if outputs.as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False, allow_nan=False))
    else:
        _print(found, search, clustered)


def as_data(found: SearchResult, search: Search, clustered: ClusteredSet) -> dict[str, Any]:
    """The result as plain data, clusters numbered from 1; infinite ratios are written "infinite"."""
    best = found.clusterings[0] if found.clusterings else None
    return {
        "certificate": str(found.certificate),
        "status": found.certificate.status,
        "found": found.certificate.found,
        "none_exists": found.certificate.none_exists,
        **asdict(search),
        **clustered.further,
        f"{clustered.noun}s": list(clustered.names),
        "clustering": None if best is None else _described(best, search, clustered.names),
        "nearest": None if found.nearest is None else _described(found.nearest, search, clustered.names),
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
    """Write who is in which cluster; the file appears whole or not at all."""
    from normlens.files.atomic import write_atomically

    if path.suffix.lower() == ".json":
        write_atomically(path, json.dumps(answer, ensure_ascii=False, allow_nan=False))
        return
    nothing = [""] * len(clustered.names)
    best, nearest = ((answer[key] or {"labels": nothing, "ratios": nothing}) for key in ("clustering", "nearest"))
    whole = io.StringIO(newline="")
    rows = csv.writer(whole)
    rows.writerow([clustered.noun, "cluster", "nearest_cluster", "nearest_ratio"])
    rows.writerows(zip(clustered.names, best["labels"], nearest["labels"], nearest["ratios"], strict=True))
    write_atomically(path, whole.getvalue())


def _print(found: SearchResult, search: Search, clustered: ClusteredSet) -> None:
    """Print the certificate, and the best or the nearest clustering."""
    console = results()
    console.print(Text(printable(clustered.title), style="bold"), soft_wrap=True)
    console.print(str(found.certificate), markup=False, soft_wrap=True)
    shown = found.clusterings[0] if found.clusterings else found.nearest
    if shown is None:
        return
    goodness, witness = shown.goodness, shown.goodness.witness
    what = "The best" if found.clusterings else "The nearest to one, which isn't good enough,"
    lines = [
        f"\n{what} has {len(goodness.sizes)} clusters: α* {goodness.alpha:.4g}, γ* {goodness.gamma:.3g}; "
        f"{percent(goodness.share_above(search.alpha))} of the {clustered.noun}s have a ratio of {search.alpha:g} or more.",
        f"Witness: {clustered.noun} {clustered.names[witness.point]} of cluster {int(witness.own) + 1} lies "
        f"{witness.own_distance:.4g} from its own cluster and {witness.other_distance:.4g} from cluster "
        f"{int(witness.other) + 1}, in the mean.",
    ]
    kinds = clustered.kinds_of(shown.labels)
    for code, size in enumerate(goodness.sizes):
        members = [clustered.names[int(place)] for place in (shown.labels == code).nonzero()[0]]
        more = f" … and {size - _MOST_NAMED} more" if size > _MOST_NAMED else ""
        kind = f", {kinds[code]}" if kinds else ""
        lines.append(f"  {code + 1} ({size}{kind}): {'  '.join(members[:_MOST_NAMED])}{more}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _drawn(found: SearchResult, clustered: ClusteredSet) -> PanelAxes:
    """A map beside the tree, with the nodes that are certified."""
    from normlens.clustering import read_distances
    from normlens.clustering.model_heads import HABITS
    from normlens.figures import cluster_map

    if len(clustered.names) > _MOST_DRAWN:
        raise InvalidInput(
            f"There are {len(clustered.names)} {clustered.noun}s to draw; expected {_MOST_DRAWN} or fewer. "
            "Leave out --figure, or draw some of them."
        )
    shown = found.clusterings[0] if found.clusterings else found.nearest
    certified = [
        ((clustering.labels == code).nonzero()[0].tolist(), clustering.alpha)
        for clustering in found.clusterings
        for code in range(len(clustering.goodness.sizes))
    ]
    title = clustered.title
    if shown is not None:
        said = f"α* {shown.alpha:.3g}" + ("" if found.clusterings else ", not good enough")
        title = f"{title}: {len(shown.goodness.sizes)} clusters, {said}"
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
