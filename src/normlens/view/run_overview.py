"""The overview of a run, gathered layer by layer while the model runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from normlens.analysis.position_labels import labeled, source_medium
from normlens.engine.contributions.measure import Measures
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.layout import Layout
from normlens.engine.tracing.scopes import TEXTS
from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import PackedArray
from normlens.figures.explorer_page.group_overview import GroupLayout, GroupOverview, TokenFacts, token_facts
from normlens.figures.explorer_page.map_measures import measure_facts
from normlens.inputs.example import Example
from normlens.inputs.tokens import Tokens
from normlens.words import joined_tokens


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
        self._groups: dict[str, GroupOverview] = {}

    @property
    def total(self) -> int:
        """Number of layers."""
        return sum(map(len, self._layout.groups.values()))

    @property
    def measured(self) -> int:
        """Number of layers of which something was measured."""
        return sum(len(group.layers) for group in self._groups.values())

    def sizes(self, group: str) -> tuple[int, int]:
        """The numbers of targets and sources of a group.

        Raises
        ------
        InvalidInput
            If there is no such group.
        """
        if group not in self._groups:
            raise InvalidInput(
                f"There is no kind of attention called {group!r}; this model has {', '.join(self._groups)}. Choose one of "
                "these."
            )
        layout = self._groups[group].layout
        return len(layout.targets), len(layout.sources)

    def vector_norm(self, group: str, layer: int) -> Float[np.ndarray, "head source"]:
        """‖f(x)‖ of a layer.

        Raises
        ------
        InvalidInput
            If the group has no such layer.
        """
        if layer not in self._groups[group].layers:
            numbers = ", ".join(map(str, self._layout.numbers[group]))
            raise InvalidInput(f"{group!r} has no layer {layer}; it has {numbers}. Choose one of these.")
        return self._groups[group].vector_norm(layer)

    def add(self, group: str, layer: int, measures: Measures) -> None:
        """Take the measures of a slice of a layer's targets."""
        weight = measures.weight[0].cpu().numpy()
        vector_norm = measures.vector_norm[0].cpu().numpy()
        norm = measures.norm["attention"][0].cpu().numpy()
        sink = None if measures.sink_weight is None else measures.sink_weight[0].cpu().numpy()
        if group not in self._groups:
            self._groups[group] = GroupOverview(self._group_layout(group, weight.shape[-1]))
        self._groups[group].add(layer, measures.start, weight, vector_norm, norm, sink)

    def facts(self) -> list[dict[str, Any]]:
        """Each group's name, layers, tokens, scopes, measures, and the shares of its heads."""
        return [self._groups[name].facts() for name in self._layout.groups]

    def arrays(self) -> dict[str, PackedArray]:
        """The thumbnails of each group's heads."""
        return {key: x for name in self._layout.groups for key, x in self._groups[name].arrays().items()}

    def _group_layout(self, name: str, sources: int) -> GroupLayout:
        blocks = self._layout.groups[name]
        of_targets, of_sources = self._labeled(blocks[0], sources)
        return GroupLayout(
            name,
            crossed=blocks[0].group == "cross",
            causal=blocks[0].group == "decoder",
            layers=self._layout.numbers[name],
            targets=_facts(of_targets),
            sources=_facts(of_sources),
            scopes=[scope for scope in TEXTS if any(scope in block.scopes for block in blocks)],
            measures=measure_facts(),
        )

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


def _facts(tokens: Tokens) -> TokenFacts:
    return token_facts(tokens.labels, tokens.categories, joined_tokens(tokens.offsets, tokens.categories, tokens.text))
