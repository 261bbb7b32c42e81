"""Results of an evaluation: labeled arrays, their means with intervals, and paired differences of two methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from normlens.errors import InvalidInput
from normlens.faithfulness.erasure.design import Design
from normlens.faithfulness.erasure.erasing import Replacement
from normlens.faithfulness.erasure.trials import Verdict
from normlens.statistics import bootstrap_interval, mean_of_present

MEASURES = {
    "aopc": "higher is better",
    "accuracy": "lower is better",
    "comprehensiveness": "higher is better",
    "sufficiency": "lower is better",
    "leave_one_out": "higher is better",
}
"""The measures of an evaluation, and whether higher or lower is better."""

COLUMNS = ("method", "erasure", "measure", "value", "low", "high", "n_texts")
"""The columns of the tables, in this order."""


def dataset_of(
    rows: Sequence[Mapping[tuple[str, str], tuple[Verdict, float]]],
    wholes: Float[np.ndarray, "text class"],
    labels: Sequence[int] | None,
    methods: Sequence[str],
    design: Design,
    replacement: Replacement,
) -> xr.Dataset:
    """Arrange the verdicts on all texts.

    Parameters
    ----------
    rows
        For each text ``(method, erasure)`` to the verdict and the correlation with leave-one-out.
    wholes
        Probabilities of the classes for the whole texts.
    labels
        Correct classes; None for the predicted ones.
    methods
        Names, in the order of the result.
    design, replacement
        Kept in the attributes.
    """
    predicted = wholes.argmax(axis=1)

    def arranged(quantity: str) -> np.ndarray:
        """Numbers of all verdicts with the text last."""
        by_text = [[[getattr(row[m, how][0], quantity) for how in design.erasures] for m in methods] for row in rows]
        return np.moveaxis(np.array(by_text, dtype=np.float64), 0, -1)

    correlation = [[[row[m, how][1] for how in design.erasures] for m in methods] for row in rows]
    stepwise, single = ("attribution", "erasure", "step", "text"), ("attribution", "erasure", "text")
    drop, right = arranged("drop"), arranged("right")
    return xr.Dataset(
        {
            "drop": (stepwise, drop),
            "right": (stepwise, right),
            "aopc": (single, drop.mean(axis=2)),
            "accuracy": (single, right.mean(axis=2)),
            "comprehensiveness": (single, arranged("comprehensiveness")),
            "sufficiency": (single, arranged("sufficiency")),
            "leave_one_out": (single, np.moveaxis(np.array(correlation, dtype=np.float64), 0, -1)),
        },
        coords={
            "attribution": list(methods),
            "erasure": list(design.erasures),
            "step": list(design.steps),
            "predicted": ("text", predicted),
            "probability": ("text", wholes.max(axis=1)),
            "label": ("text", predicted if labels is None else np.asarray(labels)),
        },
        attrs={
            "by": design.by,
            "replacement": replacement.token,
            "bins": list(design.bins),
            "draws": design.draws,
            "seed": design.seed,
        },
    )


def summary(evaluation: xr.Dataset, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Average every measure over texts, with bootstrap intervals.

    Parameters
    ----------
    evaluation
        The result of :func:`normlens.faithfulness.evaluate`.
    confidence, resamples, seed
        Options of :func:`normlens.statistics.bootstrap_interval` over texts, with the same draws for every method.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`, one row per method, erasure and measure. ``n_texts`` counts the texts with a value: a
        rank correlation needs three units and scores that differ.
    """
    rows = [
        (method, erasure, measure, evaluation[measure].sel(attribution=method, erasure=erasure).values)
        for measure in MEASURES
        for method in evaluation["attribution"].values
        for erasure in evaluation["erasure"].values
    ]
    return _table(rows, confidence, resamples, seed)


def difference(
    evaluation: xr.Dataset, first: str, second: str, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Average the differences of two methods over the same texts, with bootstrap intervals.

    Parameters
    ----------
    evaluation
        The result of :func:`normlens.faithfulness.evaluate`.
    first, second
        Names of the methods; the average is of first − second.
    confidence, resamples, seed
        As in :func:`summary`.

    Raises
    ------
    InvalidInput
        If a method was not evaluated.
    """
    names = evaluation["attribution"].values.tolist()
    for name in (first, second):
        if name not in names:
            raise InvalidInput(f"Method {name!r} was not evaluated; expected one of {', '.join(names)}.")
    rows = [
        (f"{first} − {second}", erasure, measure, (one - other).sel(erasure=erasure).values)
        for measure in MEASURES
        for one, other in [(evaluation[measure].sel(attribution=first), evaluation[measure].sel(attribution=second))]
        for erasure in evaluation["erasure"].values
    ]
    return _table(rows, confidence, resamples, seed)


def _table(
    rows: Sequence[tuple[str, str, str, Float[np.ndarray, " text"]]], confidence: float, resamples: int, seed: int
) -> pd.DataFrame:
    values = np.column_stack([numbers for *_, numbers in rows])
    low, high = bootstrap_interval(values, confidence=confidence, resamples=resamples, seed=seed)
    means, present = mean_of_present(values, axis=0), np.isfinite(values).sum(axis=0)
    return pd.DataFrame(
        [
            (str(method), str(erasure), measure, means[k], low[k], high[k], int(present[k]))
            for k, (method, erasure, measure, _) in enumerate(rows)
        ],
        columns=list(COLUMNS),
    )
