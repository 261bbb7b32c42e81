"""ContextCite: a sparse linear model of an answer's log-odds, fitted to random ablations of sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from normlens.attribution.perturbation.removed_runs import RemovedRuns, check_whole_number
from normlens.attribution.perturbation.without_units import Numbers, perturbation_method
from normlens.attribution.registry import Request
from normlens.attribution.targets.answer_tokens import RowSum
from normlens.errors import InvalidInput


def _check(request: Request) -> None:
    check_whole_number("ablations", request.options["ablations"], 2)
    check_whole_number("seed", request.options["seed"], 0)
    alpha = request.options["alpha"]
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        raise InvalidInput(
            f"alpha is {alpha!r}; expected a positive number, the weight of the L1 penalty, such as 0.01."
        )


def log_odds(log_probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 − p)) of log p."""
    return log_probability - np.log(-np.expm1(np.minimum(log_probability, -1e-15)))


def lasso(kept: NDArray[np.bool_], values: NDArray[np.float64], alpha: float) -> tuple[NDArray[np.float64], float]:
    """Weights ``(unit,)`` and intercept of the sparse linear model of values ``(run,)`` by the units that were kept.

    Columns are standardized before the penalty, as usual for Lasso, and the weights are given per unit that is kept.
    """
    from sklearn.linear_model import Lasso

    columns = kept.astype(np.float64)
    mean, scale = columns.mean(0), columns.std(0)
    scale[scale == 0] = 1.0  # always or never kept in this sample: no weight
    fit = Lasso(alpha=alpha, max_iter=100_000).fit((columns - mean) / scale, values)
    weights: NDArray[np.float64] = fit.coef_ / scale
    return weights, float(fit.intercept_ - weights @ mean)


def _fitted(runs: RemovedRuns, request: Request) -> Sequence[tuple[NDArray[np.float64], Numbers]]:
    options, count = request.options, len(runs.units)
    if any(function.kind != "logprob" for function in runs.functions):
        raise InvalidInput(
            "contextcite models log-odds, which only a probability has. Explain an answer (generate= or answer=), or a "
            "target such as 'logprob: Berlin'."
        )
    generator = np.random.default_rng(options["seed"])
    kept = generator.random((options["ablations"], count)) < 0.5
    values = log_odds(runs.values(kept))
    whole = log_odds(runs.values(np.ones((1, count), dtype=bool)))[0]
    results: list[tuple[NDArray[np.float64], Numbers]] = []
    for k, function in enumerate(runs.functions):
        tokens = len(function.terms) if isinstance(function, RowSum) else 1
        weights, intercept = lasso(kept, values[:, k] / tokens, options["alpha"])
        weights, intercept = weights * tokens, intercept * tokens
        attrs = {
            "value": float(whole[k]), "bias_share": float(whole[k] - weights.sum()),
            "conservation_error": float("nan"), "intercept": intercept, "runs": runs.runs,
            "rule": f"Lasso (alpha {options['alpha']}) on the log-odds under {options['ablations']} random ablations of "
            f"{count} {runs.units.kind}",
        }  # fmt: skip
        results.append((weights, attrs))
    return results


METHOD = perturbation_method(
    "contextcite",
    "Weights of a sparse linear model of an answer's log-odds, fitted to random ablations of sentences, or spans.",
    "Cohen-Wang et al. 2024, ContextCite",
    _fitted,
    exact=False,
    options={"ablations": 32, "alpha": 0.01, "seed": 0},
    check=_check,
    default="sentences",
    target=lambda name: name.replace("log-probability", "log-odds", 1),
)
