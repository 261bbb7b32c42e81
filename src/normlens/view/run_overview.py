"""The overview of a run: every head as a thumbnail and as a point, gathered layer by layer while the model runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from normlens.analysis.position_labels import labeled, source_medium
from normlens.engine.contributions.measure import Measures
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.layout import Layout
from normlens.engine.tracing.scopes import TEXTS
from normlens.errors import InvalidInput
from normlens.figures.style import readable
from normlens.inputs.example import Example
from normlens.inputs.tokens import Tokens
from normlens.view.binary_message import PackedArray
from normlens.view.head_shares import EMPTY_SOURCES, HeadShares, source_sets
from normlens.view.map_measures import measure_facts
from normlens.view.thumbnails import Thumbnails, edges, shaded
from normlens.words import joined_tokens

_MAPS = ("weight", "norm")


@dataclass
class _Layer:
    shares: HeadShares
    weight: Thumbnails
    norm: Thumbnails
    vector_norm: NDArray[Any]


class Overview:
    """What the page shows of every head before one is opened.

    Parameters
    ----------
    layout
        Groups and layers of the model.
    example
        The input.
    """

    def __init__(self, layout: Layout, example: Example) -> None:
        self._layout, self._example = layout, example
        self._layers: dict[tuple[str, int], _Layer] = {}
        self._tokens: dict[str, tuple[Tokens, Tokens]] = {}

    @property
    def total(self) -> int:
        """Number of layers."""
        return sum(map(len, self._layout.groups.values()))

    @property
    def measured(self) -> int:
        """Number of layers of which something was measured."""
        return len(self._layers)

    def tokens(self, group: str) -> tuple[Tokens, Tokens]:
        """The targets and the sources of a group."""
        return self._tokens[group]

    def heads(self, group: str, layer: int) -> int:
        """The number of heads of a layer.

        Raises
        ------
        InvalidInput
            If the group has no such layer.
        """
        if (group, layer) not in self._layers:
            numbers = ", ".join(map(str, self._layout.numbers[group]))
            raise InvalidInput(f"{group!r} has no layer {layer}; it has {numbers}. Choose one of these.")
        return len(self._layers[group, layer].vector_norm)

    def vector_norm(self, group: str, layer: int) -> Float[np.ndarray, "head source"]:
        """‖f(x)‖ of a layer."""
        return self._layers[group, layer].vector_norm

    def add(self, group: str, layer: int, measures: Measures) -> None:
        """Take the measures of a slice of a layer's targets."""
        weight = measures.weight[0].cpu().numpy()
        vector_norm = measures.vector_norm[0].cpu().numpy()
        sink = None if measures.sink_weight is None else measures.sink_weight[0].cpu().numpy()
        if group not in self._tokens:
            self._tokens[group] = self._labeled(self._layout.groups[group][0], weight.shape[-1])
        one = self._layers.get((group, layer)) or self._begun(group, layer, vector_norm)
        one.shares.add(measures.start, weight, vector_norm, measures.norm["attention"][0].cpu().numpy(), sink)
        one.weight.add(measures.start, weight)
        one.norm.add(measures.start, weight * vector_norm[:, None])

    def facts(self) -> list[dict[str, Any]]:
        """Each group's name, layers, tokens, scopes, and the shares of its heads."""
        return [self._group(name) for name in self._layout.groups]

    def arrays(self) -> dict[str, PackedArray]:
        """The thumbnails of each group's heads, layer after layer, in 255 steps up to the largest number of each."""
        packed: dict[str, PackedArray] = {}
        for name in self._layout.groups:
            for measure in _MAPS:
                for variant in ("whole", "without"):
                    thumbnails = [getattr(getattr(one, measure), variant) for one in self._of(name)]
                    steps, most = shaded(np.concatenate(thumbnails))
                    packed[f"{name}/{measure}/{variant}"] = PackedArray(steps)
                    packed[f"{name}/{measure}/{variant}/most"] = PackedArray(most)
        return packed

    def _of(self, group: str) -> list[_Layer]:
        return [self._layers[group, number] for number in self._layout.numbers[group]]

    def _group(self, name: str) -> dict[str, Any]:
        layers, blocks = self._of(name), self._layout.groups[name]
        targets, sources = self._tokens[name]
        shares = [one.shares.shares() for one in layers]
        of_layer = [one.shares.of_layer() for one in layers]
        present = [scope for scope in TEXTS if any(scope in block.scopes for block in blocks)]
        own = "" if blocks[0].group == "cross" else " + x"
        return {
            "name": name,
            "crossed": blocks[0].group == "cross",
            "causal": blocks[0].group == "decoder",
            "layers": self._layout.numbers[name],
            "heads": [len(one.vector_norm) for one in layers],
            "targets": token_facts(targets),
            "sources": token_facts(sources),
            "scopes": [
                {"name": scope, "label": TEXTS[scope].label, "formula": TEXTS[scope].formula.format(own=own)}
                for scope in present
            ],
            **measure_facts(),
            "rowEdges": edges(len(targets)).tolist(),
            "columnEdges": edges(len(sources)).tolist(),
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

    def _begun(self, group: str, layer: int, vector_norm: NDArray[Any]) -> _Layer:
        targets, sources = self._tokens[group]
        members = source_sets(sources.categories)
        crossed = self._layout.groups[group][0].group == "cross"
        sizes = (len(vector_norm), len(targets), len(sources))
        weight, norm = (Thumbnails(*sizes, ~members[EMPTY_SOURCES]) for _ in _MAPS)
        one = _Layer(HeadShares(members, crossed=crossed), weight, norm, vector_norm)
        self._layers[group, layer] = one
        return one

    def _labeled(self, block: BlockAnatomy, sources: int) -> tuple[Tokens, Tokens]:
        """The tokens of both sides of a group."""
        example = self._example
        decodes = example.target is not None and block.group != "encoder"
        target = example.target if decodes else example.source
        source = example.source if block.group == "cross" else target
        targets = sources if target is None else len(target)
        return (
            labeled(target, targets, example, block.medium),
            labeled(source, sources, example, source_medium(example, block)),
        )


def token_facts(tokens: Tokens) -> list[dict[str, Any]]:
    """Each token's text, its category, and whether it directly follows the one before it."""
    joined = joined_tokens(tokens.offsets, tokens.categories, tokens.text)
    columns = zip(tokens.labels.tolist(), tokens.categories.tolist(), joined.tolist(), strict=True)
    return [{"text": readable(str(label)), "category": category, "joined": glued} for label, category, glued in columns]


def _plain(numbers: Iterable[float] | NDArray[np.float64]) -> list[float | None]:
    """Numbers for JSON, to six digits; None for what isn't finite."""
    return [float(f"{number:.6g}") if math.isfinite(number) else None for number in numbers]
