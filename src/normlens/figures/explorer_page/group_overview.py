"""The overview of one kind of attention: every head as a point and as thumbnails, gathered layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from normlens.engine.tracing.scopes import TEXTS
from normlens.figures.explorer_page.binary_message import PackedArray
from normlens.figures.explorer_page.head_shares import EMPTY_SOURCES, HeadShares, source_sets
from normlens.figures.explorer_page.thumbnails import Thumbnails, edges, shaded
from normlens.figures.style import readable

_MAPS = ("weight", "norm")
TokenFacts = list[dict[str, Any]]
"""Each token's text, its category, and whether it directly follows the one before it."""


@dataclass(frozen=True)
class GroupLayout:
    """What a group is, before anything is measured.

    Attributes
    ----------
    name
        "encoder", "decoder", "cross", or a tower's.
    crossed, causal
        Whether targets and sources are different sequences; whether targets see only what is before them.
    layers
        Their numbers in the model.
    targets, sources
        The tokens.
    scopes
        Scopes of the norms of the sum over heads.
    measures
        The measures of heads and of their sum that can be looked at, see
        :func:`normlens.figures.explorer_page.map_measures.measure_facts`.
    """

    name: str
    crossed: bool
    causal: bool
    layers: Sequence[int]
    targets: TokenFacts
    sources: TokenFacts
    scopes: Sequence[str]
    measures: Mapping[str, Any]


@dataclass
class _Layer:
    shares: HeadShares
    weight: Thumbnails
    norm: Thumbnails
    vector_norm: NDArray[Any]


class GroupOverview:
    """What the page shows of every head of a group before one is opened.

    Parameters
    ----------
    layout
        The group.
    """

    def __init__(self, layout: GroupLayout) -> None:
        self.layout = layout
        self.layers: dict[int, _Layer] = {}
        self._members = source_sets([token["category"] for token in layout.sources])

    def vector_norm(self, layer: int) -> Float[np.ndarray, "head source"]:
        """‖f(x)‖ of a layer that was measured."""
        return self.layers[layer].vector_norm

    def add(
        self,
        layer: int,
        start: int,
        weight: Float[np.ndarray, "head target source"],
        vector_norm: Float[np.ndarray, "head source"],
        norm: Float[np.ndarray, "target source"],
        sink_weight: Float[np.ndarray, "head target"] | None,
        moved: Float[np.ndarray, "head target source"] | None = None,
    ) -> None:
        """Take a slice of a layer's targets that begins at ``start``.

        Parameters
        ----------
        layer, start
            Number of the layer, and the first target.
        weight, vector_norm
            α and ‖f(x)‖.
        norm
            ‖Σ_h α f(x)‖ at the scope "attention".
        sink_weight
            Weight that goes to no source; None if there is none.
        moved
            ‖α f(x)‖; None if it is α ‖f(x)‖. The largest of a source's then follows from its largest weight.
        """
        one = self.layers.get(layer) or self._begun(layer, vector_norm)
        one.shares.add(start, weight, vector_norm, norm, sink_weight, moved)
        cells, largest = one.weight.rows(start, weight)
        one.weight.add_rows(cells, largest)
        if moved is None:
            one.norm.add_rows(cells, largest * vector_norm[:, None])
        else:
            one.norm.add(start, moved)

    def facts(self) -> dict[str, Any]:
        """The group's name, layers, tokens, scopes, measures, and the shares of its heads."""
        layout = self.layout
        layers = [self.layers[number] for number in layout.layers]
        shares = [one.shares.shares() for one in layers]
        of_layer = [one.shares.of_layer() for one in layers]
        own = "" if layout.crossed else " + x"
        return {
            "name": layout.name,
            "crossed": layout.crossed,
            "causal": layout.causal,
            "layers": list(layout.layers),
            "heads": [len(one.vector_norm) for one in layers],
            "targets": layout.targets,
            "sources": layout.sources,
            "scopes": [
                {"name": scope, "label": TEXTS[scope].label, "formula": TEXTS[scope].formula.format(own=own)}
                for scope in layout.scopes
            ],
            **layout.measures,
            "rowEdges": edges(len(layout.targets)).tolist(),
            "columnEdges": edges(len(layout.sources)).tolist(),
            "amount": _plain(np.concatenate([one.shares.amount() for one in layers])),
            "shares": {
                key: {
                    measure: _plain(np.concatenate([share[key][index] for share in shares]))
                    for index, measure in enumerate(_MAPS)
                }
                for key in shares[0]
            },
            "layerShares": {
                key: {measure: _plain([share[key][index] for share in of_layer]) for index, measure in enumerate(_MAPS)}
                for key in of_layer[0]
            },
        }

    def arrays(self) -> dict[str, PackedArray]:
        """The thumbnails of the heads, layer after layer, in 255 steps up to the largest number of each."""
        packed: dict[str, PackedArray] = {}
        layers = [self.layers[number] for number in self.layout.layers]
        for measure in _MAPS:
            for variant in ("whole", "without"):
                thumbnails = [getattr(getattr(one, measure), variant) for one in layers]
                steps, most = shaded(np.concatenate(thumbnails))
                packed[f"{self.layout.name}/{measure}/{variant}"] = PackedArray(steps)
                packed[f"{self.layout.name}/{measure}/{variant}/most"] = PackedArray(most)
        return packed

    def _begun(self, layer: int, vector_norm: NDArray[Any]) -> _Layer:
        layout = self.layout
        sizes = (len(vector_norm), len(layout.targets), len(layout.sources))
        weight, norm = (Thumbnails(*sizes, ~self._members[EMPTY_SOURCES]) for _ in _MAPS)
        one = _Layer(HeadShares(self._members, crossed=layout.crossed), weight, norm, vector_norm)
        self.layers[layer] = one
        return one


def token_facts(labels: Iterable[object], categories: Iterable[object], joined: Iterable[object]) -> TokenFacts:
    """The tokens of a side: text with unprintable characters made visible, category, whether it follows directly."""
    return [
        {"text": readable(str(label)), "category": str(category), "joined": bool(glued)}
        for label, category, glued in zip(labels, categories, joined, strict=True)
    ]


def _plain(numbers: Iterable[float] | NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, to six digits; None for what isn't finite."""
    return [float(f"{number:.6g}") if math.isfinite(number) else None for number in numbers]
