"""The result of an eviction: the pairs that stay, and the errors of all outputs, as labeled arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from normlens.analysis.position_labels import columns_of, labeled, source_medium
from normlens.errors import UnsupportedArchitecture
from normlens.topk.eviction.budgets import Kept
from normlens.topk.eviction.meter import OutputErrors
from normlens.topk.eviction.read_blocks import BlockName
from normlens.topk.eviction.text_reading import TextReading
from normlens.words.three_lines import Summarized, counted


@dataclass(frozen=True, eq=False, repr=False)
class Eviction(Summarized):
    """The keys and values that stay once a text is read, and the exact errors of the outputs without the others.

    Attributes
    ----------
    data
        For each kind of attention ("decoder"; in an encoder–decoder also "cross") an ``xarray.Dataset``:

        - ``kept``, ``(layer, kv_head, source)``: True for pairs that stay;
        - ``head_error``, ``(layer, head, target)``: ‖o′ − o‖ / ‖o‖ of every head's output;
        - ``layer_error``, ``(layer, target)``: ‖y′ − y‖ / ‖y‖ of the attention block's output.

        Targets are the queries that were measured. A query that sees no pair that stays has the output zero and the error
        one; NaN where rounding hides the remaining weights.
    chosen_by
        Score, share and budget.
    pairs
        ``kept`` by attention module: path and number of its earlier calls.
    """

    data: dict[str, xr.Dataset]
    chosen_by: dict[str, Any]
    pairs: dict[BlockName, Kept]

    def __getitem__(self, group: str) -> xr.Dataset:
        """The arrays of one kind of attention."""
        return self.data[group]

    @property
    def share(self) -> float:
        """The share of pairs that stay."""
        kept = [data.kept.values[data.kept_heads.values] for data in self.data.values()]
        return float(sum(x.sum() for x in kept) / sum(x.size for x in kept))

    @property
    def layer_error(self) -> float:
        """The mean error of the attention blocks' outputs, over layers and queries."""
        return _mean(data.layer_error for data in self.data.values())

    @property
    def head_error(self) -> float:
        """The mean error of the heads' outputs, over layers, heads and queries."""
        return _mean(data.head_error for data in self.data.values())

    def worst_heads(self, count: int = 5) -> list[tuple[str, int, int, float]]:
        """The heads whose outputs change most.

        Parameters
        ----------
        count
            The number of heads.

        Returns
        -------
        list of tuple
            Group, layer, head, and the mean error over queries; the largest first.
        """
        rows = [
            (group, int(layer), int(head), float(error))
            for group, data in self.data.items()
            for layer, errors in zip(data.layer.values, data.head_error.mean("target").values, strict=True)
            for head, error in enumerate(errors)
            if error == error
        ]
        return sorted(rows, key=lambda row: -row[-1])[:count]

    def _summary(self) -> tuple[str, str, str]:
        how = ", ".join(f"{name} {value}" for name, value in self.chosen_by.items())
        heads = sum(int(data.kept_heads.sum()) for data in self.data.values())
        return (
            f"<Eviction: {100 * self.share:.0f} % of the pairs of {counted(heads, 'key and value head')} stay ({how})>",
            f"Mean error of a layer's output {self.layer_error:.3f}, of a head's {self.head_error:.3f}",
            f"Next: [{next(iter(self.data))!r}].kept and .head_error, .worst_heads()",
        )


def eviction_result(
    reading: TextReading,
    pairs: Mapping[BlockName, Kept],
    errors: Mapping[BlockName, OutputErrors],
    chosen_by: Mapping[str, Any],
) -> Eviction:
    """Label pairs and errors with layers and tokens.

    Raises
    ------
    UnsupportedArchitecture
        If layers of a group have different numbers of sources.
    """
    data = {name: _group(reading, name, pairs, errors) for name in reading.blocks}
    return Eviction(data, dict(chosen_by), dict(pairs))


def _group(
    reading: TextReading, name: str, pairs: Mapping[BlockName, Kept], errors: Mapping[BlockName, OutputErrors]
) -> xr.Dataset:
    blocks = reading.blocks[name]
    numbers, anatomies = zip(*reading.anatomies[name], strict=True)
    kept = [pairs[block].cpu().numpy() for block in blocks]
    if len({x.shape[1] for x in kept}) > 1:
        raise UnsupportedArchitecture(f"The layers of group {name} attend to different numbers of sources.")
    heads = [_numbers(errors[block].head) for block in blocks]
    variables = {
        "kept": (("layer", "kv_head", "source"), _stacked(kept, False)),
        "kept_heads": (("layer", "kv_head"), _stacked([np.ones(len(x), dtype=bool) for x in kept], False)),
        "head_error": (("layer", "head", "target"), _stacked(heads, np.nan)),
        "layer_error": (("layer", "target"), np.stack([_numbers(errors[block].layer) for block in blocks])),
    }
    example, anatomy = reading.example, anatomies[0]
    target = example.target if example.target is not None else example.source
    source = example.source if anatomy.group == "cross" or example.target is None else target
    sources, targets = kept[0].shape[1], heads[0].shape[1]
    whole = labeled(target, _length(target, targets), example, anatomy.medium)
    last = np.arange(len(whole) - targets, len(whole))
    columns = {
        **columns_of("source", labeled(source, sources, example, source_medium(example, anatomy)), np.arange(sources)),
        **columns_of("target", whole, last),
    }
    data = xr.Dataset(variables, coords={"layer": list(numbers), "layer_path": ("layer", [a.path for a in anatomies])})
    return data.assign_coords(columns)


def _length(tokens: Any, targets: int) -> int:
    return targets if tokens is None else len(tokens)


def _numbers(x: Tensor) -> Float[np.ndarray, "..."]:
    return np.asarray(x.cpu().double().numpy())


def _stacked(layers: Iterable[np.ndarray], filler: Any) -> np.ndarray:
    """The arrays of all layers in one; layers with fewer heads are filled up."""
    arrays = list(layers)
    most = max(len(x) for x in arrays)
    widened = [np.concatenate([x, np.full((most - len(x), *x.shape[1:]), filler, dtype=x.dtype)]) for x in arrays]
    return np.stack(widened)


def _mean(arrays: Iterable[xr.DataArray]) -> float:
    values = np.concatenate([array.values.ravel() for array in arrays])
    return float(np.nanmean(values))
