"""Attention of a slice of targets, computed by a model's own eager function on slices of its inputs.

Where the mask hides sources from all of these targets, as in causal attention, they are left out of the slice: the eager
function would compute their scores only to give them the weight zero. Whether it computes the same without them is tried
with the first targets of every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from normlens.errors import UnsupportedArchitecture

EagerFunction = Callable[..., tuple[Tensor, Tensor | None]]
_ROUNDING = 16  # machine epsilons


@dataclass
class TargetRows:
    """One call of attention, whose targets are computed slice by slice.

    Attributes
    ----------
    eager
        The model's own eager function.
    module, query, key, value, mask, others
        Its arguments.
    leaves_out
        Whether sources that are hidden from all targets of a slice are left out of it.
    """

    eager: EagerFunction
    module: nn.Module
    query: Float[Tensor, "batch head target head_dim"]
    key: Float[Tensor, "batch kv_head source head_dim"]
    value: Float[Tensor, "batch kv_head source head_dim"]
    mask: Tensor | None
    others: Mapping[str, Any]
    leaves_out: bool = False
    _visible_to: dict[tuple[int, int], int] = field(default_factory=dict)

    def of(self, start: int, stop: int) -> tuple[Tensor, Float[Tensor, "batch head rows source"]]:
        """The eager function's output for the targets ``start:stop``, and α.

        Raises
        ------
        UnsupportedArchitecture
            If the function returns no weights.
        """
        output, weights = self._computed(start, stop, self._taken(start, stop))
        hidden = self.key.shape[2] - self._taken(start, stop)
        return output, pad(weights, (0, hidden)) if hidden else weights

    def in_slices(self, size: int) -> Tensor:
        """The output for all targets, ``size`` at a time; hidden sources are left out from then on if they can be."""
        targets = self.query.shape[2]
        output, weights = self.of(0, size)
        self.leaves_out = self._can_leave_out(size, output, weights)
        slices = [(start, min(start + size, targets)) for start in range(size, targets, size)]
        return torch.cat([output, *(self._computed(*one, self._taken(*one))[0] for one in slices)], dim=1)

    def weights_sharing(self, kv_head: int, start: int, stop: int) -> Tensor | None:
        """α of the query heads that share a value head, from slices of all inputs."""
        heads = self.query.shape[1]
        size = heads // self.key.shape[1]
        group, one = slice(kv_head * size, (kv_head + 1) * size), slice(kv_head, kv_head + 1)
        others = {name: _head_slice(x, heads, group) for name, x in self.others.items()}
        mask = _head_slice(self.mask, heads, group)
        part = replace(
            self, query=self.query[:, group], key=self.key[:, one], value=self.value[:, one], mask=mask, others=others
        )
        return part.of(start, stop)[1]

    def _taken(self, start: int, stop: int) -> int:
        """The number of sources that a slice is computed with."""
        if not self.leaves_out:
            return self.key.shape[2]
        if (start, stop) not in self._visible_to:
            self._visible_to[start, stop] = self._visible(start, stop)
        return self._visible_to[start, stop]

    def _computed(self, start: int, stop: int, visible: int) -> tuple[Tensor, Tensor]:
        targets, sources = self.query.shape[2], self.key.shape[2]
        mask, *others = (
            _source_slice(_target_slice(x, targets, start, stop), sources, visible)
            for x in (self.mask, *self.others.values())
        )
        key, value = self.key[:, :, :visible], self.value[:, :, :visible]
        named = dict(zip(self.others, others, strict=True))
        output, weights = self.eager(self.module, self.query[:, :, start:stop], key, value, mask, **named)
        if weights is None:
            raise UnsupportedArchitecture(f"The eager attention of {type(self.module).__name__} returns no weights.")
        return output, weights

    def _visible(self, start: int, stop: int) -> int:
        """The number of sources up to the last one that the mask shows to a target of a slice; all if one sees none."""
        mask, targets, sources = self.mask, self.query.shape[2], self.key.shape[2]
        if mask is None or mask.ndim != 4 or mask.shape[2:] != (targets, sources):
            return sources
        rows = mask[:, :, start:stop]
        shown = rows if rows.dtype == torch.bool else rows > torch.finfo(rows.dtype).min
        if not shown.any(-1).all():
            return sources
        return int(shown.flatten(0, 2).any(0).nonzero()[-1]) + 1

    def _can_leave_out(self, stop: int, output: Tensor, weights: Tensor) -> bool:
        """Whether the first targets have the same attention, up to rounding, without the sources hidden from them."""
        visible = self._visible(0, stop)
        sources = self.key.shape[2]
        if visible == sources or weights.shape[-1] != sources or weights[..., visible:].any():
            return False
        try:
            alone, of_visible = self._computed(0, stop, visible)
        except Exception:  # a function that isn't made for fewer sources than the model has positions
            return False
        return _alike(alone, output) and _alike(of_visible, weights[..., :visible])


def _alike(x: Tensor, expected: Tensor) -> bool:
    bound = _ROUNDING * torch.finfo(expected.dtype).eps * expected.abs().amax()
    return x.shape == expected.shape and bool(((x - expected).abs() <= bound).all())


def _target_slice(x: Any, targets: int, start: int, stop: int) -> Any:
    """Masks and position biases ``(..., target, source)`` sliced along the targets; everything else unchanged."""
    if isinstance(x, Tensor) and x.ndim == 4 and x.shape[-2] == targets > 1:
        return x[:, :, start:stop]
    return x


def _source_slice(x: Any, sources: int, visible: int) -> Any:
    """Masks and position biases ``(..., source)`` sliced along the sources; everything else unchanged."""
    return x[..., :visible] if isinstance(x, Tensor) and x.ndim == 4 and x.shape[-1] == sources else x


def _head_slice(x: Any, heads: int, group: slice) -> Any:
    """Masks and position biases ``(batch, head, …, source)`` sliced along the heads; everything else unchanged."""
    return x[:, group] if isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] == heads else x
