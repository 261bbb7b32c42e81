"""The ways to read a model's cross-attention as an alignment: weight or norm, which layer, head, scope and row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from normlens.alignment.word_maps import SETTINGS, Setting
from normlens.engine.contributions.measure import Measures
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, AttentionScope
from normlens.errors import InvalidInput

Measure = Literal["weight", "norm"]


@dataclass(frozen=True)
class Reading:
    """Which numbers of a model are read as an alignment.

    Attributes
    ----------
    layer
        Layer of cross-attention, from 0.
    measure
        "norm", ‖Σ α f(x)‖, or "weight", the mean of α over heads.
    scope
        How far the norm follows the contributions.
    setting
        "awi": a target word is read in the row where it is the decoder's input; "awo": where it is predicted.
    head
        One head alone: α f(x) of scope "attention", or its α. Default: all heads together.
    beside
        Another reading, such as AWO in a later layer beside AWI in an early one; the shares of both are averaged.
    """

    layer: int
    measure: Measure = "norm"
    scope: AttentionScope = "attention"
    setting: Setting = "awi"
    head: int | None = None
    beside: Reading | None = None

    def __post_init__(self) -> None:
        for name, known in (("measure", ("weight", "norm")), ("scope", ATTENTION_SCOPES), ("setting", SETTINGS)):
            if getattr(self, name) not in known:
                raise InvalidInput(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}.")
        if self.head is not None and self.measure == "norm" and self.scope != "attention":
            raise InvalidInput(
                f"Head {self.head} at scope {self.scope!r} was asked for; one head's norm ends at scope 'attention', and "
                "what comes later belongs to all heads. Leave one of them out."
            )
        if self.beside is not None and self.beside.beside is not None:
            raise InvalidInput("A reading beside another has one beside it too; expected two readings at most.")

    @property
    def parts(self) -> tuple[Reading, ...]:
        """Itself alone, and what is read beside it."""
        return (self,) if self.beside is None else (replace(self, beside=None), self.beside)

    def by(self, measure: Measure) -> Reading:
        """The same by weight or by norm."""
        scope: AttentionScope = "attention" if measure == "weight" else self.scope
        return replace(self, measure=measure, scope=scope, beside=self.beside and self.beside.by(measure))

    def at(self, layer: int, beside: int | None = None) -> Reading:
        """The same in another layer, and what is read beside it likewise."""
        other = self.beside if beside is None or self.beside is None else self.beside.at(beside)
        return replace(self, layer=layer, beside=other)

    @property
    def layers(self) -> str:
        """Its layer, or both: "0", "0 beside 2"."""
        return " beside ".join(str(part.layer) for part in self.parts)

    @property
    def reach(self) -> AttentionScope:
        """The scope that has to be measured."""
        return self.scope if self.measure == "norm" else "attention"

    def of(self, measures: Measures) -> Tensor:
        """The numbers, ``(batch, row, token)``, out of what was measured on the layer."""
        if self.measure == "weight":
            return measures.weight.mean(1) if self.head is None else measures.weight[:, self.head]
        if self.head is not None:
            return measures.weight[:, self.head] * measures.vector_norm[:, self.head, None]
        return measures.norm[self.scope]
