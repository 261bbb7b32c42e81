"""The maps of one layer, measured when somebody looks at them: by head, or of all heads together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from normlens.engine.contributions.measure import Measures


@dataclass
class HeadMaps:
    """One measure of the heads of one layer, joined slice by slice of its targets.

    Attributes
    ----------
    only
        The head whose map is kept; None for all.
    """

    only: int | None
    _slices: list[NDArray[Any]] = field(default_factory=list)

    def add(self, maps: Float[Tensor, "1 head rows source"]) -> None:
        """Take the next slice of targets, of a batch of one."""
        heads = maps[0].cpu().numpy()
        self._slices.append(
            heads if self.only is None else heads[self.only][None].copy()
        )  # a view would keep all heads

    @classmethod
    def of_one(cls, head: int, map_: Float[Tensor, "1 1 target source"]) -> HeadMaps:
        """The map of one head, which was measured alone."""
        return cls(head, [map_[0].cpu().numpy()])

    def of(self, head: int) -> Float[np.ndarray, "target source"]:
        """The map of a head that is kept."""
        if len(self._slices) > 1:
            self._slices = [np.concatenate(self._slices, axis=1)]
        maps: NDArray[Any] = self._slices[0][head if self.only is None else 0]
        return maps

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(one.nbytes for one in self._slices)


@dataclass(frozen=True)
class LayerShares:
    """Shares of one layer, all heads together, whose rows add up to at most one.

    Attributes
    ----------
    rows
        ``(target, source)``.
    """

    rows: Float[np.ndarray, "target source"]

    @property
    def size(self) -> int:
        """In bytes."""
        return self.rows.nbytes


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
        for scope, x in measures.contribution_weight.items():
            self._append(f"contribution_weight/{scope}", x[0].cpu().numpy())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The mean weight; by ``name/scope``, ‖Σ_h α f(x)‖, norms of the target's own vector, contribution weights."""
        for name, slices in self._slices.items():
            if len(slices) > 1:
                self._slices[name] = [np.concatenate(slices)]
        return {name: slices[0] for name, slices in self._slices.items()}

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(one.nbytes for slices in self._slices.values() for one in slices)

    def _append(self, name: str, array: NDArray[Any]) -> None:
        self._slices.setdefault(name, []).append(array)


KeptMaps = HeadMaps | SummedMaps | LayerShares
