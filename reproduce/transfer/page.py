"""The page and the figure of `reproduce.transfer.table`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from normlens.figures.style import INK, NORM_COLOR, drawing_style, new_figure
from normlens.transfer import SETTINGS
from reproduce.study.page import fill

Children = Mapping[str, Sequence[Mapping[str, Any]]]
"""By setting, the measurements of its seeds."""


def page(kept: Mapping[str, Any]) -> str:
    """Lay out all measurements."""
    parent, children = kept.get("parent"), by_setting(kept)
    if parent is None:
        return fill(
            "transfer/page.md.jinja", parent=None, rows=[], zero_shot=[], dictionary=[], aligned=[], differences=[]
        )
    rows = [
        [
            name, f"{of[0]['trained'] / of[0]['parameters']:.1%}",
            f"{of[0]['bytes'] / 1e6:.1f} ({of[0]['bytes'] / parent['bytes']:.0%})", _spread(of, lambda x: x["bleu"]),
            _spread(of, lambda x: x["chrf"]), _spread(of, lambda x: x["forgotten"]), str(len(of)),
        ]
        for name, of in children.items()
    ]  # fmt: skip
    dictionary = [
        [
            name, _spread(of, lambda x: 100 * x["dictionary"]["csls"]["at_1"]),
            _spread(of, lambda x: 100 * x["dictionary"]["csls"]["at_5"]),
            _spread(of, lambda x: 100 * x["dictionary"]["cosine"]["at_1"]),
            _spread(of, lambda x: 100 * x["dictionary"]["cosine"]["at_5"]),
        ]
        for name, of in children.items()
    ]  # fmt: skip
    counted = [of[0]["dictionary"]["csls"] for of in children.values()][:1]
    aligned = [
        [name, _spread(of, lambda x: _best(x, "norm")), _spread(of, lambda x: _best(x, "weight"))]
        for name, of in {"parent (fr–en)": [parent], **children}.items()
    ]
    return fill(
        "transfer/page.md.jinja", parent=parent, rows=rows, zero_shot=_zero_shot(kept), dictionary=dictionary,
        aligned=aligned, differences=_differences(kept), words=[x["words"] for x in counted],
        chance=[f"{100 * x[name]:.2f}" for x in counted for name in ("chance_1", "chance_5")],
        restored=[f"{x['restored']['bleu']:.1f}" for name, x in kept.items() if name.startswith("zero-shot")],
    )  # fmt: skip


def by_setting(kept: Mapping[str, Any]) -> Children:
    """The children, in the order of :data:`normlens.transfer.SETTINGS`."""
    found = {name: [x for x in kept.values() if x.get("setting") == name] for name in SETTINGS}
    return {name: sorted(of, key=lambda x: int(x["seed"])) for name, of in found.items() if of}


def draw(kept: Mapping[str, Any]) -> dict[str, Figure]:
    """Quality against the bytes that are stored."""
    children, whole = by_setting(kept), kept["parent"]["bytes"] if "parent" in kept else 1
    with drawing_style():
        figure = new_figure(5.6, 3.4)
        axes = figure.subplots()
        for name, of in children.items():
            share, values = of[0]["bytes"] / whole, [x["bleu"] for x in of]
            color = NORM_COLOR if name == "src+xattn" else INK
            axes.plot([100 * share] * len(values), values, "o", color=color, markersize=4)
            axes.annotate(
                name, (100 * share, max(values)), xytext=(4, 3), textcoords="offset points", color=color, fontsize=8
            )
        axes.set(xlabel="stored, in % of the parent", ylabel="BLEU, German to English", xlim=(0, None))
        axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    return {"stored": figure}


def _zero_shot(kept: Mapping[str, Any]) -> list[list[str]]:
    parts = [x["rows"] for name, x in kept.items() if name.startswith("zero-shot")]
    return [
        [name, _spread(of, lambda x: x["bleu"]), _spread(of, lambda x: x["chrf"]), str(len(of))]
        for name in SETTINGS
        if (of := [rows[name] for rows in parts if name in rows])
    ]


def _differences(kept: Mapping[str, Any]) -> list[list[str]]:
    """By how much the setting of the paper is ahead of each other one, with intervals."""
    compared = kept.get("differences", {"rows": {"child": {}}})["rows"]
    return [
        [f"`{name}`", *(_interval(compared[kind][name]) for kind in ("child", "forgotten", "zero_shot"))]
        for name in compared["child"]
    ]


def _interval(measured: Mapping[str, Any]) -> str:
    low, high = measured["interval"]
    return f"{measured['value']:+.1f} ({low:+.1f} to {high:+.1f})".replace("-", "−")


def _best(measured: Mapping[str, Any], measure: str) -> float:
    """The smallest AER of any layer and reading."""
    return float(min(row["aer"] for row in measured["alignment"] if row["measure"] == measure))


def _spread(measured: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float]) -> str:
    """Mean over seeds, with the smallest and the largest."""
    values = [value(one) for one in measured]
    mean = f"{sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"
