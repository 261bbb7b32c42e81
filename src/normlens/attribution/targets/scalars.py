"""The scalar that is explained, one number per text: a logit, a difference of two, any function of the output.

Every target is a function of the model's output. A linear one (a logit, a difference of logits) is split as it is. Any
other is split through its local linear form at the output, y ↦ ⟨∇f(y₀), y⟩; the rest of its value,
f(y₀) − ⟨∇f(y₀), y₀⟩, is the remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.attribution.subject import Subject
from normlens.attribution.targets.prediction_heads import Place
from normlens.engine.precision import double
from normlens.errors import InvalidInput

Scalar = Callable[[Any], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class LogProbability:
    """The log-probability of a class or a token, instead of its logit.

    Attributes
    ----------
    of
        The class (name or number) or token, as for a logit.
    """

    of: str | int


@dataclass(frozen=True)
class Predicted:
    """The logit of the model's own prediction: its class, its next token, its answer's start."""


@dataclass(frozen=True)
class VectorNorm:
    """The length of a position's last hidden state, ‖y‖ = ⟨y/‖y‖, y⟩: its local linear form leaves no remainder."""


class TextFunction(Protocol):
    """One number of a text, read in its row of the output."""

    @property
    def kind(self) -> str:
        """Its kind: "logit" if it is linear in the output."""

    def __call__(self, output: Any, row: int) -> Tensor:
        """The number."""

    def form(self, output: Any, row: int) -> tuple[Tensor, Tensor]:
        """Its local linear form, and the remainder."""


@dataclass(frozen=True)
class BatchTarget:
    """One number per text of a batch.

    Attributes
    ----------
    subject
        The model that returns the output, and the texts.
    functions
        Per text: a function of that text's row of the output.
    names
        Per text: its name in words.
    is_linear
        Whether every function is linear in the output.
    whole
        A function of the whole output, ``(batch,)``, in place of the functions of rows.
    """

    subject: Subject
    functions: tuple[TextFunction, ...]
    names: tuple[str, ...]
    is_linear: bool
    whole: Scalar | None = None
    _left: list[Tensor] = field(default_factory=list, repr=False)

    def value(self, output: Any, texts: Sequence[int] | None = None) -> Float[Tensor, " batch"]:
        """The target's values, from the model's output.

        Parameters
        ----------
        output
            The model's output.
        texts
            The text that each of its rows belongs to; None if the rows are the batch.
        """
        rows = range(len(self.subject)) if texts is None else texts
        if self.whole is not None:
            return self._whole(output, len(rows))
        return torch.stack([self.functions[text](output, row) for row, text in enumerate(rows)])

    def linear(self, output: Any) -> Float[Tensor, " batch"]:
        """A form that is linear in the output: the target itself, or its local linear form."""
        if self.is_linear:
            return self.value(output)
        if self.whole is not None:
            return _inner(self._gradient, output)
        forms = [function.form(output, row) for row, function in enumerate(self.functions)]
        self._left[:] = [left for _, left in forms]
        return torch.stack([form for form, _ in forms])

    def is_linear_for(self, text: int) -> bool:
        """Whether one text's number is linear in the output."""
        return self.whole is None and self.functions[text].kind == "logit"

    def linear_at(self, output: Any) -> Scalar:
        """:meth:`linear` at another point, whose unfrozen output this is."""
        if self.whole is None:
            return self.linear  # uses the point at which it is called
        gradient = self._gradient_at(output)
        return lambda here: _inner(gradient, here)

    @property
    def remainder(self) -> Float[Tensor, " batch"]:
        """The value minus that of the linear form, ``(batch,)``; zeros for linear targets."""
        if self.is_linear:
            return double(torch.zeros(len(self.subject), device=self.subject.model.device))
        output = self.subject.output if self.whole is not None or not self._left else None
        if self.whole is not None:
            return double(self.value(output)) - double(_inner(self._gradient, output))
        if not self._left:
            self.linear(output)
        return torch.stack(self._left)

    def require_gradient(self) -> None:
        """Differentiate a function of the whole output at the unfrozen output.

        Raises
        ------
        InvalidInput
            If it doesn't return one number per text, or doesn't depend on the output.
        """
        _ = self._gradient

    @cached_property
    def _gradient(self) -> Mapping[str, Tensor]:
        """∂/∂ of every tensor of the output, at the unfrozen output."""
        return self._gradient_at(self.subject.output)

    def _gradient_at(self, output: Any) -> Mapping[str, Tensor]:
        floating = {n: x for n, x in output.items() if isinstance(x, Tensor) and x.is_floating_point()}
        leaves = {name: x.detach().requires_grad_() for name, x in floating.items()}
        with torch.enable_grad():
            value = self.value(type(output)(**{**output, **leaves}))
        if not value.requires_grad:
            raise InvalidInput(
                "The target doesn't depend on the model's output; expected a function of it that returns one number per "
                "text, such as lambda output: output.logits[:, -1, 7]."
            )
        gradients = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        return {name: g for name, g in zip(leaves, gradients, strict=True) if g is not None}

    def _whole(self, output: Any, rows: int) -> Tensor:
        assert self.whole is not None
        value: object = self.whole(output)
        if isinstance(value, Tensor) and value.shape == (rows,):
            return value
        seen = f"has shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"is a {type(value).__name__}"
        raise InvalidInput(
            f"The target {seen}; expected one number per text, a tensor of shape ({rows},). Pick it from the model's "
            "output, as in lambda output: output.logits[:, -1, 7]."
        )


