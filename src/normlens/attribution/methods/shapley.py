"""Shapley values by sampling orders in which words, or spans, are added to the text, through captum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normlens.attribution.methods.embedding_function import captum_class
from normlens.attribution.perturbation.removed_runs import RemovedRuns, check_whole_number
from normlens.attribution.perturbation.without_units import Numbers, perturbation_method
from normlens.attribution.registry import Request


def _check(request: Request) -> None:
    check_whole_number("samples", request.options["samples"], 1)
    check_whole_number("seed", request.options["seed"], 0)


def _sampled(runs: RemovedRuns, request: Request) -> Sequence[tuple[NDArray[np.float64], Numbers]]:
    count, samples = len(runs.units), request.options["samples"]
    explainer = captum_class("ShapleyValueSampling")
    ends = runs.values(np.array([[True] * count, [False] * count]))
    results: list[tuple[NDArray[np.float64], Numbers]] = []
    for k in range(ends.shape[1]):

        def value(kept: Tensor, k: int = k) -> Tensor:
            return torch.from_numpy(runs.values(kept.numpy() > 0)[:, k])

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.options["seed"])  # the same orders for every target, so that runs are shared
            values = explainer(value).attribute(
                torch.ones(1, count, dtype=torch.float64), baselines=0, n_samples=samples, perturbations_per_eval=8
            )
        shares = values[0].double().numpy()
        whole, nothing = float(ends[0, k]), float(ends[1, k])
        gap, scale = abs(whole - nothing - float(shares.sum())), float(np.abs(shares).sum()) + abs(nothing)
        attrs = {
            "value": whole, "bias_share": nothing, "conservation_error": gap / scale if scale else 0.0,
            "rule": f"{samples} orders of {count} {runs.units.kind}; bias_share is the target's value without any of them",
            "runs": runs.runs,
        }  # fmt: skip
        results.append((shares, attrs))
    return results


METHOD = perturbation_method(
    "shapley",
    "The mean change of the target when a word, or a span, is added to others, over random orders.",
    "Castro et al. 2009; Štrumbelj & Kononenko 2010",
    _sampled,
    exact=True,
    options={"samples": 25, "seed": 0},
    check=_check,
)
