"""Collects the measures of all blocks of one run and lays them out as labeled arrays, one text each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from normlens.analysis.position_labels import columns_of, labeled, source_medium
from normlens.engine.contributions.measure import Measures
from normlens.engine.tracing.anatomy import BlockAnatomy
from normlens.engine.tracing.layout import Layout
from normlens.engine.tracing.scopes import (
    ATTENTION_SCOPES,
    NORM_VARIABLES,
    OWN_VARIABLES,
    SCOPES,
    Scope,
    norm_variable,
    own_variable,
)
from normlens.errors import ExecutionPathChanged, InvalidInput, UnsupportedArchitecture
from normlens.inputs.batch import is_ragged
from normlens.inputs.example import Example
from normlens.inputs.tokens import Tokens

Reduction = Callable[[xr.Dataset], xr.Dataset]
"""Takes one layer's maps for some targets, gives something smaller that still has the dimension ``target``."""


@dataclass
class _GroupArrays:
    """The arrays of one group and one text, filled layer by layer."""

    target: Tokens
    source: Tokens
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)
    reduced: dict[int, list[xr.Dataset]] = field(default_factory=dict)


class Recorder:
    """Takes the measures of a run, block by block, and gives one tree of labeled arrays per text.

    Parameters
    ----------
    layout
        Groups and layers of the model.
    examples
        The texts of the batch.
    padding
        "right" or "left".
    reduction
        Applied to each layer's maps at once; then no map is kept.
    scopes
        Labels of the dimension ``scope``.
    """

    def __init__(
        self,
        layout: Layout,
        examples: Sequence[Example],
        padding: str = "right",
        reduction: Reduction | None = None,
        scopes: Sequence[Scope] = ATTENTION_SCOPES,
    ) -> None:
        self._layout, self._examples, self._padding, self._reduction = layout, examples, padding, reduction
        self._scopes = scopes
        self._ragged = is_ragged(examples)
        self._seen: set[tuple[str, int]] = set()
        self._groups: list[dict[str, _GroupArrays]] = [{} for _ in examples]

    def valid_targets(self, block: BlockAnatomy, batch: int, targets: int, device: torch.device) -> Tensor | None:
        """True for the targets of a block that are no padding, ``(batch, target)``; None if there is none."""
        if batch != len(self._examples):
            return None
        rows = [self._real(self._target_tokens(e, block), targets) for e in self._examples]
        if all(r == slice(0, targets) for r in rows):
            return None
        valid = torch.zeros(batch, targets, dtype=torch.bool, device=device)
        for k, row in enumerate(rows):
            valid[k, row] = True
        return valid

    def add(self, block: BlockAnatomy, measures: Measures, targets: int) -> None:
        """Store what was measured on some targets of a block, whose full number of (padded) targets is ``targets``."""
        name, row = self._layout.position(block.path, block.occurrence)
        self._seen.add((block.path, block.occurrence))
        sources = measures.weight.shape[-1]
        for k, example in enumerate(self._examples):
            target_rows = self._real(self._target_tokens(example, block), targets)
            source_rows = self._real(self._source_tokens(example, block), sources)
            group = self._groups[k].get(name)
            if group is None:
                n, m = target_rows.stop - target_rows.start, source_rows.stop - source_rows.start
                group = _GroupArrays(
                    labeled(self._target_tokens(example, block), n, example, block.medium),
                    labeled(self._source_tokens(example, block), m, example, source_medium(example, block)),
                )
                self._groups[k][name] = group
            start = max(measures.start, target_rows.start)
            stop = min(measures.start + measures.weight.shape[2], target_rows.stop)
            if start >= stop:
                continue
            local = slice(start - measures.start, stop - measures.start)
            place = slice(start - target_rows.start, stop - target_rows.start)
            pieces = _cut(measures, k, local, source_rows)
            if self._reduction is not None:
                self._reduce(group, self._layout.numbers[name][row], place, pieces)
            else:
                self._store(group, name, row, place, pieces)

    def require_all(self) -> None:
        """Refuse a run in which some block of the layout was not measured.

        Raises
        ------
        ExecutionPathChanged
            Naming the first one.
        """
        for blocks in self._layout.groups.values():
            for block in blocks:
                if (block.path, block.occurrence) not in self._seen:
                    raise ExecutionPathChanged(
                        f"{block.path} was watched at first use, but was not measured in this run."
                    )

    def _store(
        self,
        group: _GroupArrays,
        name: str,
        row: int,
        place: slice,
        pieces: dict[str, tuple[tuple[str, ...], Tensor]],
    ) -> None:
        layers = len(self._layout.groups[name])
        for variable, (dims, x) in pieces.items():
            array = group.arrays.get(variable)
            if array is None:
                shape = (
                    layers,
                    *(len(group.target) if d == "target" else n for d, n in zip(dims, x.shape, strict=True)),
                )
                array = np.empty(shape, dtype=_numpy_dtype(x))  # what no layer writes becomes NaN at the end
            elif "head" in dims and x.shape[0] > array.shape[1]:
                wider = np.full((array.shape[0], x.shape[0], *array.shape[2:]), np.nan, dtype=array.dtype)
                wider[:, : array.shape[1]] = array
                array = wider
            if "source" in dims and x.shape[-1] != array.shape[-1]:
                raise UnsupportedArchitecture(
                    f"Of {name}, layer {self._layout.numbers[name][row]} sees {x.shape[-1]} sources of this text and "
                    f"another {array.shape[-1]}; maps of one kind of attention are expected to be of one size. Give a "
                    "shorter text."
                )
            group.arrays[variable] = array
            index: list[Any] = [
                row,
                *(place if d == "target" else slice(0, n) for d, n in zip(dims, x.shape, strict=True)),
            ]
            torch.from_numpy(array)[tuple(index)].copy_(x)
            if "head" in dims:
                array[row, x.shape[0] :] = np.nan
            group.written.setdefault(variable, set()).add(row)

    def _reduce(
        self,
        group: _GroupArrays,
        layer: int,
        place: slice,
        pieces: dict[str, tuple[tuple[str, ...], Tensor]],
    ) -> None:
        assert self._reduction is not None
        variables = {name: (dims, x.cpu().numpy()) for name, (dims, x) in pieces.items()}
        rows = np.arange(place.start, place.stop)
        data = self._with_scopes(variables, {"layer": layer}, group.target, group.source, rows)
        reduced = self._reduction(data)
        for name, variable in reduced.data_vars.items():
            if "target" not in variable.dims:
                raise InvalidInput(
                    f"The reduction gave {name!r} with the dimensions {variable.dims}; expected 'target' among them. A "
                    "layer's maps come some targets at a time: give a number per target, and take means afterwards."
                )
        group.reduced.setdefault(layer, []).append(reduced.copy(deep=True))  # no view may keep a map alive

    def trees(self) -> list[dict[str, xr.Dataset]]:
        """One dictionary of group name to labeled arrays for each text."""
        return [{name: self._dataset(name, group) for name, group in groups.items()} for groups in self._groups]

    def _dataset(self, name: str, group: _GroupArrays) -> xr.Dataset:
        blocks = self._layout.groups[name]
        if self._reduction is not None:
            layers = [xr.concat(parts, dim="target") for _, parts in sorted(group.reduced.items())]
            data = xr.concat(
                layers,
                dim=xr.Variable("layer", sorted(group.reduced)),
                coords="minimal",
                compat="override",
                join="outer",
            )
        else:
            for variable, array in group.arrays.items():
                array[[row for row in range(len(blocks)) if row not in group.written[variable]]] = np.nan
            dims = {v: ("layer", *_DIMS[v.partition("/")[0]]) for v in group.arrays}
            variables = {v: (dims[v], array) for v, array in group.arrays.items()}
            data = self._with_scopes(variables, {}, group.target, group.source, np.arange(len(group.target)))
            data = data.assign_coords(layer=self._layout.numbers[name])
        data = data.assign_coords(layer_path=("layer", [b.path for b in blocks]))
        data.attrs.update(kind=blocks[0].group, family=", ".join(dict.fromkeys(b.family for b in blocks)))
        if len(self._scopes) > len(ATTENTION_SCOPES) and any(b.beyond for b in blocks):
            data.attrs["absent"] = next(b.beyond for b in blocks if b.beyond)
        return data

    def _with_scopes(
        self,
        variables: dict[str, tuple[tuple[str, ...], NDArray[Any]]],
        coordinates: dict[str, Any],
        target: Tokens,
        source: Tokens,
        rows: NDArray[np.int64],
    ) -> xr.Dataset:
        """A dataset in which the per-scope variables are stacked along ``scope`` and every position has its labels."""
        plain = {name: value for name, value in variables.items() if "/" not in name}
        for name in _PER_SCOPE:
            parts = [variables.get(f"{name}/{scope}") for scope in self._scopes]
            known = next((p for p in parts if p is not None), None)
            if known is not None:
                missing = np.full(known[1].shape, np.nan, dtype=known[1].dtype)
                stacked = np.stack([missing if p is None else p[1] for p in parts])
                plain[name] = (("scope", *known[0]), stacked)
        data = xr.Dataset(plain, coords={"scope": list(self._scopes), **coordinates})
        heads = {"head": np.arange(data.sizes["head"])} if "head" in data.sizes else {}
        return data.assign_coords(
            {**heads, **columns_of("target", target, rows), **columns_of("source", source, np.arange(len(source)))}
        )

    def _target_tokens(self, example: Example, block: BlockAnatomy) -> Tokens | None:
        if block.medium != "text":
            return None
        return example.target if example.target is not None and block.group != "encoder" else example.source

    def _source_tokens(self, example: Example, block: BlockAnatomy) -> Tokens | None:
        if block.group == "cross":
            return example.source if example.target is not None else None
        return self._target_tokens(example, block)

    def _real(self, tokens: Tokens | None, length: int) -> slice:
        """Where the positions of a text lie in a padded sequence of ``length``."""
        if tokens is None or not self._ragged or len(tokens) > length:
            return slice(0, length)
        return slice(0, len(tokens)) if self._padding == "right" else slice(length - len(tokens), length)


