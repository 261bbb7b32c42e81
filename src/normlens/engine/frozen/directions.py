"""The two directions of differentiating a frozen model: backward from a scalar, or forward from the sources.

A direction defines which tensors are *live* (they depend on a source), how a source enters, and how a constant that is
added to a live tensor is followed, so that the bias share is a derivative and not a remainder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import FunctionCtx


@dataclass(frozen=True)
class SourceGroup:
    """The sources that enter a model at one module.

    Attributes
    ----------
    label
        Path of the submodel that they enter, such as ``"encoder"``; empty for the model itself.
    value
        The source vectors x_j, ``(batch, source, d)``.
    """

    label: str
    value: Float[Tensor, "batch source d"]


Map = Callable[[Tensor], Tensor]


class Direction(ABC):
    """A direction of differentiation; see the start of this module.

    Attributes
    ----------
    builds_graph
        Whether operations on live tensors are recorded for a backward pass, even where the model uses ``no_grad``.
    follows_arguments
        Whether a constant that an operation adds itself, such as a layer's bias, is followed as its argument or separately.
    groups
        The sources that have entered so far.
    """

    builds_graph: ClassVar[bool]
    follows_arguments: bool = False

    def __init__(self) -> None:
        self.groups: list[SourceGroup] = []

    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Label and number of sources of each group so far."""
        return tuple((group.label, group.value.shape[1]) for group in self.groups)

    @abstractmethod
    def is_live(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` depends on a source through operations whose derivative is not frozen away."""

    @abstractmethod
    def source(self, label: str, value: Float[Tensor, "batch source d"]) -> Tensor:
        """Admit ``value`` as sources: the same numbers, live from here on."""

    @abstractmethod
    def constant(self, at: Tensor, contribution: Tensor) -> Tensor:
        """The numbers ``at``, followed as a constant that contributes ``contribution`` to the affine map.

        ``at = contribution`` follows a bias; ``at = 0`` follows a literal that an operation has already added.
        """

    @abstractmethod
    def added(self, result: Tensor, contribution: Tensor) -> Tensor:
        """``result`` with the same numbers, to which the constant ``contribution`` was already added and is now followed."""

    def affine(self, x: Tensor, whole: Map, linear: Map) -> Tensor:
        """``whole(x)`` of a live x: ``linear(x)`` plus constants that are not followed here; nothing else is live."""
        return whole(x)

    def per_row(self, constant: Tensor, shape: torch.Size) -> Tensor:
        """``constant``, which is about to be broadcast to ``shape``, in the shape in which this direction follows it."""
        return constant


class Backward(Direction):
    """Pull back: live means ``requires_grad``.

    Parameters
    ----------
    batch
        Number of rows. A constant that is broadcast over them gets a separate leaf for each row.

    Attributes
    ----------
    leaves
        One leaf per source group, shaped as its value.
    constants
        Pairs (leaf, contribution): the contribution's share is ⟨∂/∂leaf, contribution⟩, the latter broadcast.
    """

    builds_graph = True

    def __init__(self, batch: int = 1) -> None:
        super().__init__()
        self.batch = batch
        self.follows_arguments = batch == 1
        self.leaves: list[Tensor] = []
        self.constants: list[tuple[Tensor, Tensor]] = []

    def is_live(self, tensor: Tensor) -> bool:
        """Whether the tensor requires a gradient; parameters don't, while the model is frozen."""
        return tensor.requires_grad

    def source(self, label: str, value: Float[Tensor, "batch source d"]) -> Tensor:
        """A leaf for the gradient, cloned so that the model may write into it."""
        leaf = value.detach().requires_grad_()
        self.groups.append(SourceGroup(label, value.detach()))
        self.leaves.append(leaf)
        return leaf.clone()

    def constant(self, at: Tensor, contribution: Tensor) -> Tensor:
        """A leaf that remembers its contribution."""
        leaf = at.detach().requires_grad_()
        self.constants.append((leaf, contribution.detach().clone()))
        return leaf

    def added(self, result: Tensor, contribution: Tensor) -> Tensor:
        """``result`` plus a leaf of zeros."""
        zeros = torch.zeros_like(self.per_row(contribution, result.shape), dtype=result.dtype)
        return result + self.constant(zeros, contribution)

    def per_row(self, constant: Tensor, shape: torch.Size) -> Tensor:
        """``constant`` repeated along the first axis of ``shape`` if rows, or rows by positions, lie there."""
        if self.batch == 1 or not constant.ndim or not shape[0] or shape[0] % self.batch:
            return constant
        aligned = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
        return aligned.expand(shape[0], *aligned.shape[1:])


Seed = Callable[[int, Float[Tensor, "batch source d"]], Float[Tensor, "batch source d"]]


class Forward(Direction):
    """Push forward: live means that the tensor carries a tangent.

    Parameters
    ----------
    seed
        Maps the index of a group and its value to the tangent of its sources.
    follow_constants
        Follow the contributions of constants too. Their tangents reach every row of the batch, so this is for the run
        that pushes the bias share, with zero seeds.
    """

    builds_graph = False

    def __init__(self, seed: Seed, follow_constants: bool = False) -> None:
        super().__init__()
        self.seed = seed
        self.follow_constants = follow_constants

    def is_live(self, tensor: Tensor) -> bool:
        """Whether the tensor carries a tangent; only numbers can (mask functions run in ``vmap``, on positions)."""
        return (tensor.is_floating_point() or tensor.is_complex()) and tangent(tensor) is not None

    def source(self, label: str, value: Float[Tensor, "batch source d"]) -> Tensor:
        """A dual number of the value and its seed."""
        value = value.detach()
        self.groups.append(SourceGroup(label, value))
        dual: Tensor = forward_ad.make_dual(value.clone(), self.seed(len(self.groups) - 1, value))
        return dual

    def constant(self, at: Tensor, contribution: Tensor) -> Tensor:
        """A dual number of the two, or the plain numbers where constants are not followed."""
        if not self.follow_constants:
            return at
        dual: Tensor = forward_ad.make_dual(at.detach().clone(), contribution.detach().clone())
        return dual

    def affine(self, x: Tensor, whole: Map, linear: Map) -> Tensor:
        """Compute two products: torch's own formula would compute a third one, with the absent tangent of the weights."""
        primal, moved = forward_ad.unpack_dual(x)
        dual: Tensor = forward_ad.make_dual(whole(primal), linear(moved))
        return dual

    def added(self, result: Tensor, contribution: Tensor) -> Tensor:
        """``result`` plus a dual number of zero and the contribution."""
        if not self.follow_constants:
            return result
        return result + self.constant(torch.zeros_like(contribution), contribution).to(result.dtype)


def tangent(tensor: Tensor) -> Tensor | None:
    """The tangent that ``tensor`` carries, or None."""
    carried: Tensor | None = forward_ad.unpack_dual(tensor).tangent
    return carried


class _Graft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, linear: Tensor, value: list[Tensor]) -> Tensor:
        return value[0]

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None

    @staticmethod
    def jvp(ctx: FunctionCtx, *tangents: Tensor) -> Tensor:
        return tangents[0].clone()


def graft(value: Tensor, linear: Tensor) -> Tensor:
    """The numbers of ``value``, bit for bit, with the derivative of ``linear`` (of the same shape and dtype)."""
    grafted: Tensor = _Graft.apply(linear, [value.detach().clone()])  # type: ignore[no-untyped-call]
    return grafted


def is_grafted(tensor: Tensor) -> bool:
    """Whether :func:`graft` made ``tensor``, and no other custom function."""
    return type(tensor.grad_fn) is _Graft._backward_cls
