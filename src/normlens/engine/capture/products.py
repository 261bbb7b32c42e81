"""The product of attention weights and value vectors, whatever the order of its axes: matmul, bmm or einsum."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

_MATMUL = {"matmul", "__matmul__", "bmm"}
_EQUATION = re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)")

Arranged = Callable[[Tensor], Tensor]
"""Brings the product's layout to ``(batch, target, head * head_dim)``."""


@dataclass(frozen=True)
class ValueProduct:
    """A product of weights and values that sums over the sources.

    Attributes
    ----------
    weights, value
        The factors.
    axes
        One letter per axis, for the weights, the values and the product.
    shared
        Letters of the axes that all three have, in the order of the weights: batch, groups of sources, heads. Batch and
        heads may share one axis.
    target, source, dim
        Letters of the other axes.
    """

    weights: Tensor
    value: Tensor
    axes: tuple[str, str, str]
    shared: str
    target: str
    source: str
    dim: str

    @property
    def targets(self) -> int:
        """Number of targets in each group."""
        return self.weights.shape[self.axes[0].index(self.target)]

    def laid_out(self, result: Tensor, batch: int) -> tuple[Tensor, Tensor, Arranged] | None:
        """Weights ``(batch, head, target, source)``, values ``(batch, kv_head, source, head_dim)``, the product's layout.

        Parameters
        ----------
        result
            The product.
        batch
            The batch size; needed where batch and heads share an axis.

        Returns
        -------
        tuple or None
            None if the axes don't fit.
        """
        weights = self._ordered(self.weights, self.axes[0], self.target + self.source, batch)
        value = self._ordered(self.value, self.axes[1], self.source + self.dim, batch)
        if weights is None or value is None:
            return None
        if (
            weights.shape[0] != value.shape[0]
            or weights.shape[2] % value.shape[2]
            or weights.shape[1] != value.shape[1]
        ):
            return None

        def arranged(y: Tensor) -> Tensor:
            ordered = self._ordered(y.reshape(result.shape), self.axes[2], self.target + self.dim, batch)
            assert ordered is not None
            return ordered.movedim(2, 3).flatten(1, 2).flatten(2)  # (batch, group, target, head, dim) before

        return _across_groups(weights), value.transpose(1, 2).flatten(2, 3), arranged

    def _ordered(self, x: Tensor, axes: str, last: str, batch: int) -> Tensor | None:
        """``x`` as ``(batch, group, head, *last)``."""
        x = x.permute([axes.index(letter) for letter in self.shared + last])
        if len(self.shared) == 1:
            if x.shape[0] % batch:
                return None
            x = x.unflatten(0, (batch, -1))
        return x if len(self.shared) > 2 else x.unsqueeze(1)


def product_of(name: str, args: Sequence[Any], is_weights: Callable[[Any], bool]) -> ValueProduct | None:
    """The product of weights and values that a torch function computed; None if it computed something else.

    Parameters
    ----------
    name, args
        The function and its positional arguments.
    is_weights
        Whether an argument is a tensor of attention weights.
    """
    if name in _MATMUL and len(args) == 2 and is_weights(args[0]) and isinstance(args[1], Tensor):
        weights, value = args
        axes = {3: ("xts", "xsd", "xtd"), 4: ("bhts", "bhsd", "bhtd")}.get(weights.ndim)
        return None if axes is None or value.ndim != weights.ndim else _product(weights, value, axes)
    if name != "einsum" or not isinstance(args[0], str):
        return None
    operands = args[1] if len(args) == 2 and isinstance(args[1], (tuple, list)) else args[1:]
    equation = _EQUATION.fullmatch(args[0].replace(" ", ""))
    if equation is None or len(operands) != 2 or not all(isinstance(x, Tensor) for x in operands):
        return None
    first, second, output = equation.groups()
    if is_weights(operands[0]):
        return _product(operands[0], operands[1], (first, second, output))
    return _product(operands[1], operands[0], (second, first, output)) if is_weights(operands[1]) else None


def _product(weights: Tensor, value: Tensor, axes: tuple[str, str, str]) -> ValueProduct | None:
    """The product, if each axis has a role: one sum over sources, one axis of targets, one of dimensions."""
    of_weights, of_value, of_output = map(set, axes)
    shared = "".join(letter for letter in axes[0] if letter in of_value & of_output)
    source = "".join(of_weights & of_value - of_output)
    target = "".join(of_weights & of_output - of_value)
    dim = "".join(of_value & of_output - of_weights)
    is_plain = [len(of) for of in (of_weights, of_value, of_output)] == [len(letters) for letters in axes]
    covers = set(shared + source + target + dim) == of_weights | of_value | of_output
    if not (is_plain and covers and len(source) == len(target) == len(dim) == 1 and 1 <= len(shared) <= 3):
        return None
    if weights.shape[axes[0].index(source)] != value.shape[axes[1].index(source)]:
        return None
    return ValueProduct(weights, value, axes, shared, target, source, dim)


def _across_groups(weights: Tensor) -> Tensor:
    """``(batch, group, head, target, source)`` over all targets and sources; zero between groups."""
    batch, groups, heads, targets, sources = weights.shape
    if groups == 1:
        return weights[:, 0]
    whole = weights.new_zeros(batch, heads, groups, targets, groups, sources)
    for group in range(groups):
        whole[:, :, group, :, group] = weights[:, group]
    return whole.flatten(4).flatten(2, 3)