_DIMS: dict[str, tuple[str, ...]] = {
    "weight": ("head", "target", "source"),
    "vector_norm": ("head", "source"),
    **dict.fromkeys(NORM_VARIABLES, ("target", "source")),
    **dict.fromkeys(OWN_VARIABLES, ("target",)),
    "sink_weight": ("head", "target"),
    "mixing_ratio": ("target",),
    "mixing_ratio_weight": ("target",),
    "conservation_error": ("target",),
}
_PER_SCOPE = ("mixing_ratio", "mixing_ratio_weight", "conservation_error")


def _cut(measures: Measures, text: int, targets: slice, sources: slice) -> dict[str, tuple[tuple[str, ...], Tensor]]:
    """The measures of one text of the batch, without its padding; per-scope ones are named ``name/scope``."""
    found = {
        "weight": measures.weight[text, :, targets, sources],
        "vector_norm": measures.vector_norm[text, :, sources],
    }
    for scope in SCOPES:
        if scope in measures.norm:
            found[norm_variable(scope)] = measures.norm[scope][text, targets, sources]
        if scope in measures.own:
            found[own_variable(scope)] = measures.own[scope][text, targets]
        for name in _PER_SCOPE:
            values = getattr(measures, name)
            if scope in values:
                found[f"{name}/{scope}"] = values[scope][text, targets]
    if measures.sink_weight is not None:
        found["sink_weight"] = measures.sink_weight[text, :, targets]
    return {name: (_DIMS[name.partition("/")[0]], x) for name, x in found.items()}


def _numpy_dtype(x: Tensor) -> type[np.floating[Any]]:
    return np.float64 if x.dtype == torch.float64 else np.float32
