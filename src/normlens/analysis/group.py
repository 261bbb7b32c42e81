"""The group: one kind of attention in an analysis, an ``xarray.Dataset`` whose arrays are also attributes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import xarray as xr

from normlens.words.three_lines import paragraph

_LONG_NAMES = {
    "weight": ("attention weight α", "1"),
    "vector_norm": ("vector norm ‖f(x)‖", "model units"),
    "weighted_norm": ("weighted vector norm ‖α f(x)‖", "model units"),
    "norm": ("norm of the sum over heads ‖Σ α f(x)‖", "model units"),
    "displacement": ("displacement α‖f(x) − o‖", "model units"),
    "contribution_weight": ("contribution weight", "1"),
    "mixing_ratio": ("mixing ratio", "1"),
    "conservation_error": ("conservation error", "1"),
}
"""What arrays are called on the axes of xarray's own plots, and their unit."""


class Group:
    """One kind of attention in an analysis.

    Its arrays are attributes: ``weight``, ``vector_norm``, ``norm``, ``norm_residual``, ``norm_layernorm``,
    ``mixing_ratio`` and the others of :attr:`Analysis.data` (with ``through="block"`` also ``norm_feedforward``,
    ``norm_feedforward_residual`` and ``norm_block``), and ``weighted_norm``, the product of the first two. In every other
    respect, a group behaves like its ``xarray.Dataset``: ``group["norm"]``, ``"norm" in group``, ``group.sel(layer=1)``,
    ``group.to_dataframe()``, ``group.data_vars``.

    Parameters
    ----------
    data
        The dataset of the group.
    """

    weight: xr.DataArray
    vector_norm: xr.DataArray
    norm: xr.DataArray

    def __init__(self, data: xr.Dataset) -> None:
        self.data = data

    def __getattr__(self, name: str) -> Any:
        data: xr.Dataset | None = self.__dict__.get("data")  # None while a copy is being made
        if data is None or name.startswith("_"):
            raise AttributeError(name)
        if name in data.variables:
            return _labeled(data[name])
        if hasattr(data, name):
            return getattr(data, name)
        raise AttributeError(self._missing(name))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key not in self.data.variables:
            if key not in self:
                raise KeyError(self._missing(key))
            return self.weighted_norm
        return _labeled(self.data[key]) if isinstance(key, str) else self.data[key]

    def __contains__(self, key: object) -> bool:
        return key in self.data or (key == "weighted_norm" and "weight" in self.data and "vector_norm" in self.data)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def _ipython_key_completions_(self) -> list[str]:
        return [*map(str, self.data.variables), *(["weighted_norm"] if "weighted_norm" in self else [])]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in dir(self.data) if not name.startswith("_"))]

    def __repr__(self) -> str:
        return f"{repr(self.data).replace('xarray.Dataset', 'Group', 1)}\n{self._next()}"

    def _repr_html_(self) -> str:
        return f"{self.data._repr_html_()}{paragraph([self._next()])}"

    @property
    def weighted_norm(self) -> xr.DataArray:
        """‖α f(x)‖ = α ‖f(x)‖, ``(layer, head, target, source)`` (Kobayashi et al. 2020)."""
        if "weighted_norm" in self.data:
            return _labeled(self.data["weighted_norm"])
        return _labeled((self.data["weight"] * self.data["vector_norm"]).rename("weighted_norm"))

    def _missing(self, name: str) -> str:
        return (
            f"{name!r} is not in this analysis, which has {', '.join(map(str, self.data.data_vars))}. A scope that the "
            "model's family doesn't have is absent."
        )

    def _next(self) -> str:
        first = next(iter(self.data.data_vars), "norm")
        return f'Next: .{"norm" if "norm" in self.data else first}, ["…"], .sel(layer=…), .to_dataframe(), .data'


def _labeled(array: xr.DataArray) -> xr.DataArray:
    """The array with ``long_name`` and ``units`` in its attributes, if it is a measure."""
    measure, _, scope = str(array.name).partition("norm_")
    name, unit = _LONG_NAMES.get("norm" if scope and not measure else str(array.name), ("", ""))
    if not name:
        return array
    label = f"{name}, scope {scope}" if scope else name
    return array.assign_attrs({"long_name": label, "units": unit, **array.attrs})


def weighted_norms(group: Group) -> dict[str, xr.DataArray]:
    """‖αf(x)‖ by its name, where weights and vector norms were measured."""
    return {"weighted_norm": group.weighted_norm} if "weighted_norm" in group else {}


def size_text(data: xr.Dataset) -> str:
    """The sizes of a group's dimensions, as in "6 layers, 12 heads, 9 targets, 9 sources"."""
    named = ((name, data.sizes.get(name)) for name in ("layer", "head", "target", "source"))
    return ", ".join(f"{size} {name}{'' if size == 1 else 's'}" for name, size in named if size is not None)
