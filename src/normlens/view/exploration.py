"""One text in one model, at three levels of detail: all heads pooled, one head's map, one row exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from normlens.engine.contributions.choice import DEFAULT_MEASURES
from normlens.engine.contributions.measure import Measures
from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import Message, exact, half
from normlens.figures.explorer_page.map_measures import CHOSEN, checked_measure
from normlens.inputs.example import Example
from normlens.version import __version__
from normlens.view.byte_cache import ByteCache
from normlens.view.measured_run import MeasuredRun
from normlens.view.run_overview import Overview
from normlens.view.viewed_maps import HeadMaps, KeptMaps, LayerShares, SummedMaps

if TYPE_CHECKING:
    from normlens.engine.contributions.displacement import HeadMeasure
    from normlens.view.kept_runs import ExploredModel

MOST_LOOKS = 30
"""Splits and alignments that are kept for a saved page."""


class Exploration:
    """A run of a model on a text, and what can be seen of it.

    Parameters
    ----------
    name
        Name of the run.
    model
        The model.
    example
        The text.
    capacity
        Bytes that the run may hold to measure its layers again.
    maps
        Keeps the maps that were looked at last.

    Attributes
    ----------
    looked_at
        The splits and alignments that were looked at last, as a saved page names them.
    """

    def __init__(
        self,
        name: str,
        model: ExploredModel,
        example: Example,
        capacity: int,
        maps: ByteCache[KeptMaps],
    ) -> None:
        self.name, self.model, self.example = name, model, example
        self._run = MeasuredRun(model.inspector, example, capacity)
        self._maps = maps
        self.looked_at: dict[str, Message] = {}
        self._overview = Overview(self._run.inspection.layout, example)
        self._seconds = 0.0

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._run.size + sum(array.numbers.nbytes for array in self._overview.arrays().values())

    def run(self, advance: Callable[[int, int], None]) -> None:
        """Run the model, and gather the overview.

        Parameters
        ----------
        advance
            Takes the numbers of layers that were measured, and of all.
        """
        start = time.perf_counter()

        def begin() -> None:
            self._overview = Overview(self._run.inspection.layout, self.example)
            advance(0, self._overview.total)

        def visit(group: str, layer: int, measures: Measures) -> None:
            self._overview.add(group, layer, measures)
            advance(self._overview.measured, self._overview.total)

        self._run.run(visit, begin)
        self._seconds = time.perf_counter() - start

    def overview(self) -> Message:
        """Facts of the run and of every head, and thumbnails."""
        model = self.model
        target = self.example.target
        facts = {
            "run": self.name,
            "model": model.name,
            "revision": model.revision or "",
            "dtype": str(model.inspector.model.dtype).removeprefix("torch."),
            "normlens": __version__,
            "torch": str(torch.__version__),
            "text": self.example.text,
            "targetText": "" if target is None else target.text,
            "seconds": round(self._seconds, 3),
            "groups": self._overview.facts(),
        }
        return Message(facts, self._overview.arrays())

    def group_facts(self, group: str) -> dict[str, Any]:
        """What the overview says of a group.

        Raises
        ------
        InvalidInput
            If there is no such group.
        """
        self._overview.sizes(group)
        return next(one for one in self._overview.facts() if one["name"] == group)

    def map(self, group: str, layer: int, head: int | None, measure: str | None) -> Message:
        """One head's weights and a measure, or the mean weight and a measure of the sum over heads at every scope."""
        measure = checked_measure(measure, head)
        facts = {"run": self.name, "group": group, "layer": layer, "head": head, "measure": measure}
        arrays = self.measured(group, layer, head, measure)
        return Message(facts, {name: exact(x) if x.ndim == 1 else half(x) for name, x in arrays.items()})

    def keep_look(self, name: str, message: Message) -> Message:
        """Keep a split or an alignment for a saved page, and drop the one that was looked at longest ago."""
        self.looked_at.pop(name, None)
        self.looked_at[name] = message
        if len(self.looked_at) > MOST_LOOKS:
            del self.looked_at[next(iter(self.looked_at))]
        return message

    def row(self, group: str, layer: int, head: int | None, target: int, measure: str | None) -> Message:
        """One target's numbers, exactly as measured."""
        measure = checked_measure(measure, head)
        targets, _ = self._overview.sizes(group)
        if not 0 <= target < targets:
            raise InvalidInput(
                f"There is no target {target}; this text has {targets}, counted from 0. Choose one of these."
            )
        facts = {"run": self.name, "group": group, "layer": layer, "head": head, "target": target, "measure": measure}
        maps = self.measured(group, layer, head, measure)
        arrays = {name: x[target] for name, x in maps.items() if x.ndim == 2}
        if head is not None:
            arrays["vector_norm"] = maps["vector_norm"]
            arrays["weighted_norm"] = arrays["weight"] * maps["vector_norm"]
        return Message(facts, {name: exact(array) for name, array in arrays.items()})

    def measured(self, group: str, layer: int, head: int | None, measure: str) -> dict[str, NDArray[Any]]:
        """The numbers of a map as measured: of pairs ``(target, source)``, and ‖f(x)‖ of a head ``(source,)``."""
        if head is None:
            return self._summed(group, layer, measure)
        arrays = {"weight": self._head_map(group, layer, head, "weight")}
        if measure in CHOSEN:
            arrays[measure] = self._head_map(group, layer, head, measure)
        return {**arrays, "vector_norm": self._vector_norm(group, layer, head)}

    def layer_shares(self, group: str, layer: int, scope: str | None) -> Float[np.ndarray, "target source"]:
        """A layer's shares by the norms at a scope; None: half the mean weight, half the target itself.

        Raises
        ------
        InvalidInput
            If the layer doesn't have this scope.
        """
        key = self.name, group, layer, scope, "shares"
        kept = self._maps.get(key)
        if not isinstance(kept, LayerShares):
            kept = LayerShares(self._mean_weight(group, layer) if scope is None else self._norms(group, layer, scope))
            self._maps.put(key, kept, kept.size)
        return kept.rows

    def _mean_weight(self, group: str, layer: int) -> Float[np.ndarray, "target source"]:
        slices: list[NDArray[Any]] = []
        self._run.layer_weights(group, layer, lambda weights: slices.append(weights[0].mean(0).cpu().numpy()))
        weight = np.concatenate(slices)
        return np.asarray((weight + np.eye(len(weight), dtype=weight.dtype)) / 2)

    def _norms(self, group: str, layer: int, scope: str) -> Float[np.ndarray, "target source"]:
        slices: list[NDArray[Any]] = []

        def add(measures: Measures) -> None:
            if scope not in measures.norm:
                raise InvalidInput(f"Layer {layer} has no residual stream to follow. Look at its maps.")
            slices.append(measures.norm[scope][0].cpu().numpy())

        self._run.measure_layer(group, layer, add, frozenset(DEFAULT_MEASURES))
        norms = np.concatenate(slices)
        return np.asarray(norms / np.maximum(norms.sum(axis=1, keepdims=True), np.finfo(norms.dtype).tiny))

    def _head_map(self, group: str, layer: int, head: int, measure: str) -> Float[np.ndarray, "target source"]:
        """A head's map, measured alone if it can be; otherwise those of its layer are kept, if they are small enough."""
        targets, sources = self._overview.sizes(group)
        heads = len(self._overview.vector_norm(group, layer))
        if not 0 <= head < heads:
            raise InvalidInput(
                f"Layer {layer} has no head {head}; it has {heads}, counted from 0. Choose one of these."
            )
        key = self.name, group, layer, measure
        kept = self._maps.get((*key, None)) or self._maps.get((*key, head))
        if isinstance(kept, HeadMaps):
            return kept.of(head)
        alone = self._alone(group, layer, head, measure)
        only = head if alone is not None or 4 * heads * targets * sources > self._maps.capacity // 2 else None
        if alone is not None:
            maps = HeadMaps.of_one(head, alone)
        else:
            maps = HeadMaps(only)
            if measure == "weight":
                self._run.layer_weights(group, layer, maps.add)
            else:
                self._run.measure_layer(group, layer, _adding(maps, measure), CHOSEN[measure])
        self._maps.put((*key, only), maps, maps.size)
        return maps.of(head)

    def _alone(self, group: str, layer: int, head: int, measure: str) -> Tensor | None:
        """A head's map without those of its layer, if it can be measured so."""
        if measure == "weight":
            return self._run.head_weights(group, layer, head)
        return self._run.head_measure(group, layer, head, cast("HeadMeasure", measure))

    def _summed(self, group: str, layer: int, measure: str) -> dict[str, NDArray[Any]]:
        """The maps of all heads of a layer together."""
        self._overview.sizes(group)
        self._overview.vector_norm(group, layer)
        key = self.name, group, layer, measure, "summed"
        maps = self._maps.get(key)
        if not isinstance(maps, SummedMaps):
            maps = SummedMaps()
            self._run.measure_layer(group, layer, maps.add, CHOSEN.get(measure, frozenset(DEFAULT_MEASURES)))
            self._maps.put(key, maps, maps.size)
        return maps.arrays()

    def _vector_norm(self, group: str, layer: int, head: int) -> Float[np.ndarray, " source"]:
        lengths: Float[np.ndarray, " source"] = self._overview.vector_norm(group, layer)[head]
        return lengths


def _adding(maps: HeadMaps, measure: str) -> Callable[[Measures], None]:
    """Takes the measures of a slice of targets, and keeps one of those of every head."""

    def add(measures: Measures) -> None:
        assert measures.heads is not None  # it was chosen
        maps.add(getattr(measures.heads, measure))

    return add
