"""How differently a model's attention heads attend, text by text: from a lens to distances that can be clustered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from normlens.clustering import HeadDistances
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.analysis import Analysis, Group
    from normlens.lens import Lens

MAPS = ("norm", "weight")
"""What heads can be compared by: what they move, ‖α f(x)‖, or what their weights α say."""


@dataclass(frozen=True, eq=False)
class ComparedHeads:
    """Distances between the heads of a model.

    Attributes
    ----------
    matrix
        ``(head, head)`` mean √JSD between rows of the heads' maps, between 0 and 1; a metric.
    names
        Each head as ``"layer.head"``, both from 0.
    map, group
        By which of `MAPS`, and in which kind of attention.
    texts, targets
        How many texts, and how many rows of their maps, the mean is over.
    """

    matrix: Float[np.ndarray, "head head"]
    names: tuple[str, ...]
    map: str
    group: str
    texts: int
    targets: int


def head_distances(
    lens: Lens,
    texts: Iterable[Any],
    targets: Iterable[Any] | None = None,
    *,
    map: str = "norm",
    group: str | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> ComparedHeads:
    """Compare all heads of a model on a corpus; memory doesn't grow with the number of texts.

    Parameters
    ----------
    lens
        The model.
    texts, targets
        As for :meth:`normlens.Lens.stream`.
    map
        ``"norm"``: compare the norms ‖α f(x)‖; ``"weight"``: the weights α. Each target's row is divided by its sum.
    group
        Which kind of attention, such as ``"encoder"``. Default: the model's first.
    batch_size, progress
        As for :meth:`normlens.Lens.stream`.

    Returns
    -------
    ComparedHeads
        Ready for :func:`normlens.clustering.find_good_clusterings` with ``metric="precomputed"``.

    Raises
    ------
    InvalidInput
        If there is no text, no such map or group, or a head moves nothing to some target.

    References
    ----------
    Endres and Schindelin 2003, "A new metric for probability distributions": √JSD is a metric.
    """
    check_map(map)
    return compare_heads(lens.stream(texts, targets, batch_size=batch_size, progress=progress), map=map, group=group)


def compare_heads(analyses: Iterable[Analysis], *, map: str = "norm", group: str | None = None) -> ComparedHeads:
    """Compare heads on analyses that are there already, such as those of :meth:`normlens.Lens.stream`.

    Parameters
    ----------
    analyses
        Of one model, with whole maps.
    map, group
        As for `head_distances`.

    Returns
    -------
    ComparedHeads

    Raises
    ------
    InvalidInput
        As `head_distances`.
    """
    check_map(map)
    every = iter(analyses)
    first = next(every, None)
    if first is None:
        raise InvalidInput("There are no texts to compare heads on. Give one at least.")
    kind = group or first.groups[0]
    if kind not in first.groups:
        raise InvalidInput(f"There is no group {kind} in this analysis; it has {', '.join(first.groups)}.")
    names, maps = head_maps(first[kind], map)
    distances, texts = HeadDistances(len(names)), 1
    distances.add(maps)
    for analysis in every:
        distances.add(head_maps(analysis[kind], map)[1])
        texts += 1
    return ComparedHeads(distances.matrix(), names, map, kind, texts, distances.targets)


def head_maps(group: Group, map: str = "norm") -> tuple[tuple[str, ...], Float[np.ndarray, "head target source"]]:
    """Put the maps of all layers' heads one after the other.

    Parameters
    ----------
    group
        One kind of attention of an analysis.
    map
        One of `MAPS`.

    Returns
    -------
    names, maps
        Heads as ``"layer.head"``, and their maps ``(head, target, source)``; heads that a layer doesn't have are left out.

    Raises
    ------
    InvalidInput
        If the analysis was reduced and keeps no maps, or there is no such map.
    """
    check_map(map)
    if "weight" not in group.data:
        raise InvalidInput("This analysis was reduced and holds no maps of heads; analyse without reduce=.")
    data = (group.weight if map == "weight" else group.weighted_norm).transpose("layer", "head", "target", "source")
    places = [(layer, head) for layer in range(data.sizes["layer"]) for head in range(data.sizes["head"])]
    present = [place for place in places if not np.isnan(data.values[place]).all()]
    names = tuple(f"{data['layer'].values[layer]}.{data['head'].values[head]}" for layer, head in present)
    return names, np.stack([data.values[place] for place in present])


def check_map(map: str) -> None:
    """Raise `InvalidInput` unless it is one of `MAPS`."""
    if map not in MAPS:
        raise InvalidInput(f"There is no map {map!r} to compare heads by; expected one of {', '.join(MAPS)}.")
