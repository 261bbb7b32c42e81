"""The maps of one layer, measured when somebody looks at them: by head, or of all heads together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from normlens.engine.contributions.measure import Measures
from normlens.engine.tracing.scopes import Scope


@dataclass
class HeadWeights:
    """α of one layer, joined slice by slice of its targets.

    Attributes
    ----------
    only
        The head whose weights are kept; None for all.
    """

    only: int | None
    _slices: list[NDArray[Any]] = field(default_factory=list)

    def add(self, weight: Float[Tensor, "1 head rows source"]) -> None:
        """Take the next slice of targets, of a batch of one."""
        heads = weight[0].cpu().numpy()
        self._slices.append(
            heads if self.only is None else heads[self.only][None].copy()
        )  # a view would keep all heads

    def of(self, head: int) -> Float[np.ndarray, "target source"]:
        """The weights of a head that is kept."""
        if len(self._slices) > 1:
            self._slices = [np.concatenate(self._slices, axis=1)]
        weights: NDArray[Any] = self._slices[0][head if self.only is None else 0]
        return weights

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(one.nbytes for one in self._slices)


@dataclass
class SummedMaps:
    """The maps of all heads of one layer together, joined slice by slice of its targets."""

    _slices: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def add(self, measures: Measures) -> None:
        """Take the measures of the next slice of targets, of a batch of one."""
        weight = measures.weight[0].cpu().numpy()
        self._append("weight", weight.mean(axis=0, dtype=np.float64).astype(weight.dtype))
        for scope, x in measures.norm.items():
            self._append(f"norm/{scope}", x[0].cpu().numpy())
        for scope, x in measures.own.items():
            self._append(f"own/{scope}", x[0].cpu().numpy())

    @property
    def weight(self) -> Float[np.ndarray, "target source"]:
        """The mean of α over heads."""
        return self._joined("weight")

    @property
    def norm(self) -> Mapping[Scope, Float[np.ndarray, "target source"]]:
        """‖Σ_h α f(x)‖ by scope."""
        return self._below("norm")

    @property
    def own(self) -> Mapping[Scope, Float[np.ndarray, " target"]]:
        """The norm of the target's own vector by scope; empty where sources are targets."""
        return self._below("own")

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(one.nbytes for slices in self._slices.values() for one in slices)

    def _append(self, name: str, array: NDArray[Any]) -> None:
        self._slices.setdefault(name, []).append(array)

    def _joined(self, name: str) -> NDArray[Any]:
        if len(self._slices[name]) > 1:
            self._slices[name] = [np.concatenate(self._slices[name])]
        return self._slices[name][0]

    def _below(self, prefix: str) -> dict[Any, NDArray[Any]]:
        """Arrays named "prefix/scope", by scope."""
        return {n.partition("/")[2]: self._joined(n) for n in self._slices if n.startswith(f"{prefix}/")}
