"""How many sources a target needs, by layer and head: counted by `normlens.topk.needs` for `reproduce.topk.table`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from normlens import Lens
from normlens.statistics import bootstrap_interval
from normlens.topk.needs import COUNTS, Passages, count_sources, predicts_tokens

WITHIN, SHARE, TARGETS = 0.1, 0.9, 32
"""A head's vector within 10 % of its length, or 90 % of the weight or norm; and the number of targets per passage."""


def needed(lens: Lens, passages: Passages, seed: int) -> dict[str, Any]:
    """Count the sources of some targets of each passage; of a decoder, targets of its second half.

    Parameters
    ----------
    lens, passages
        The model and its passages.
    seed
        Random seed of the bootstrap over passages.

    Returns
    -------
    dict
        By count: "median" over targets by layer and head, "mean" and "quantiles" (50, 90, 99 %) over everything; and the
        mean "difference" norm − weight with its interval.
    """
    start = time.perf_counter()
    tokens = passages.tokens
    first = tokens // 2 if predicts_tokens(lens.model) else 0
    targets = np.unique(np.linspace(first, tokens - 1, TARGETS).astype(int)).tolist()
    runs = [
        count_sources(lens, {"input_ids": ids[None]}, within=WITHIN, share=SHARE, targets=targets)
        for ids in passages.ids
    ]
    # (passage, layer, head, target)
    counts = {n: np.array([[own[n][0].numpy() for own in run.values()] for run in runs]) for n in COUNTS}
    pairs = (("weight", "norm"), ("weight renormalized", "norm renormalized"), ("weight share", "norm share"))
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "tokens": tokens,
        "passages": len(passages),
        "first_target": first,
        "targets": len(targets),
        "counts": {
            name: {
                "median": np.median(count, axis=(0, 3)).tolist(),
                "mean": float(count.mean()),
                "quantiles": np.quantile(count, [0.5, 0.9, 0.99]).tolist(),
            }
            for name, count in counts.items()
        },
        "difference": {norm: _difference(counts[norm], counts[weight], seed) for weight, norm in pairs},
    }


def _difference(norm: np.ndarray, weight: np.ndarray, seed: int) -> list[float]:
    """Mean of norm − weight, and its interval over passages."""
    differences = (norm - weight).mean(axis=(1, 2, 3))
    low, high = bootstrap_interval(differences, seed=seed)
    return [float(differences.mean()), float(low), float(high)]
