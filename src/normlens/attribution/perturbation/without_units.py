"""What the perturbation methods share: for each text its units, its targets and its runs; and the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlens.attribution.arrays import Attribution
from normlens.attribution.perturbation.removable_units import WORDS, units_of
from normlens.attribution.perturbation.removed_runs import RemovedRuns, runs_of
from normlens.attribution.registry import Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.resolve import resolve
from normlens.words.text_spans import Spans

Numbers = dict[str, Any]
Explain = Callable[[RemovedRuns, Request], Sequence[tuple[NDArray[np.float64], Numbers]]]
"""Takes the runs of a text; returns shares ``(unit,)`` and attributes for each of its targets."""


def explain_texts(
    subject: Subject, request: Request, explain: Explain, default: Spans | str = WORDS
) -> list[Attribution]:
    """Shares of each text's words or spans in its target."""
    target = resolve(subject, request)
    results = []
    for text, example in enumerate(target.subject.examples):
        units = units_of(example, request.grouping, request.start, default)
        runs = runs_of(target.subject, text, units, target.functions[text : text + 1], request.options)
        [(shares, attrs)] = explain(runs, request)
        results.append(units.shares(shares, {"target": target.names[text], **attrs}))
    return results


def explain_targets(
    subject: Subject, request: Request, explain: Explain, default: Spans | str = WORDS
) -> list[Attribution]:
    """Shares of one text's words or spans in several targets, by the same runs."""
    targets = list(request.targets or ())
    units = units_of(subject.examples[0], request.grouping, request.start, default)
    runs = runs_of(subject, 0, units, [target.function for target in targets], request.options)
    explained = zip(targets, explain(runs, request), strict=True)
    return [units.shares(shares, {"target": target.named(), **attrs}) for target, (shares, attrs) in explained]
