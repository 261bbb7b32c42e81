"""ListOps in the page of `topk_table.py`: trained dense, trained with k sources, and switched after training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from finding import markdown_table

Trainings = dict[tuple[str, str], list[Mapping[str, Any]]]


def grouped(found: Mapping[str, Any]) -> Trainings:
    """Trainings that differ in nothing but their seed, by length and how they were trained."""
    groups: Trainings = defaultdict(list)
    for training in found["trainings"]:
        settings = training["settings"]
        how = "dense" if settings["k"] is None else f"k = {settings['k']} by {settings['by']}"
        groups[settings["length"], how].append(training)
    return dict(sorted(groups.items(), key=_place))


def _place(group: tuple[tuple[str, str], Any]) -> tuple[Any, ...]:
    (length, how), trainings = group
    return length != "short", how != "dense", trainings[0]["settings"]["by"], trainings[0]["settings"]["k"] or 0


def listops(found: Mapping[str, Any]) -> str:
    """Accuracies of trainings over seeds, and of the dense ones switched to k without training."""
    groups = grouped(found)
    if not groups:
        return "No training is finished."
    rows = [
        [
            f"{length}, {how}",
            _over_seeds([one["accuracy"] for one in trainings]),
            _over_seeds([max(one["curve"]) for one in trainings]),
            str(len(trainings)),
            f"{np.mean([one['cpu_seconds'] for one in trainings]) / 60:.1f}",
        ]
        for (length, how), trainings in groups.items()
    ]
    any_one = next(iter(groups.values()))[0]["settings"]
    parts = [
        f"A BERT of {any_one['layers']} layers, width {any_one['width']} and {any_one['heads']} heads, from scratch. "
        "Accuracy on the validation part, mean over seeds (lowest to highest); chance is about 10 %, always answering the "
        f"most frequent value {_most_frequent(groups)}.",
        markdown_table(["trained", "after the last epoch", "best epoch", "seeds", "CPU minutes each"], rows),
    ]
    for (length, how), trainings in groups.items():
        if how == "dense":
            parts.append(_switched(length, trainings))
    return "\n\n".join(parts)


def _over_seeds(accuracies: list[float]) -> str:
    values = 100 * np.array(accuracies)
    spread = f" ({values.min():.1f} to {values.max():.1f})" if len(values) > 1 else ""
    return f"{values.mean():.1f} %{spread}"


def _most_frequent(groups: Trainings) -> str:
    shares = {length: trainings[0]["most_frequent"] for (length, _), trainings in groups.items()}
    return ", ".join(f"{100 * share:.1f} % ({length})" for length, share in shares.items())


def _switched(length: str, trainings: list[Mapping[str, Any]]) -> str:
    ways = list(trainings[0]["switched"])
    ks = list(trainings[0]["switched"][ways[0]])
    rows = [
        [k, *(f"{100 * np.mean([one['switched'][way][k] for one in trainings]):.1f} %" for way in ways)] for k in ks
    ]
    headings = [f"by {way.replace('full', 'with full denominator')}" for way in ways]
    return (
        f"Trained dense ({length}), switched to k sources without training:\n\n{markdown_table(['k', *headings], rows)}"
    )
