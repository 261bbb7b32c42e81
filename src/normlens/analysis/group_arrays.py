"""The arrays of one group of attention blocks and one text: filled layer by layer, then labeled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from normlens.analysis.position_labels import columns_of
from normlens.analysis.reductions import Reduction
from normlens.analysis.schema import DIMENSIONS, PER_SCOPE
from normlens.engine.contributions.choice import DEFAULT_MEASURES, MeasureName
from normlens.engine.contributions.measure import Measures
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.scopes import (
    ATTENTION_SCOPES,
    SCOPES,
    Scope,
    norm_variable,
    own_share_variable,
    own_variable,
    share_variable,
)
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.tokens import Tokens

Pieces = Mapping[str, tuple[tuple[str, ...], Tensor]]
"""Dimensions and values of one layer's measures, for a slice of targets; per-scope measures are named ``name/scope``."""

_DEFAULT = frozenset(DEFAULT_MEASURES)


@dataclass(frozen=True)
class GroupLabels:
    """The labels of the arrays of one group and one text.

    Attributes
    ----------
    name, blocks, numbers
        The group's name, its layers, and the model's own numbers of these layers.
    scopes
        Labels of the dimension ``scope``.
    target, source
        The tokens of the two sequences.
    """

    name: str
    blocks: Sequence[BlockAnatomy]
    numbers: Sequence[int]
    scopes: Sequence[Scope]
    target: Tokens
    source: Tokens

    def labeled(
        self,
        variables: Mapping[str, tuple[tuple[str, ...], NDArray[Any]]],
        targets: NDArray[np.int64],
        coordinates: Mapping[str, Any],
    ) -> xr.Dataset:
        """A dataset with per-scope variables stacked along ``scope``, and labels of every position."""
        plain = {name: value for name, value in variables.items() if "/" not in name}
        for name in PER_SCOPE:
            by_scope = [variables.get(f"{name}/{scope}") for scope in self.scopes]
            measured = next((variable for variable in by_scope if variable is not None), None)
            if measured is not None:
                missing = np.full(measured[1].shape, np.nan, dtype=measured[1].dtype)
                stacked = np.stack([missing if variable is None else variable[1] for variable in by_scope])
                plain[name] = (("scope", *measured[0]), stacked)
        data = xr.Dataset(plain, coords={"scope": list(self.scopes), **coordinates})
        heads = {"head": np.arange(data.sizes["head"])} if "head" in data.sizes else {}
        sources = np.arange(len(self.source))
        return data.assign_coords(
            {**heads, **columns_of("target", self.target, targets), **columns_of("source", self.source, sources)}
        )

    def described(self, data: xr.Dataset) -> xr.Dataset:
        """The dataset of all layers with their paths, kind and family, and the reason why a scope is absent."""
        blocks = self.blocks
        data = data.assign_coords(layer_path=("layer", [b.path for b in blocks]))
        data.attrs.update(kind=blocks[0].group, family=", ".join(dict.fromkeys(b.family for b in blocks)))
        if len(self.scopes) > len(ATTENTION_SCOPES) and any(b.beyond for b in blocks):
            data.attrs["absent"] = next(b.beyond for b in blocks if b.beyond)
        return data


class WholeArrays:
    """Keeps all measures of a group and a text."""

    def __init__(self, labels: GroupLabels) -> None:
        self.labels = labels
        self._arrays: dict[str, NDArray[Any]] = {}
        self._written: dict[str, set[int]] = {}

    def store(self, row: int, targets: slice, pieces: Pieces) -> None:
        """Store the measures of a slice of targets, for the layer at index ``row`` of the group."""
        for variable, (dims, x) in pieces.items():
            array = self._array(variable, dims, x)
            if "source" in dims and x.shape[-1] != array.shape[-1]:
                raise UnsupportedArchitecture(
                    f"In group {self.labels.name}, layer {self.labels.numbers[row]} attends to {x.shape[-1]} sources of "
                    f"this text, and another layer to {array.shape[-1]}; expected maps of one size in a group. Pass a "
                    "shorter text."
                )
            self._arrays[variable] = array
            sizes = zip(dims, x.shape, strict=True)
            index: list[Any] = [row, *(targets if dim == "target" else slice(0, size) for dim, size in sizes)]
            torch.from_numpy(array)[tuple(index)].copy_(x)
            if "head" in dims:
                array[row, x.shape[0] :] = np.nan
            self._written.setdefault(variable, set()).add(row)

    def dataset(self) -> xr.Dataset:
        """All layers as labeled arrays."""
        labels = self.labels
        for variable, array in self._arrays.items():
            array[[row for row in range(len(labels.blocks)) if row not in self._written[variable]]] = np.nan
        dims = {v: ("layer", *DIMENSIONS[v.partition("/")[0]]) for v in self._arrays}
        variables = {v: (dims[v], array) for v, array in self._arrays.items()}
        data = labels.labeled(variables, np.arange(len(labels.target)), {})
        return labels.described(data.assign_coords(layer=labels.numbers))

    def _array(self, variable: str, dims: tuple[str, ...], x: Tensor) -> NDArray[Any]:
        """The array of a variable, with room for all heads of ``x``."""
        array = self._arrays.get(variable)
        if array is None:
            sizes = (len(self.labels.target) if d == "target" else n for d, n in zip(dims, x.shape, strict=True))
            # entries that no layer writes become NaN in dataset()
            return np.empty((len(self.labels.blocks), *sizes), dtype=_numpy_dtype(x))
        if "head" in dims and x.shape[0] > array.shape[1]:
            wider = np.full((array.shape[0], x.shape[0], *array.shape[2:]), np.nan, dtype=array.dtype)
            wider[:, : array.shape[1]] = array
            return wider
        return array


