"""Occlusion, leave-one-out: how much the target falls if a word, or a span, is taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlens.attribution.arrays import Attribution
from normlens.attribution.perturbation.removed_runs import RemovedRuns, check_replacement
from normlens.attribution.perturbation.without_units import Numbers, explain_targets, explain_texts
from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject


def run(subject: Subject, request: Request) -> list[Attribution]:
    """The fall of the target without each unit, ``(source,)``."""
    return explain_texts(subject, request, _without_each)


def run_each(subject: Subject, request: Request) -> list[Attribution]:
    """The same for several targets in one text, by the same runs."""
    return explain_targets(subject, request, _without_each)


def check(request: Request) -> None:
    """Refuse unknown replacements."""
    check_replacement(request.options["replacement"])


def _without_each(runs: RemovedRuns, request: Request) -> Sequence[tuple[NDArray[np.float64], Numbers]]:
    count = len(runs.units)
    kept = np.concatenate([np.ones((1, count), dtype=bool), ~np.eye(count, dtype=bool)])
    values = runs.values(kept)
    falls = values[0] - values[1:]
    how = (
        "deleted" if request.options["replacement"] is None else f"replaced by {request.options['replacement']} tokens"
    )
    return [
        (
            falls[:, k],
            {
                "value": float(values[0, k]), "bias_share": float(values[0, k] - falls[:, k].sum()),
                "conservation_error": float("nan"), "rule": f"one of {count} {runs.units.kind} {how} at a time",
                "runs": runs.runs,
            },
        )
        for k in range(values.shape[1])
    ]  # fmt: skip


OPTIONS: Mapping[str, Any] = MappingProxyType({"replacement": None})

METHOD = Method(
    name="occlusion",
    meaning="How much the target falls if a word is taken out, or a span (leave-one-out).",
    source="Zeiler & Fergus 2014; Li et al. 2016",
    scopes=(),
    targets="required",
    signed=True,
    exact=False,
    run=run,
    options=OPTIONS,
    check=check,
    run_each=run_each,
)
