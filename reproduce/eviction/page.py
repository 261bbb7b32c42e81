"""Page and figures of the study of eviction, from kept results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from normlens.figures.style import drawing_style, new_figure
from normlens.statistics import bootstrap_interval, rank_correlation
from reproduce.eviction.copying import QUERIES, SHARES, settings

Results = Mapping[str, Any]
_RESAMPLES = 10_000
_RIVALS = ("weight", "norm", "criticalkv", "vatp", "joint")
_MARKERS = "os^Dv<>p"
_COLORS = ("#0072B2", "#56B4E9", "#CC79A7", "#000000", "#D55E00", "#009E73", "#7A3E9D", "#8C8C8C")


def page(results: Results) -> str:
    """How displacement fares over all, then the tables, by model and test."""
    sections = [f"<!-- --8<-- [start:summary] -->\n{_summary(results)}\n<!-- --8<-- [end:summary] -->"]
    for model, kind in _tests(results):
        passages = _passages(results, model, kind)
        sections.append(
            f"<!-- --8<-- [start:{_label(model, kind)}] -->\n{_table(passages)}\n<!-- --8<-- [end:{_label(model, kind)}] -->"
        )
    return "\n\n".join(sections)


def draw(results: Results) -> dict[str, Figure]:
    """Loss rise against the meter's layer error, one point per way to choose, by model and test."""
    return {
        f"meter_{_label(model, kind)}": _scatter(_passages(results, model, kind)) for model, kind in _tests(results)
    }


def _tests(results: Results) -> list[tuple[str, str]]:
    return sorted({tuple(part.split(", ")[:2]) for part in results})  # type: ignore[misc]


def _label(model: str, kind: str) -> str:
    return f"{kind}_{model}"


def _passages(results: Results, model: str, kind: str) -> list[Mapping[str, Any]]:
    return [row for part, row in results.items() if part.startswith(f"{model}, {kind}, ")]


def _values(passages: list[Mapping[str, Any]], cell: str, number: str) -> Float[np.ndarray, " passage"]:
    return np.array([row["cells"][cell][number] for row in passages], dtype=np.float64)


def _table(passages: list[Mapping[str, Any]]) -> str:
    """Loss rise of every way to choose, and its difference from Σα with an interval, paired by passage."""
    heads = [f"{100 * share:.0f} %" for share in SHARES]
    lines = [
        f"Loss rise in nats, mean over {len(passages)} texts (loss with all pairs "
        f"{np.mean([row['loss'] for row in passages]):.3f}); below it the difference from `weight` with the same queries, "
        "with a 95 % interval paired by text.",
        "",
        f"| queries | score | {' | '.join(f'{head} kept' for head in heads)} |",
        f"| --- | --- | {' | '.join('--:' for _ in heads)} |",
    ]
    for queries, score in settings():
        lines.append(
            f"| {queries} | `{score}` | {' | '.join(_entry(passages, queries, score, share) for share in SHARES)} |"
        )
    return "\n".join([*lines, "", _against_others(passages), "", _predictive(passages)])


def _entry(passages: list[Mapping[str, Any]], queries: str, score: str, share: float) -> str:
    rise = _values(passages, f"{queries} {score} {share:g}", "rise").mean()
    if score == "weight":
        return f"{rise:.3f}"
    difference, _ = _compared(passages, share, (queries, score), ("all" if queries == "own" else queries, "weight"))
    return f"{rise:.3f}<br>{difference}"


def _summary(results: Results) -> str:
    """In how many settings displacement loses less, or more, beyond the interval."""
    lines = [
        "Settings (model, test, queries, share) in which `displacement` loses less, or more, than another score, beyond the "
        "95 % interval.",
        "",
        "| score | settings | loses less | loses more | neither |",
        "| --- | --: | --: | --: | --: |",
    ]
    tests = [_passages(results, model, kind) for model, kind in _tests(results)]
    for score in _RIVALS:
        intervals = [
            _difference(passages, share, (queries, "displacement"), (queries, score))[1:3]
            for passages in tests
            for queries in QUERIES
            for share in SHARES
        ]
        less, more = sum(high < 0 for _, high in intervals), sum(low > 0 for low, _ in intervals)
        lines.append(f"| `{score}` | {len(intervals)} | {less} | {more} | {len(intervals) - less - more} |")
    return "\n".join(lines)


