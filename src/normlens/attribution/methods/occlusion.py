"""Occlusion, leave-one-out: how much the target falls if a word, or a span, is taken out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from normlens.attribution.perturbation.removed_runs import RemovedRuns
from normlens.attribution.perturbation.without_units import Numbers, perturbation_method
from normlens.attribution.registry import Request


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


METHOD = perturbation_method(
    "occlusion",
    "How much the target falls if a word is taken out, or a span (leave-one-out).",
    "Zeiler & Fergus 2014; Li et al. 2016",
    _without_each,
    exact=False,
)
