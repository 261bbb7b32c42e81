"""What is to be explained: a class, a token's logit, a difference of two, any function of the output: one number per text.

Every target is a function of the model's output. Where it is linear there (a logit, a difference of logits), the frozen
model splits it as it is. Any other is split through its local linear form at the output, y ↦ ⟨∇f(y₀), y⟩, and what that
form leaves of the value, f(y₀) − ⟨∇f(y₀), y₀⟩, is the remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from normlens.attribution.subject import Subject
from normlens.attribution.targets.heads import Place
from normlens.engine.precision import double
from normlens.errors import InvalidInput

Scalar = Callable[[Any], Float[Tensor, " batch"]]


@dataclass(frozen=True)
class LogProbability:
    """The log-probability of a class or a token, instead of its logit.

    Attributes
    ----------
    of
        As the target itself would be given: a class name or number, or a token.
    """

    of: str | int


@dataclass(frozen=True)
class Predicted:
    """The logit of what the model itself predicts: its class, its next token, its answer's start."""


@dataclass(frozen=True)
class VectorNorm:
    """The length of a position's last hidden state, ‖y‖ = ⟨y/‖y‖, y⟩: its local linear form leaves nothing over."""


@dataclass(frozen=True)
class BatchTarget:
    """One number per text of a batch.

    Attributes
    ----------
    subject
        The model that gives the output, and the texts.
    parts
        Per text: the function of that text's row of the output.
    names
        Per text: what a person calls it.
    is_linear
        Whether every part is linear in the output.
    whole
        A function of the whole output, ``(batch,)``, instead of the parts.
    """

    subject: Subject
    parts: tuple[RowFunction, ...]
    names: tuple[str, ...]
    is_linear: bool
    whole: Scalar | None = None
    _left: list[Tensor] = field(default_factory=list, repr=False)

    def value(self, output: Any, texts: Sequence[int] | None = None) -> Float[Tensor, " batch"]:
        """The numbers themselves, from the model's output.

        Parameters
        ----------
        output
            The model's output.
        texts
            Which text each of its rows belongs to; None if the rows are the batch.
        """
        rows = range(len(self.subject)) if texts is None else texts
        if self.whole is not None:
            return self._whole(output, len(rows))
        return torch.stack([self.parts[text](output, row) for row, text in enumerate(rows)])

    def linear(self, output: Any) -> Float[Tensor, " batch"]:
        """A form that is linear in the output: the target itself, or its local linear form."""
        if self.is_linear:
            return self.value(output)
        if self.whole is not None:
            return _inner(self._gradient, output)
        forms = [part.form(output, row) for row, part in enumerate(self.parts)]
        self._left[:] = [left for _, left in forms]
        return torch.stack([form for form, _ in forms])

    def is_linear_for(self, text: int) -> bool:
        """Whether one text's number is linear in the output."""
        return self.whole is None and self.parts[text].kind == "logit"

    def linear_at(self, output: Any) -> Scalar:
        """:meth:`linear` at another point, whose unfrozen output this is."""
        if self.whole is None:
            return self.linear  # takes the point that it meets
        gradient = self._gradient_at(output)
        return lambda here: _inner(gradient, here)

    @property
    def remainder(self) -> Float[Tensor, " batch"]:
        """What the linear form leaves of the value, ``(batch,)``; zeros for linear targets."""
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
            If it isn't one number per text, or doesn't depend on the output.
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
                "The target doesn't depend on the model's output; expected a function of it that gives one number per "
                "text, such as lambda output: output.logits[:, -1, 7]."
            )
        found = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        return {name: g for name, g in zip(leaves, found, strict=True) if g is not None}

    def _whole(self, output: Any, rows: int) -> Tensor:
        assert self.whole is not None
        value: object = self.whole(output)
        if isinstance(value, Tensor) and value.shape == (rows,):
            return value
        seen = f"has shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"is a {type(value).__name__}"
        raise InvalidInput(
            f"The target {seen}; one number per text, a tensor of shape ({rows},), was expected. Pick it from the model's "
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
        Pairs (sign, index) of the logits that are added up.
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
        """The local linear form ⟨∇f(y₀), y⟩, where y₀ is y held fixed, and what it leaves of the number."""
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
                f"Number {last} of the model's {self.place.field} was asked for, but there are {len(y)}, from 0. Its config "
                "promises more than its head gives: correct num_labels or vocab_size."
            )
        return y

    def _sum(self, y: Tensor) -> Tensor:
        parts: list[Tensor] = [y[index] if sign == 1 else sign * y[index] for sign, index in self.terms]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _inner(gradient: Mapping[str, Tensor], output: Any) -> Tensor:
    """Σ ⟨gradient, output⟩ of every row."""
    parts: list[Tensor] = [(g.detach() * output[name]).flatten(1).sum(1) for name, g in gradient.items()]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