def _compared(
    passages: list[Mapping[str, Any]], share: float, one: tuple[str, str], other: tuple[str, str]
) -> tuple[str, float]:
    """The mean difference of two loss rises with its interval, and the share of texts in which the first is smaller."""
    mean, low, high, smaller = _difference(passages, share, one, other)
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]", smaller


def _difference(
    passages: list[Mapping[str, Any]], share: float, one: tuple[str, str], other: tuple[str, str]
) -> tuple[float, float, float, float]:
    """The mean difference of two loss rises, its interval, and the share of texts in which the first is smaller."""
    first, second = (_values(passages, f"{queries} {score} {share:g}", "rise") for queries, score in (one, other))
    gap = first - second
    low, high = (float(x[0]) for x in bootstrap_interval(gap[:, None], seed=0, resamples=_RESAMPLES))
    return float(gap.mean()), low, high, float((gap < 0).mean())


def _against_others(passages: list[Mapping[str, Any]]) -> str:
    """Displacement against the scores that are nearest to it, with the same queries."""
    lines = [
        "Loss rise by `displacement` minus that by another score, with the same queries; in parentheses the texts in which "
        "`displacement` loses less.",
        "",
        f"| queries | kept | {' | '.join(f'minus `{score}`' for score in _RIVALS)} |",
        f"| --- | --: | {' | '.join('--:' for _ in _RIVALS)} |",
    ]
    for queries in QUERIES:
        for share in SHARES:
            pairs = [_compared(passages, share, (queries, "displacement"), (queries, score)) for score in _RIVALS]
            cells = " | ".join(f"{difference} ({100 * smaller:.0f} %)" for difference, smaller in pairs)
            lines.append(f"| {queries} | {100 * share:.0f} % | {cells} |")
    return "\n".join(lines)


def _predictive(passages: list[Mapping[str, Any]]) -> str:
    """How the meter's layer error ranks the scores; only scores whose error is that of the same queries can be ranked."""
    parts = []
    for queries, name in (("all", "all queries"), ("last", "the last 64")):
        for share in SHARES:
            cells = [f"{one} {score} {share:g}" for one, score in settings() if one == queries]
            error, rise = (np.array([_values(passages, cell, x) for cell in cells]).T for x in ("layer_error", "rise"))
            by_text = np.array([rank_correlation(e[None], r)[0] for e, r in zip(error, rise, strict=True)])
            low, high = (float(x[0]) for x in bootstrap_interval(by_text[:, None], seed=0, resamples=_RESAMPLES))
            parts.append(f"{by_text.mean():.2f} [{low:.2f}, {high:.2f}] at {100 * share:.0f} % by {name}")
    return (
        "Rank correlation of the meter's layer error with the loss rise, within a text, over the scores: "
        + "; ".join(parts)
        + "."
    )


def _scatter(passages: list[Mapping[str, Any]]) -> Figure:
    """The scores from all queries, and at random: the mean over texts."""
    chosen = [(queries, score) for queries, score in settings() if queries == "all" or score == "random"]
    with drawing_style():
        figure = new_figure(7.6, 3.1)
        for axes, share in zip(figure.subplots(1, len(SHARES)), SHARES, strict=True):
            for number, (queries, score) in enumerate(chosen):
                cell = f"{queries} {score} {share:g}"
                error, rise = (_values(passages, cell, value).mean() for value in ("layer_error", "rise"))
                axes.plot(error, rise, _MARKERS[number], color=_COLORS[number], markersize=6, label=score)
            axes.set_title(f"{100 * share:.0f} % kept", fontsize=9)
            axes.set_xlabel("layer error")
        figure.axes[0].set_ylabel("loss rise (nats)")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure
