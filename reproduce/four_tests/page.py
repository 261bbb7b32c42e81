"""Page and figures of the four tests, from the kept numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from normlens.faithfulness.four_tests.seeds import BINS
from normlens.figures.explanation_tests import adversary_curve, divergence_violins, guide_estimates
from normlens.figures.panels import figure_of
from reproduce.four_tests.parts import PARTS
from reproduce.study.page import fill


def page(results: Mapping[str, Any]) -> str:
    """The page of all kept parts.

    Parameters
    ----------
    results
        Part to its numbers.
    """
    parts = {name: results[name] for name in PARTS if name in results}
    return fill(
        "four_tests/page.md.jinja",
        parts=parts,
        classifiers=[_classifier_row(numbers) for numbers in parts.values()],
        moved=[_moved_row(numbers) for numbers in parts.values()],
        guides=_guide_rows(parts),
        norms=[row for numbers in parts.values() for row in _norm_rows(numbers)],
        detectors=[row for numbers in parts.values() for row in _detector_rows(numbers)],
        instances=[_instance_row(numbers) for numbers in parts.values() if numbers["instances"]],
        number=number,
    )


def draw(results: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of all kept parts, by name."""
    figures = {}
    for name in (name for name in PARTS if name in results):
        numbers = results[name]
        adversaries = [
            {"strength": row["strength"], "jsd": row["weight"]["jsd"], "tvd": row["tvd"]}
            for row in numbers["adversaries"]
        ]
        figures[f"{name}_adversaries"] = figure_of(adversary_curve(adversaries, numbers["seed_points"]))
        spread = pd.DataFrame(numbers["spread"])
        spread["bin"] = pd.cut(spread["largest"], list(BINS), include_lowest=True)
        figures[f"{name}_seeds"] = figure_of(divergence_violins(spread, numbers["classes"]))
        figures[f"{name}_guides"] = figure_of(guide_estimates(numbers["guides"]))
    return figures


def number(estimate: Mapping[str, float], digits: int = 3, *, signed: bool = False) -> str:
    """A value with its interval, such as ".752 (.741 to .764)"."""
    sign = "+" if signed else ""
    value, low, high = (f"{estimate[end]:{sign}.{digits}f}".replace("-", "−") for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _classifier_row(numbers: Mapping[str, Any]) -> list[str]:
    rows = numbers["classifiers"]
    return [
        numbers["title"],
        *(number(rows[role]["f1"]) for role in ("learned", "uniform")),
        number(numbers["uniform_less_learned"], signed=True),
        number(rows["shuffled"]["accuracy"], 2),
    ]


def _moved_row(numbers: Mapping[str, Any]) -> list[str]:
    verdict, seeds = numbers["verdict"], numbers["seeds"]
    row = [numbers["title"], *(number(seeds["weight"][name]) for name in ("jsd", "control"))]
    row.append(number(seeds["weight"]["relative"], 2))
    if verdict is None:
        return [*row, "none", "–", "–", "–"]
    keeps, outside = ("yes" if verdict[name] else "no" for name in ("keeps", "outside"))
    return [*row, f"{verdict['strength']:g}", keeps, number(verdict["jsd"]), outside]


def _guide_rows(parts: Mapping[str, Any]) -> list[list[str]]:
    """F1 less that of uniform weights, one row for each guide, one column for each part."""
    by_part = {name: {row["guide"]: row for row in numbers["guides"]} for name, numbers in parts.items()}
    names = dict.fromkeys(guide for rows in by_part.values() for guide in rows if guide != "uniform")
    uniform = ["uniform: F1", *(number(rows["uniform"]["f1"]) for rows in by_part.values())]
    others = [
        [
            guide,
            *(number(rows[guide]["less_uniform"], signed=True) if guide in rows else "" for rows in by_part.values()),
        ]
        for guide in names
    ]
    return [uniform, *others]


def _norm_rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            numbers["title"],
            name,
            *(number(row["stability"][measure], signed=True) for measure in ("relative", "kendall")),
            number(row["guidance"], signed=True) if "guidance" in row else "",
        ]
        for name, row in numbers["norms"].items()
    ]


def _detector_rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            numbers["title"],
            name,
            number(row["moved"]["relative"], signed=True),
            *(number(row["detection"][detector], 2) for detector in ("weight", "explanation", "inner")),
        ]
        for name, row in numbers["norms"].items()
        if "detection" in row
    ]


def _instance_row(numbers: Mapping[str, Any]) -> list[str]:
    names = ("permutation_tvd", "adversarial_jsd", "kendall_gradient", "kendall_leave_one_out")
    rows = numbers["instances"]
    return [numbers["title"], *(number(rows[name], 2) if name in rows else "–" for name in names)]
