"""Distances between the attention heads of a model over a corpus, ready to be clustered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from normlens.clustering import HeadDistances
from normlens.errors import InvalidInput
from normlens.words.three_lines import Summarized, counted, first_few

if TYPE_CHECKING:
    from normlens.analysis import Analysis, Group
    from normlens.lens import Lens

MEASURES = ("norm", "weight", "displacement")
"""The measures by which heads can be compared: the norms of what they move, ‖α f(x)‖, weights α, or α‖f(x) − o‖."""

_ARRAYS = {"norm": "weighted_norm", "weight": "weight", "displacement": "displacement"}

HABITS = ("the first token", "special tokens", "itself", "the one before", "the one after", "elsewhere")
"""Sources to which a head can attend; a source that is more than one of these counts as the first of them."""

_MOST_DRAWN = 200  # heads in the picture of a notebook: more take seconds


@dataclass(frozen=True, eq=False, repr=False)
class ComparedHeads(Summarized):
    """Distances between the heads of a model.

    Attributes
    ----------
    matrix
        ``(head, head)`` mean √JSD between rows of the heads' maps, between 0 and 1; a metric.
    names
        Each head as ``"layer.head"``: the model's number of the layer, and the number of the head in it, from 0.
    measure, group
        One of `MEASURES`, and the kind of attention.
    habits
        ``(head, habit)`` mean share of a row that goes to each of `HABITS`; rows add up to one.
    texts, targets
        Numbers of texts, and of rows of their maps, in the mean.
    """

    matrix: Float[np.ndarray, "head head"]
    names: tuple[str, ...]
    habits: Float[np.ndarray, "head habit"]
    measure: str
    group: str
    texts: int
    targets: int

    def _summary(self) -> tuple[str, str, str]:
        apart = self.matrix[np.triu_indices(len(self.matrix), 1)]
        over = f"{counted(self.texts, 'text')}, {counted(self.targets, 'target')}"
        return (
            f"<ComparedHeads: {len(self.names)} heads of group {self.group!r} by {self.measure}, over {over}>",
            f"Heads: {first_few(self.names)}. Distances: {apart.min():.3f} to {apart.max():.3f}, mean {apart.mean():.3f}",
            'Next: .habits, clustering.find_good_clusterings(….matrix, metric="precomputed"), '
            "figures.cluster_map(….matrix, names=….names)",
        )

    def _picture(self) -> str:
        from normlens.figures import cluster_map
        from normlens.figures.framed import pictured
        from normlens.figures.style import kept_from_the_screen

        if not 3 <= len(self.names) <= _MOST_DRAWN or not np.any(self.matrix):
            return ""
        with kept_from_the_screen():
            axes = cluster_map(self.matrix, names=self.names, unit="√JSD")
        return pictured(axes, "A map of the heads beside the tree in which they merge")


def head_distances(
    lens: Lens,
    texts: Iterable[Any],
    target_text: Iterable[Any] | None = None,
    *,
    measure: str = "norm",
    group: str | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> ComparedHeads:
    """Compare all heads of a model on a corpus; memory doesn't grow with the number of texts.

    Parameters
    ----------
    lens
        The model.
    texts, target_text
        As `inputs` and `target_text` of :meth:`normlens.Lens.stream`.
    measure
        ``"norm"``: compare the norms ‖α f(x)‖; ``"weight"``: the weights α; ``"displacement"``: how far each source moves a
        head's output, α‖f(x) − o‖. Each target's row is divided by its sum.
    group
        Kind of attention, such as ``"encoder"``. Default: the model's first.
    batch_size, progress
        As for :meth:`normlens.Lens.stream`.

    Returns
    -------
    ComparedHeads
        Ready for :func:`normlens.clustering.find_good_clusterings` with ``metric="precomputed"``.

    Raises
    ------
    InvalidInput
        If there is no text, no such measure or group, or a head moves nothing to a target.

    References
    ----------
    Endres and Schindelin 2003, "A new metric for probability distributions": √JSD is a metric.
    """
    check_measure(measure)
    analyses = lens.stream(texts, target_text, batch_size=batch_size, progress=progress, measures=arrays_for(measure))
    return compare_heads(analyses, measure=measure, group=group)


def compare_heads(analyses: Iterable[Analysis], *, measure: str = "norm", group: str | None = None) -> ComparedHeads:
    """Compare heads on existing analyses, such as those of :meth:`normlens.Lens.stream`.

    Parameters
    ----------
    analyses
        Analyses of one model, with full maps of the measure and of weights (`arrays_for`).
    measure, group
        As for `head_distances`.

    Returns
    -------
    ComparedHeads

    Raises
    ------
    InvalidInput
        As `head_distances`.
    """
    check_measure(measure)
    every = iter(analyses)
    first = next(every, None)
    if first is None:
        raise InvalidInput("There are no texts to compare heads on; expected at least one.")
    kind = group or first.groups[0]
    if kind not in first.groups:
        raise InvalidInput(f"There is no group {kind} in this analysis; it has {', '.join(first.groups)}.")
    names, maps = head_maps(first[kind], measure)
    distances, texts = HeadDistances(len(names)), 1
    distances.add(maps)
    habits = head_habits(first[kind], maps) * maps.shape[1]
    for analysis in every:
        maps = head_maps(analysis[kind], measure)[1]
        distances.add(maps)
        habits += head_habits(analysis[kind], maps) * maps.shape[1]
        texts += 1
    return ComparedHeads(distances.matrix(), names, habits / distances.targets, measure, kind, texts, distances.targets)


def head_maps(group: Group, measure: str = "norm") -> tuple[tuple[str, ...], Float[np.ndarray, "head target source"]]:
    """Concatenate the maps of the heads of all layers.

    Parameters
    ----------
    group
        One kind of attention of an analysis.
    measure
        One of `MEASURES`.

    Returns
    -------
    names, maps
        Heads as ``"layer.head"``, and their maps ``(head, target, source)``; heads that a layer doesn't have are left out.
        Where a target sees a single source, nothing displaces the output, and the row is that source alone.

    Raises
    ------
    InvalidInput
        If the analysis has no maps of the measure, or there is no such measure.
    """
    check_measure(measure)
    if "weight" not in group.data:
        raise InvalidInput("This analysis was reduced and has no maps of heads. Analyze without reduce=.")
    if _ARRAYS[measure] not in group:
        raise InvalidInput(
            f"This analysis has no {_ARRAYS[measure]}; expected one with measures={list(arrays_for(measure))}. Analyze the "
            "text with it."
        )
    data = group[_ARRAYS[measure]].transpose("layer", "head", "target", "source")
    if measure == "displacement":
        several = (group.weight > 0).any(["layer", "head"]).sum("source") > 1
        data = data.where(several, group.weight).transpose(*data.dims)
    positions = [(layer, head) for layer in range(data.sizes["layer"]) for head in range(data.sizes["head"])]
    present = [position for position in positions if not np.isnan(data.values[position]).all()]
    names = tuple(f"{data['layer'].values[layer]}.{data['head'].values[head]}" for layer, head in present)
    return names, np.stack([data.values[position] for position in present])


def head_habits(group: Group, maps: Float[np.ndarray, "head target source"]) -> Float[np.ndarray, "head habit"]:
    """Where heads attend: the mean share of their rows that goes to each of `HABITS`.

    Parameters
    ----------
    group
        One kind of attention of an analysis.
    maps
        From `head_maps`.
    """
    data = group.data
    shares = maps / maps.sum(axis=-1, keepdims=True)
    target, source = np.arange(maps.shape[1])[:, None], np.arange(maps.shape[2])
    away = np.full(maps.shape[1:], maps.shape[2]) if data.attrs["kind"] == "cross" else source - target
    special = np.broadcast_to(data["source_category"].values == "special", away.shape)
    first = np.broadcast_to(source == 0, away.shape)
    habit_of = np.select([first, special, away == 0, away == -1, away == 1], range(5), default=5)
    return np.stack(
        [(shares * (habit_of == habit)).sum(axis=-1).mean(axis=-1) for habit in range(len(HABITS))], axis=-1
    )


def cluster_habits(habits: Float[np.ndarray, "head habit"], labels: Sequence[int] | NDArray[np.intp]) -> list[str]:
    """Say where the heads of each cluster attend most: "elsewhere" only if no other habit has a sixth.

    Parameters
    ----------
    habits
        From `ComparedHeads`.
    labels
        ``(head,)`` clusters, from 0.

    Examples
    --------
    >>> cluster_habits(np.array([[0.1, 0, 0.7, 0, 0, 0.2], [0.1, 0.1, 0, 0, 0, 0.8]]), [0, 1])
    ['itself 70 %', 'elsewhere 80 %']
    """
    descriptions = []
    codes = np.asarray(labels)
    for code in range(int(codes.max(initial=-1)) + 1):
        mean = habits[codes == code].mean(axis=0)
        habit = int(mean[:-1].argmax())
        habit = habit if mean[habit] >= 1 / 6 else len(HABITS) - 1
        descriptions.append(f"{HABITS[habit]} {mean[habit]:.0%}".replace("%", " %"))
    return descriptions


def arrays_for(measure: str) -> tuple[str, ...]:
    """The measures of an analysis, for :meth:`normlens.Lens.stream`, that a comparison of heads needs.

    Examples
    --------
    >>> arrays_for("displacement")
    ('weight', 'displacement')
    """
    check_measure(measure)
    return tuple(dict.fromkeys(("weight", _ARRAYS[measure])))


def check_measure(measure: str) -> None:
    """Raise `InvalidInput` unless it is one of `MEASURES`."""
    if measure not in MEASURES:
        raise InvalidInput(f"Heads can't be compared by {measure!r}; expected one of {', '.join(MEASURES)}.")
