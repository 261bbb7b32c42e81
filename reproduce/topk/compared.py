"""Norm against weight at equal k: paired differences with intervals, and a sentence that sums them up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normlens.statistics import bootstrap_interval
from reproduce.topk.quality import values

RESAMPLES = 2000

Pair = tuple[str, str]
"""The denominator of norm, and that of weight."""

PAIRS: dict[Pair, str] = {
    ("renormalized", "renormalized"): "both renormalized",
    ("full", "full"): "both with full denominator",
    ("full", "renormalized"): "norm with full denominator, weight renormalized",
}


@dataclass(frozen=True)
class Difference:
    """Norm − weight at one k.

    Attributes
    ----------
    k
        Sources per target.
    value, low, high
        Its mean, and the 95 % interval over passages (or texts); NaN with fewer than two.
    """

    k: int
    value: float
    low: float
    high: float

    def written(self, form: str) -> str:
        """The mean, with its interval if there is one, in a format such as ``"+.3f"``."""
        interval = "" if math.isnan(self.low) else f" ({self.low:{form}} to {self.high:{form}})"
        return f"{self.value:{form}}{interval}"

    def verdict(self, higher_is_better: bool) -> str:
        """Whether norm is "better" or "worse"; "alike" where the interval includes zero, "unknown" where there is none."""
        if math.isnan(self.low):
            return "unknown"
        if not (self.low > 0 or self.high < 0):
            return "alike"
        return "better" if (self.low > 0) == higher_is_better else "worse"


def of_passages(result: Mapping[str, Any], number: str, pair: Pair) -> list[Difference]:
    """Differences of a number over passages, for each k except the one that keeps everything."""
    return [
        _difference(k, values(result, norm, number) - values(result, weight, number), result["seed"])
        for k, norm, weight in _names(result, pair)
    ]


def of_texts(result: Mapping[str, Any], pair: Pair) -> list[Difference]:
    """Differences of a classifier's accuracy over texts, in points."""
    return [
        _difference(k, 100 * (right(result, norm) - right(result, weight)), result["seed"])
        for k, norm, weight in _names(result, pair)
        if {norm, weight} <= set(result["right"])
    ]


def _names(result: Mapping[str, Any], pair: Pair) -> Iterator[tuple[int, str, str]]:
    for k in result["ks"][:-1]:
        yield k, f"norm {pair[0]} {k}", f"weight {pair[1]} {k}"


def right(result: Mapping[str, Any], name: str) -> np.ndarray:
    """1 for every text that a setting classifies correctly, 0 for the others."""
    return np.array(list(result["right"][name]), dtype=float)


def _difference(k: int, differences: np.ndarray, seed: int) -> Difference:
    low, high = bootstrap_interval(differences, resamples=RESAMPLES, seed=seed)
    return Difference(k, float(differences.mean()), float(low), float(high))


def sentence(what: str, differences: Sequence[Difference], *, higher_is_better: bool) -> str:
    """A sentence on the differences, with numbers of the table only.

    Parameters
    ----------
    what
        The compared quantity, which begins the sentence.
    differences
        Differences by k.
    higher_is_better
        Whether higher numbers are better.
    """
    ks: dict[str, list[str]] = {"better": [], "worse": [], "alike": [], "unknown": []}
    for one in differences:
        ks[one.verdict(higher_is_better)].append(str(one.k))
    clauses = []
    if ks["better"]:
        clauses.append(f"norm is **better** at k = {', '.join(ks['better'])}")
    if ks["worse"]:
        clauses.append(f"norm is **worse** at k = {', '.join(ks['worse'])}")
    if ks["alike"]:
        clauses.append(f"the interval includes zero at k = {', '.join(ks['alike'])}")
    if ks["unknown"]:
        clauses.append(f"undecided with one passage at k = {', '.join(ks['unknown'])}")
    return f"{what}: {'; '.join(clauses)}."