@dataclass(frozen=True)
class RowFunction:
    """One text's number: Σ of sign · logit, or a function of the logits at one place.

    Attributes
    ----------
    place
        Where it is read.
    terms
        Pairs (sign, index) of the logits in the sum.
    kind
        "logit", "logprob" or "norm".
    """

    place: Place
    terms: tuple[tuple[float, int], ...]
    kind: str = "logit"

    def __call__(self, output: Any, row: int) -> Tensor:
        """The number, from one row of the output."""
        y = self._read(output, row)
        if self.kind == "norm":
            norm: Tensor = y.norm()
            return norm
        y = y.log_softmax(-1) if self.kind == "logprob" else y
        return self._sum(y)

    def form(self, output: Any, row: int) -> tuple[Tensor, Tensor]:
        """The local linear form ⟨∇f(y₀), y⟩, where y₀ is y held fixed, and the remainder of the number."""
        y = self._read(output, row)
        fixed = double(y.detach())
        if self.kind == "logit":
            return self._sum(y), torch.zeros_like(fixed[0])
        if self.kind == "norm":
            value = fixed.norm()
            slope = fixed / value
        else:
            ((_, index),) = self.terms
            value = fixed.log_softmax(-1)[index]
            slope = torch.nn.functional.one_hot(torch.tensor(index), len(fixed)).to(fixed) - fixed.softmax(-1)
        return (slope.to(y) * y).sum(), value - (slope * fixed).sum()

    def _read(self, output: Any, row: int) -> Tensor:
        y = self.place.read(output, row)
        last = max((index for _, index in self.terms), default=0)
        if last >= len(y):
            raise InvalidInput(
                f"Entry {last} of the model's {self.place.field} doesn't exist: there are {len(y)}, from 0. Its config "
                "promises more entries than its head returns: correct num_labels or vocab_size."
            )
        return y

    def _sum(self, y: Tensor) -> Tensor:
        logits: list[Tensor] = [y[index] if sign == 1 else sign * y[index] for sign, index in self.terms]
        return logits[0] if len(logits) == 1 else logits[0] + logits[1]


def _inner(gradient: Mapping[str, Tensor], output: Any) -> Tensor:
    """Σ ⟨gradient, output⟩ of every row."""
    sums: list[Tensor] = [(g.detach() * output[name]).flatten(1).sum(1) for name, g in gradient.items()]
    total = sums[0]
    for term in sums[1:]:
        total = total + term
    return total
