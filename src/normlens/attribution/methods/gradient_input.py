"""Gradient × input: ⟨∂target/∂x_j, x_j⟩ of the unfrozen model, through captum, as a baseline for comparison."""

from __future__ import annotations

from normlens.attribution.arrays import Attribution
from normlens.attribution.methods.embedding_function import Embedded
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.resolve import resolve


def run(subject: Subject, request: Request) -> list[Attribution]:
    """Signed shares of the target to first order, ``(source,)``."""
    function = Embedded.of(resolve(subject, request))
    return function.results(function.explained_by("InputXGradient"), "gradient · input, summed over dimensions", None)


METHOD = Method(
    name="gradient_input",
    meaning="Gradient of the target with respect to each source's embedding, times the embedding: a first-order estimate.",
    source="Shrikumar et al. 2016; Denil et al. 2014",
    scopes=(),
    targets="required",
    signed=True,
    exact=False,
    run=run,
)
