"""The page and the figure of `reproduce.evidence.table`; the page's text is ``page.md.jinja``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlens.figures.style import FAINT, INK, NORM_COLOR, WEIGHT_COLOR, drawing_style, new_figure
from normlens.statistics import bootstrap_interval
from reproduce.evidence.prompts import KINDS
from reproduce.study.page import fill

Result = Mapping[str, Any]
Cell = tuple[float, float, float]
CHANCE = "random order"
LEAVE_ONE_OUT = "leave-one-out"
BASELINES = (CHANCE, "nearest word", "first word", "longest word", LEAVE_ONE_OUT)
COMPARED = "DecompX"
"""The row compared with all others, frame by frame."""


def chance(words: int) -> tuple[float, float]:
    """Expected reciprocal rank, and expected share ranked first, in a random order of n words."""
    return float(np.mean(1 / np.arange(1, words + 1))), 1 / words


def over_frames(
    test: Result, values: Float[np.ndarray, "prompt *rest"], kind: str | None
) -> Float[np.ndarray, "frame *rest"]:
    """Means of each frame's prompts.

    Parameters
    ----------
    test
        The measured prompts.
    values
        One or more numbers for each prompt.
    kind
        Kind of the frames; None for all.
    """
    frames: dict[tuple[str, int], list[int]] = {}
    for place, prompt in enumerate(test["prompts"]):
        if kind in (None, prompt["kind"]):
            frames.setdefault((prompt["kind"], prompt["frame"]), []).append(place)
    return np.stack([values[places].mean(axis=0) for places in frames.values()])


def prompt_values(test: Result, row: str, among: str, ranking: str = "ranks") -> Float[np.ndarray, "prompt 2"]:
    """Reciprocal rank of the evidence, and whether it is ranked first, for every prompt.

    Parameters
    ----------
    test
        The measured prompts.
    row
        A method or baseline.
    among
        "all" words, or the "rest": without the first word.
    ranking
        "ranks", or "by_magnitude".
    """
    if row == CHANCE:
        return np.array([chance(prompt["words"] - (among == "rest")) for prompt in test["prompts"]])
    ranks = np.array(test[ranking][row][among], dtype=np.float64)
    return np.column_stack([1 / ranks, ranks == 1])


def cells(test: Result, row: str, among: str, kind: str | None = None, ranking: str = "ranks") -> tuple[Cell, Cell]:
    """Mean reciprocal rank and share ranked first, each with its interval over frames."""
    mrr, top = estimates(over_frames(test, prompt_values(test, row, among, ranking), kind))
    return mrr, top


def estimates(values: Float[np.ndarray, "frame column"]) -> list[Cell]:
    """Mean of every column with a 95 % interval; frames are drawn, since prompts of one frame are not independent."""
    low, high = bootstrap_interval(values, seed=0)
    return list(zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True))


def sorted_rows(test: Result) -> list[str]:
    """All rows, the highest mean reciprocal rank among all words first."""
    return sorted([*test["ranks"], CHANCE], key=lambda row: -cells(test, row, "all")[0][0])


def page(kept: Mapping[str, Result]) -> str:
    """All kept results, in sections that docs include by name."""
    test = kept["test"]
    kinds = [kind for kind in KINDS if _of_kind(test, kind)]
    return fill(
        "evidence/page.md.jinja",
        test=test,
        prompts=_prompts(test),
        examples=[(KINDS[kind], prompt) for kind in kinds for prompt in _of_kind(test, kind)[2:4]],
        table=_table(test),
        kind_columns=[heading for kind in kinds for heading in (f"{KINDS[kind]}: MRR", "first")],
        by_kind=[_by_kind(test, kinds, among) for among in ("all", "rest")],
        by_magnitude=_by_magnitude(test),
        compared=COMPARED,
        against=_against(test) if COMPARED in test["ranks"] else [],
        choose=kept.get("choose"),
        choices=[[one["row"], one["choice"], f"{one['mrr']:.3f}"] for one in kept["choose"]["candidates"]]
        if "choose" in kept
        else [],
        errors={row: f"{error:.2f}" for row, error in test["conservation_errors"].items()} if "choose" in kept else {},
    )


def _prompts(test: Result) -> list[list[str]]:
    counts = test["counts"]
    return [
        [
            title,
            *(str(counts[name][kind]) for name in ("asked", "right", "pairs")),
            str(len(_of_kind(test, kind))),
            _middle([prompt["words"] for prompt in _of_kind(test, kind)]),
            _middle([prompt["place"] + 1 for prompt in _of_kind(test, kind)]),
            _middle([prompt["words"] - prompt["place"] for prompt in _of_kind(test, kind)]),
        ]
        for kind, title in KINDS.items()
    ]


def _of_kind(test: Result, kind: str) -> list[Result]:
    return [prompt for prompt in test["prompts"] if prompt["kind"] == kind]


def _middle(numbers: Sequence[int]) -> str:
    return f"{np.median(numbers):g} ({min(numbers)} to {max(numbers)})" if numbers else "–"


def _table(test: Result) -> list[list[str]]:
    return [
        [_named(row), *(_shown(cell) for among in ("all", "rest") for cell in cells(test, row, among))]
        for row in sorted_rows(test)
    ]


def _by_kind(test: Result, kinds: Sequence[str], among: str) -> list[list[str]]:
    return [
        [_named(row), *(_shown(cell) for kind in kinds for cell in cells(test, row, among, kind))]
        for row in sorted_rows(test)
    ]


def _by_magnitude(test: Result) -> list[list[str]]:
    rows = []
    for row in (row for row in sorted_rows(test) if row in test["by_magnitude"]):
        signed, magnitude = (
            over_frames(test, prompt_values(test, row, "all", of), None) for of in ("ranks", "by_magnitude")
        )
        (mrr, top), (mrr_magnitude, top_magnitude) = estimates(signed), estimates(magnitude)
        change = estimates(magnitude - signed)[0]
        rows.append([_named(row), *map(_shown, (mrr, mrr_magnitude, change, top, top_magnitude))])
    return rows


def _against(test: Result) -> list[list[str]]:
    rows = []
    for row in (row for row in sorted_rows(test) if row != COMPARED):
        cells_of_row = []
        for among in ("all", "rest"):
            one, other = (over_frames(test, prompt_values(test, name, among), None) for name in (COMPARED, row))
            cells_of_row.append(_shown(estimates(one - other)[0], "+.2f"))
        rows.append([_named(row), *cells_of_row])
    return rows


def _named(row: str) -> str:
    return f"*{row}*" if row in BASELINES else row


def _shown(cell: Cell, form: str = ".2f") -> str:
    value, low, high = (format(number, form).replace("-", "−") for number in cell)
    return f"{value} ({low} to {high})"


def drawn(kept: Mapping[str, Result]) -> dict[str, Figure]:
    """Mean reciprocal rank by method, for all prompts together and for each kind."""
    test = kept["test"]
    rows = sorted_rows(test)
    panels: dict[str | None, str] = {None: "all prompts"}
    panels |= {kind: title for kind, title in KINDS.items() if _of_kind(test, kind)}
    with drawing_style():
        figure = new_figure(9.2, 0.24 * len(rows) + 1.2)
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (kind, title) in zip(grid, panels.items(), strict=True):
            _draw(axes, test, rows, kind)
            axes.set_title(title, fontsize=9)
        grid[0].set_yticks(range(len(rows)), rows)
        grid[0].set_ylim(len(rows) - 0.5, -0.5)
        for tick, row in zip(grid[0].get_yticklabels(), rows, strict=True):
            tick.set_color(FAINT if row in BASELINES else INK)
            tick.set_fontstyle("italic" if row in BASELINES else "normal")
        figure.supxlabel("mean reciprocal rank of the deciding word (1: always first)", fontsize=9)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return {"ranks": figure}


def _draw(axes: Axes, test: Result, rows: Sequence[str], kind: str | None) -> None:
    """One panel: a filled marker with its interval for all words, a hollow one without the first word."""
    every = np.array([cells(test, row, "all", kind)[0] for row in rows])
    rest = np.array([cells(test, row, "rest", kind)[0] for row in rows])
    heights, by_chance = np.arange(len(rows)), every[rows.index(CHANCE)][0]
    colors = [FAINT if row in BASELINES else NORM_COLOR for row in rows]
    axes.axvline(by_chance, color=FAINT, linewidth=0.8, linestyle=":", label="random order")
    for value, low, high, height, color in zip(*every.T, heights, colors, strict=True):
        axes.plot([low, high], [height, height], color=color, linewidth=1.2)
        axes.plot(value, height, "o", color=color, markersize=4.5)
    axes.plot(
        [], [], "o-", color=NORM_COLOR, markersize=4.5, linewidth=1.2, label="all words, 95 % interval over frames"
    )
    axes.plot(
        rest[:, 0], heights, "o", color=WEIGHT_COLOR, fillstyle="none", markersize=4.5, label="without the first word"
    )
    axes.set_xlim(0, 1.03)
    axes.set_xticks([0, 0.5, 1])
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
