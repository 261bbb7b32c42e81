"""The page of the scope study: scores, controls and intervals; the page's text is ``scope.md.jinja``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reproduce.negation.scope_figures import TITLES, drawn
from reproduce.study.page import fill
from reproduce.study.published import LARGEST_SOURCE, NEGBERT, NEGBERT_SCOPE, ZHAO_BETHARD

__all__ = ["drawn", "page"]

Result = Mapping[str, Any]

MEASURES = {
    "weight": "weight α",
    "norm": "norm ‖α f(x)‖",
    "norm_share": "norm, share of the row",
    "weight_mean": "all heads: mean weight",
    "summed_norm": "all heads: norm of the sum",
    "summed_norm_share": "the same, share of the row",
    "summed_norm_residual": "with the residual",
    "summed_norm_residual_share": "the same, share of the row",
    "summed_norm_layernorm": "after the LayerNorm",
    "summed_norm_layernorm_share": "the same, share of the row",
    "rollout": "whole model: rollout",
    "norm_rollout": "whole model: norm rollout",
    "alti": "whole model: ALTI",
}
HEADS = ("weight", "norm", "norm_share")
DIRECTIONS = ("from the cue", "to the cue")
CONTROLS = ("distance", "distance and clause")


def page(kept: Mapping[str, Result]) -> str:
    """All kept results, in sections that docs include by name."""
    models = {name: kept[f"scope {name}"] for name in TITLES if f"scope {name}" in kept}
    largest = {name: kept[f"scope largest source {name}"] for name in TITLES if f"scope largest source {name}" in kept}
    systems = {part.removeprefix("system "): of for part, of in kept.items() if part.startswith("system ")}
    rules = kept.get("scope rules")
    return fill(
        "negation/scope.md.jinja",
        data=None if rules is None else _data(rules),
        rules=None if rules is None else [[name, *_pair(scores)] for name, scores in rules["scores"].items()],
        window=None if rules is None else rules["window"],
        negbert=f"{NEGBERT_SCOPE['token_f1'] / 100:.3f}",
        negbert_source=NEGBERT,
        systems=[[title, *_pair(scores)] for title, scores in systems.items()],
        largest=[row for name, numbers in largest.items() for row in _largest(name, numbers)],
        largest_published=[
            [name, "weight α", _number(of["mean"]), _number(of["best"])] for name, of in LARGEST_SOURCE.items()
        ],
        largest_source=ZHAO_BETHARD,
        counts=next(iter(largest.values()), None),
        answer=[_answer(name, numbers) for name, numbers in models.items()],
        chosen=[(TITLES[name], _chosen(numbers)) for name, numbers in models.items()],
        spread=[row for name, numbers in models.items() for row in _spread(name, numbers)],
        against=[row for name, numbers in models.items() for row in _against(name, numbers)],
        probes=[row for name, numbers in models.items() for row in _probes(name, numbers)],
        contrast=[row for name, numbers in models.items() for row in _contrast(name, numbers)],
        versions=models,
        train={TITLES[name]: numbers["train_sentences"] for name, numbers in models.items()},
    )


def _data(rules: Result) -> list[list[str]]:
    return [
        [split, *(f"{of[name]:,}" for name in ("sentences", "cues", "words", "inside", "before"))]
        for split, of in rules["counts"].items()
    ]


def _answer(name: str, numbers: Result) -> list[str]:
    """Best head by weight, by norm, and their difference."""
    chosen = numbers["chosen"]
    gap = numbers["difference"]["norm − weight"]
    scores = [_cell(chosen[measure][level]) for level in ("token", "scope") for measure in ("weight", "norm")]
    return [TITLES[name], *scores[:2], _cell(gap["token"], "+.3f"), *scores[2:], _cell(gap["scope"], "+.3f")]


def _chosen(numbers: Result) -> list[list[str]]:
    return [
        [MEASURES[name], _place(one), one["direction"], _number(one["dev_f1"]), *_pair(one)]
        for name, one in numbers["chosen"].items()
        if name in MEASURES
    ]


def _place(one: Result) -> str:
    if one["layer"] is None:
        return "–"
    return f"layer {one['layer']}" if one["head"] is None else f"layer {one['layer']}, head {one['head']}"


def _spread(name: str, numbers: Result) -> list[list[str]]:
    """What a head drawn at random reaches, and how often the norm of a head does better than its weight."""
    rows = []
    test = {measure: np.array([head["test"] for head in numbers["every_head"][measure]]) for measure in HEADS}
    for measure in HEADS:
        quantiles = np.quantile(test[measure], [0.05, 0.5, 0.95])
        better = "" if measure == "weight" else f"{100 * np.mean(test[measure] > test['weight']):.0f} %"
        gap = "" if measure == "weight" else f"{np.mean(test[measure] - test['weight']):+.3f}".replace("-", "−")
        rows.append(
            [TITLES[name], MEASURES[measure], *map(_number, quantiles), _number(test[measure].max()), better, gap]
        )
    return rows


def _against(name: str, numbers: Result) -> list[list[str]]:
    rows = []
    for pair, gap in numbers["difference"].items():
        first, second = pair.split(" − ")
        title = f"{MEASURES[first]} − {MEASURES.get(second, second)}"
        if first in HEADS or first in ("summed_norm", "weight_mean"):
            rows.append([TITLES[name], title, _cell(gap["token"], "+.3f"), _cell(gap["scope"], "+.3f")])
    return rows


def _probes(name: str, numbers: Result) -> list[list[str]]:
    rows = []
    for row, scores in numbers["probes"].items():
        form = "+.3f" if " − " in row else ".3f"
        rows.append([TITLES[name], row, _cell(scores["token"], form), _cell(scores["scope"], form)])
    return rows


def _contrast(name: str, numbers: Result) -> list[list[str]]:
    """How many heads or layers set words inside apart, and the best of train on test; all measures in the last control."""
    rows = []
    for direction in DIRECTIONS:
        for control in CONTROLS:
            of = numbers["contrast"][f"{direction}, {control}"]
            for measure in MEASURES if control == CONTROLS[-1] else HEADS:
                if measure not in of:
                    continue
                low = np.array(of[measure]["difference"][1])
                shares = f"{100 * np.mean(low > 0):.0f} %"
                mean = _number(float(np.mean(of[measure]["auc"])))
                best = _cell(of[measure]["test_auc"])
                rows.append([TITLES[name], direction, control, MEASURES[measure], shares, mean, best])
    return rows


def _largest(name: str, numbers: Result) -> list[list[str]]:
    """Mean over heads and best head, by weight and by norm, and the difference of the means."""
    rows = [[TITLES[name], MEASURES[of], _cell(numbers[of]["mean"]), _cell(numbers[of]["best"])] for of in HEADS[:2]]
    return [*rows, [TITLES[name], "norm − weight", _cell(numbers["difference"], "+.3f"), ""]]


def _pair(scores: Result) -> list[str]:
    return [_cell(scores["token"]), _cell(scores["scope"])]


def _number(value: float) -> str:
    return f"{value:.3f}"


def _cell(estimate: Sequence[float], form: str = ".3f") -> str:
    value, low, high = (format(number, form).replace("-", "−") for number in estimate)
    return f"{value} ({low} to {high})"