class ReducedArrays:
    """Keeps the reduction of each layer's maps, and no maps."""

    def __init__(self, labels: GroupLabels, reduction: Reduction) -> None:
        self.labels, self._reduction = labels, reduction
        self._layers: dict[int, list[xr.Dataset]] = {}

    def store(self, row: int, targets: slice, pieces: Pieces) -> None:
        """Reduce the measures of a slice of targets, for the layer at index ``row`` of the group."""
        layer = self.labels.numbers[row]
        variables = {name: (dims, x.cpu().numpy()) for name, (dims, x) in pieces.items()}
        reduced = self._reduction(
            self.labels.labeled(variables, np.arange(targets.start, targets.stop), {"layer": layer})
        )
        for name, variable in reduced.data_vars.items():
            if "target" not in variable.dims:
                raise InvalidInput(
                    f"The reduction returned {name!r} with the dimensions {variable.dims}; expected 'target' among them. A "
                    "layer's maps are reduced a few targets at a time: return a number per target, and average afterwards."
                )
        self._layers.setdefault(layer, []).append(reduced.copy(deep=True))  # a view would keep the map alive

    def dataset(self) -> xr.Dataset:
        """All layers as labeled arrays."""
        layers = [xr.concat(slices, dim="target") for _, slices in sorted(self._layers.items())]
        numbers = xr.Variable("layer", sorted(self._layers))
        return self.labels.described(xr.concat(layers, dim=numbers, coords="minimal", compat="override", join="outer"))


def pieces_of(
    measures: Measures, text: int, targets: slice, sources: slice, chosen: frozenset[MeasureName] = _DEFAULT
) -> Pieces:
    """The chosen measures of one text of the batch, without its padding; conservation errors are always among them."""
    by_name: dict[str, Tensor] = {
        "weight": measures.weight[text, :, targets, sources],
        "vector_norm": measures.vector_norm[text, :, sources],
    }
    if measures.heads is not None:
        by_name["displacement"] = measures.heads.displacement[text, :, targets, sources]
        by_name["contribution_weight"] = measures.heads.contribution_weight[text, :, targets, sources]
    if measures.output_norm is not None:
        by_name["output_norm"] = measures.output_norm[text, :, targets]
    numbers: dict[str, Tensor] = {name: x for name, x in by_name.items() if name in chosen}
    maps = ((norm_variable, measures.norm if "norm" in chosen else {}), (share_variable, measures.contribution_weight))
    own = (
        (own_variable, measures.own if "norm" in chosen else {}),
        (own_share_variable, measures.own_contribution_weight),
    )
    for scope in SCOPES:
        numbers |= {name(scope): x[scope][text, targets, sources] for name, x in maps if scope in x}
        numbers |= {name(scope): x[scope][text, targets] for name, x in own if scope in x}
        for name in PER_SCOPE:
            values = getattr(measures, name)
            if scope in values and (name == "conservation_error" or "mixing_ratio" in chosen):
                numbers[f"{name}/{scope}"] = values[scope][text, targets]
    if measures.sink_weight is not None and "weight" in chosen:
        numbers["sink_weight"] = measures.sink_weight[text, :, targets]
    return {name: (DIMENSIONS[name.partition("/")[0]], x) for name, x in numbers.items()}


def _numpy_dtype(x: Tensor) -> type[np.floating[Any]]:
    return np.float64 if x.dtype == torch.float64 else np.float32
