"""Tokens of an answer as one target: the sum of their log-probabilities, or of their logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from normlens.attribution.targets.prediction_heads import Place
from normlens.attribution.targets.scalars import RowFunction

Score = Literal["logprob", "logit"]
"""What is explained of each token of an answer: its log-probability (natural logarithm), or its logit."""


@dataclass(frozen=True)
class AnswerTokens:
    """Tokens of an answer that a model is read at, each where it is predicted.

    Attributes
    ----------
    ids
        Ids of the tokens.
    positions
        For each token, the position in the output that predicts it: that of the token before it.
    names
        Each token in words.
    score
        "logprob" or "logit".
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    names: tuple[str, ...]
    score: Score = "logprob"

    def __len__(self) -> int:
        return len(self.ids)

    def each(self) -> list[AnswerTokens]:
        """The tokens one by one."""
        rows = zip(self.ids, self.positions, self.names, strict=True)
        return [AnswerTokens((number,), (position,), (name,), self.score) for number, position, name in rows]

    def named(self, description: str = "") -> str:
        """The target in words; ``description`` stands for the tokens if there are several."""
        of = {"logprob": "log-probability", "logit": "logit"}[self.score]
        return f"{of} of {repr(self.names[0]) if len(self) == 1 else description or repr(''.join(self.names))}"

    @property
    def functions(self) -> tuple[RowFunction, ...]:
        """The numbers of single tokens."""
        return tuple(
            RowFunction(Place("logits", (position,)), ((1.0, number),), self.score)
            for number, position in zip(self.ids, self.positions, strict=True)
        )

    @property
    def function(self) -> RowSum:
        """Their sum."""
        return RowSum(self.functions, self.score)


@dataclass(frozen=True)
class RowSum:
    """A sum of numbers that are read in one row of the output.

    Attributes
    ----------
    terms
        The numbers.
    kind
        "logit" if the sum is linear in the output.
    """

    terms: tuple[RowFunction, ...]
    kind: str

    def __call__(self, output: Any, row: int) -> Tensor:
        """The number, from one row of the output."""
        return torch.stack([term(output, row) for term in self.terms]).sum()

    def form(self, output: Any, row: int) -> tuple[Tensor, Tensor]:
        """The sum of the terms' local linear forms, and of their remainders."""
        forms, left = zip(*(term.form(output, row) for term in self.terms), strict=True)
        return torch.stack(forms).sum(), torch.stack(left).sum()
