"""What the perturbation methods share: for each text its units, its targets and its runs; their results; their entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlens.attribution.arrays import Attribution
from normlens.attribution.perturbation.removable_units import WORDS, units_of
from normlens.attribution.perturbation.removed_runs import RemovedRuns, check_replacement, runs_of
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.resolve import resolve
from normlens.words.text_spans import Spans

Numbers = dict[str, Any]
Explain = Callable[[RemovedRuns, Request], Sequence[tuple[NDArray[np.float64], Numbers]]]
"""Takes the runs of a text; returns shares ``(unit,)`` and attributes for each of its targets."""


def perturbation_method(
    name: str,
    meaning: str,
    source: str,
    explain: Explain,
    *,
    exact: bool,
    options: Mapping[str, Any] = MappingProxyType({}),
    check: Callable[[Request], None] = lambda request: None,
    default: Spans | str = WORDS,
    target: Callable[[str], str] = str,
) -> Method:
    """The entry of a method that runs the model without some words, or spans.

    Parameters
    ----------
    name, meaning, source, exact
        As for :class:`~normlens.attribution.registry.Method`.
    explain
        The method itself.
    options
        Its options, beside ``replacement``.
    check
        Refuses invalid values of these options.
    default
        What is taken out unless the caller names spans.
    target
        From the target's name to that of the number which is explained.
    """

    def check_all(request: Request) -> None:
        check_replacement(request.options["replacement"])
        check(request)

    return Method(
        name=name,
        meaning=meaning,
        source=source,
        scopes=(),
        targets="required",
        signed=True,
        exact=exact,
        run=partial(_explain_texts, explain=explain, default=default, named=target),
        options=MappingProxyType({**options, "replacement": None}),
        check=check_all,
        run_each=partial(_explain_targets, explain=explain, default=default, named=target),
    )


def _explain_texts(
    subject: Subject, request: Request, explain: Explain, default: Spans | str, named: Callable[[str], str]
) -> list[Attribution]:
    """Shares of each text's words or spans in its target."""
    target = resolve(subject, request)
    results = []
    for text, example in enumerate(target.subject.examples):
        units = units_of(example, request.grouping, request.start, default)
        runs = runs_of(target.subject, text, units, target.functions[text : text + 1], request.options)
        [(shares, attrs)] = explain(runs, request)
        results.append(units.shares(shares, {"target": named(target.names[text]), **attrs}))
    return results


def _explain_targets(
    subject: Subject, request: Request, explain: Explain, default: Spans | str, named: Callable[[str], str]
) -> list[Attribution]:
    """Shares of one text's words or spans in several targets, by the same runs."""
    targets = list(request.targets or ())
    units = units_of(subject.examples[0], request.grouping, request.start, default)
    runs = runs_of(subject, 0, units, [target.function for target in targets], request.options)
    explained = zip(targets, explain(runs, request), strict=True)
    return [units.shares(shares, {"target": named(target.named()), **attrs}) for target, (shares, attrs) in explained]
