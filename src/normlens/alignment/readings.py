"""A reading: the numbers of a cross-attention that form an alignment (weight or norm; layer, head, scope and row)."""

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
    """The numbers of a model that are read as an alignment.

    Attributes
    ----------
    layer
        The layer of cross-attention, from 0.
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
        for name, choices in (("measure", ("weight", "norm")), ("scope", ATTENTION_SCOPES), ("setting", SETTINGS)):
            if getattr(self, name) not in choices:
                raise InvalidInput(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}.")
        if self.head is not None and self.measure == "norm" and self.scope != "attention":
            raise InvalidInput(
                f"Got head {self.head} at scope {self.scope!r}. The norm of a single head exists only at scope 'attention', "
                "since later scopes combine all heads. Leave one of them out."
            )
        if self.beside is not None and self.beside.beside is not None:
            raise InvalidInput(
                "A reading can be averaged with one other; the one passed as beside= has another beside it. Remove that one."
            )

    @property
    def components(self) -> tuple[Reading, ...]:
        """The readings that are averaged: itself, and the one beside it if there is one."""
        return (self,) if self.beside is None else (replace(self, beside=None), self.beside)

    def by(self, measure: Measure) -> Reading:
        """The same by weight or by norm."""
        scope: AttentionScope = "attention" if measure == "weight" else self.scope
        return replace(self, measure=measure, scope=scope, beside=self.beside and self.beside.by(measure))

    def at(self, layer: int, beside: int | None = None) -> Reading:
        """The same in another layer; `beside` is the layer of the reading beside it."""
        other = self.beside if beside is None or self.beside is None else self.beside.at(beside)
        return replace(self, layer=layer, beside=other)

    @property
    def layers(self) -> str:
        """Its layer, or both: "0", "0 beside 2"."""
        return " beside ".join(str(one.layer) for one in self.components)

    @property
    def reach(self) -> AttentionScope:
        """The scope up to which norms have to be measured."""
        return self.scope if self.measure == "norm" else "attention"

    def select(self, measures: Measures) -> Tensor:
        """The numbers of this reading, ``(batch, row, token)``, from the layer's measures."""
        if self.measure == "weight":
            return measures.weight.mean(1) if self.head is None else measures.weight[:, self.head]
        if self.head is not None:
            return measures.weight[:, self.head] * measures.vector_norm[:, self.head, None]
        return measures.norm[self.scope]
