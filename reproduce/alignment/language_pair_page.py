"""The page and the figure of `reproduce.alignment.language_pair`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from normlens.figures.style import INK, NORM_COLOR, drawing_style, new_figure
from reproduce.study.page import fill

REFERENCES = {"consensus": "consensus of eflomal on all text", "pivot": "eflomal over English"}
CURVES = {"eflomal": (INK, "s:"), "norm": (NORM_COLOR, "o-")}
_NAMES = {"norm": "fitted models, by norm", "weight": "fitted models, by weight"}


def page(kept: Mapping[str, Any]) -> str:
    """Lay out all measurements."""
    rows = []
    for result in _by_amount(kept):
        for row in result["rows"]:
            name = row["aligner"]
            cells = [f"{result['pairs']:,}", _NAMES.get(name, name), row["balance"]]
            for reference in REFERENCES:
                measured = row[reference]
                low, high = measured["interval"]
                cells += [f"{measured['aer']:.1f} ({low:.1f} to {high:.1f})", _apart(measured)]
            rows.append([*cells, f"{result['cpu_seconds'] / 60:.0f} min" if name != "eflomal" else ""])
    readings = [_reading(result) for result in kept.values() if "read" in result]
    return fill("alignment/language_pair.md.jinja", rows=rows, readings=readings)


def _reading(result: Mapping[str, Any]) -> list[str]:
    """A row of the table of sentences that were read."""
    counts = result["counts"]
    surplus = {side: [right - wrong for right, wrong in pairs] for side, pairs in counts.items()}
    ahead = [fitted - statistical for statistical, fitted in zip(surplus["eflomal"], surplus["models"], strict=True)]
    links = [f"{sum(right for right, _ in counts[side]):g} of {sum(map(sum, counts[side])):g}" for side in counts]
    return [
        f"{result['read']:,}", str(len(ahead)), *links, str(sum(x > 0 for x in ahead)), str(sum(x < 0 for x in ahead)),
        str(sum(x == 0 for x in ahead)),
    ]  # fmt: skip


def draw(kept: Mapping[str, Any]) -> dict[str, Figure]:
    """AER against the amount of text, by both references."""
    results = _by_amount(kept)
    with drawing_style():
        figure = new_figure(6.4, 3.0)
        for axes, (reference, title) in zip(figure.subplots(1, 2, sharey=True), REFERENCES.items(), strict=True):
            for aligner, (color, line) in CURVES.items():
                chosen = [row for one in results for row in one["rows"] if (row["aligner"], row["balance"]) in _SHOWN]
                of_aligner = [row[reference] for row in chosen if row["aligner"] == aligner]
                amounts = [result["pairs"] for result in results]
                rates = [measured["aer"] for measured in of_aligner]
                bounds = [[abs(x["interval"][k] - x["aer"]) for x in of_aligner] for k in (0, 1)]
                axes.errorbar(
                    amounts, rates, yerr=bounds, fmt=line, color=color, capsize=2, label=_NAMES.get(aligner, aligner)
                )
            axes.set(xscale="log", xlabel="pairs of sentences", title=f"against {title}")
            axes.set_xticks([result["pairs"] for result in results], [f"{result['pairs']:,}" for result in results])
            axes.minorticks_off()
            axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
        figure.axes[0].set(ylabel="AER in %", ylim=(0, None))
        figure.axes[0].legend(fontsize=7.5)
    return {"curve": figure}


_SHOWN = {("eflomal", ""), ("norm", "0")}


def _by_amount(kept: Mapping[str, Any]) -> list[Any]:
    return sorted((result for result in kept.values() if "rows" in result), key=lambda result: int(result["pairs"]))


def _apart(measured: Mapping[str, Any]) -> str:
    if "minus_eflomal" not in measured:
        return ""
    value, low, high = measured["minus_eflomal"]
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
