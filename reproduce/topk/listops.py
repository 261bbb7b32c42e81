"""ListOps in the page of `reproduce.topk.table`: trained dense, trained with k sources, and switched after training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Course = tuple[str, int, int, bool, int]
"""Length, epochs, texts, whether their subexpressions are among these, layers."""


class Kind(NamedTuple):
    """Settings shared by trainings that differ only in their seed.

    Attributes
    ----------
    length
        "short" or "long" expressions.
    epochs, texts
        Amount of training.
    inside
        Whether subexpressions are among the texts.
    layers
        Of the model.
    how
        "dense", or the ranking and the number of the sources kept.
    """

    length: str
    epochs: int
    texts: int
    inside: bool
    layers: int
    how: str

    @property
    def course(self) -> Course:
        """The settings shared by comparable dense and top-k trainings."""
        return self[:5]

    def __str__(self) -> str:
        return f"{self.length}, {self.amount}, epochs: {self.epochs}, layers: {self.layers}, {self.how}"

    @property
    def amount(self) -> str:
        """Number and kind of texts."""
        return f"{self.texts:,} texts{' and their subexpressions' if self.inside else ''}"


Trainings = dict[Kind, list[Mapping[str, Any]]]


def grouped(result: Mapping[str, Any]) -> Trainings:
    """Trainings that differ only in their seed: short ones first, dense before top-k."""
    groups: Trainings = defaultdict(list)
    for training in result["trainings"]:
        settings = training["settings"]
        how = "dense" if settings["k"] is None else f"k = {settings['k']} by {settings['by']}"
        texts, inside = training["texts"]["training"], settings.get("subexpressions", False)
        course = settings["length"], settings["epochs"], texts, inside, settings["layers"]
        groups[Kind(*course, how)].append(training)
    return dict(sorted(groups.items(), key=_place))


def _place(group: tuple[Kind, list[Mapping[str, Any]]]) -> tuple[Any, ...]:
    kind, trainings = group
    settings = trainings[0]["settings"]
    return kind.length != "short", kind.texts, kind.epochs, kind.how != "dense", settings["by"], settings["k"] or 0


def listops(result: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracies of trainings over seeds, and of the dense ones switched to k without training."""
    groups = grouped(result)
    if not groups:
        return {"rows": []}
    rows = [
        [
            str(kind),
            _over_seeds([one["accuracy"] for one in trainings]),
            _over_seeds([max(one["curve"]) for one in trainings]),
            str(len(trainings)),
            f"{np.mean([one['cpu_seconds'] for one in trainings]) / 60:.1f}",
        ]
        for kind, trainings in groups.items()
    ]
    settings = next(iter(groups.values()))[0]["settings"]
    return {
        "width": settings["width"],
        "heads": settings["heads"],
        "baselines": _baselines(result, groups),
        "rows": rows,
        "switched": [_switched(kind, trainings) for kind, trainings in groups.items() if kind.how == "dense"],
    }


def _over_seeds(accuracies: list[float]) -> str:
    values = 100 * np.array(accuracies)
    spread = f" ({values.min():.1f} to {values.max():.1f})" if len(values) > 1 else ""
    return f"{values.mean():.1f} %{spread}"


def _baselines(result: Mapping[str, Any], groups: Trainings) -> str:
    """Accuracies without solving anything, and the sampling error of an accuracy on this many texts."""
    lines = []
    for length in dict.fromkeys(kind.length for kind in groups):
        training = next(trainings[0] for kind, trainings in groups.items() if kind.length == length)
        texts = training["texts"]["validation"]
        line = f"{length}: {100 * training['most_frequent']:.1f} % by always answering the most frequent value"
        if length in result.get("by_first_word", {}):
            line += f", {100 * result['by_first_word'][length]:.1f} % by reading the outermost operator alone"
        error = 100 * (training["accuracy"] * (1 - training["accuracy"]) / texts) ** 0.5
        lines.append(f"{line} ({texts} texts, so an accuracy's standard error is {error:.1f} points)")
    return "; ".join(lines).capitalize() + "."


def _switched(kind: Kind, trainings: list[Mapping[str, Any]]) -> dict[str, Any]:
    selections = list(trainings[0]["switched"])
    ks = list(trainings[0]["switched"][selections[0]])
    rows = [
        [k, *(f"{100 * np.mean([one['switched'][name][k] for one in trainings]):.1f} %" for name in selections)]
        for k in ks
    ]
    return {
        "trained": f"{kind.length}, {kind.amount}, {kind.epochs} epochs",
        "selections": [f"by {name.replace('full', 'with full denominator')}" for name in selections],
        "rows": rows,
    }
