"""The five models, at equal parameter counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from normlens.errors import NormLensError
from normlens.negation.sentiment_trees import (
    BagOfVectors,
    MatrixVectorNetwork,
    RecursiveNetwork,
    StructuredModel,
    TensorNetwork,
    TreeModel,
)

TOLERANCE = 0.02
"""Parameter counts differ from the structured model's by at most this share."""


@dataclass(frozen=True)
class Contestant:
    """A model of the study.

    Attributes
    ----------
    title
        What pages call it.
    make
        The model for a vocabulary of some size.
    sizes
        Its sizes, for a person.
    variants
        Other makes that are tried on dev.
    """

    title: str
    make: Callable[[int], TreeModel]
    sizes: str
    variants: Mapping[str, Callable[[int], TreeModel]] = field(default_factory=dict)


CONTESTANTS: Mapping[str, Contestant] = {
    "structured": Contestant(
        "domain, value, function",
        lambda words: StructuredModel(words, 20, 5),
        "m = 20, n = 5",
        {
            "left first": lambda words: StructuredModel(words, 20, 5, leftness=2.0),
            "left first, sharp": lambda words: StructuredModel(words, 20, 5, leftness=2.0, sharpness=10.0),
        },
    ),
    "matrix-vector": Contestant("matrix–vector", lambda words: MatrixVectorNetwork(words, 19, 1), "19, rank 1"),
    "tensor": Contestant(
        "tensor network",
        lambda words: TensorNetwork(words, 41),
        "41, tensor / 41",
        {
            "no tensor at the start": lambda words: TensorNetwork(words, 41, spread=0.0),
            "ten times the tensor": lambda words: TensorNetwork(words, 41, spread=1.0),
        },
    ),
    "recursive": Contestant("plain recursive", lambda words: RecursiveNetwork(words, 75), "75"),
    "bag": Contestant("bag of vectors", lambda words: BagOfVectors(words, 76), "76"),
}
"""The models by name; sizes fit a vocabulary of 8,000 words."""

REFERENCE = "matrix-vector"
"""The model that the others are compared with."""


def make(name: str, words: int, seed: int, variant: str = "") -> TreeModel:
    """A model with random parameters; an empty variant is the model as it is."""
    contestant = CONTESTANTS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (contestant.variants[variant] if variant else contestant.make)(words)


def parameter_counts(words: int) -> dict[str, int]:
    """Number of parameters of each model.

    Raises
    ------
    NormLensError
        If they differ by more than the tolerance.
    """
    counts = {name: sum(p.numel() for p in make(name, words, 0).parameters()) for name in CONTESTANTS}
    for name, count in counts.items():
        if abs(count / counts["structured"] - 1) > TOLERANCE:
            raise NormLensError(
                f"{name} has {count} parameters, the structured model {counts['structured']}; expected counts within "
                f"{TOLERANCE:.0%}. The sizes fit a vocabulary of 8,000 words: pass --words 8000, or change them."
            )
    return counts
