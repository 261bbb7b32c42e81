"""Pictures of word alignments: the matrix by weight beside the norm, and AER by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from normlens.errors import InvalidInput
from normlens.figures.colored_cells import draw_cells, frame_cells
from normlens.figures.panels import AxesLike, FigureSize, PanelAxes, Panels, drawing, label_ticks
from normlens.figures.style import FAINT, INK, MEASURE_COLORS, MEASURE_TITLES, ColorMap, color_bar, color_map, readable
from normlens.figures.wrapping import text_width

Cell = tuple[int, int]

_END = "(end)"
_LETTERS = 8.0  # size of the words, in points
_AXIS_LABEL = 0.3  # height of "source words" below the words, in inches
_GOLD = "#00785A"
_DASHED = (0, (2, 1.5))
_SETTING_LINES = {"awi": "-", "awo": "--"}
_SETTING_TITLES = {"awi": "AWI: target word as input", "awo": "AWO: target word as output"}


def alignment_matrices(
    weight: Float[np.ndarray, "target source+1"] | None,
    norm: Float[np.ndarray, "target source+1"] | None,
    source: Sequence[str],
    target: Sequence[str],
    *,
    sure: Collection[Cell] = (),
    possible: Collection[Cell] = (),
    title: str = "",
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
    cmap: ColorMap | None = None,
) -> PanelAxes:
    """Draw what each target word takes from each source word, by weight beside by norm, with annotated links framed.

    Parameters
    ----------
    weight, norm
        Soft alignments, one row per target word; the last column is the end of the sentence. Rows are drawn as shares.
        None for one of them leaves out its panel.
    source, target
        The words.
    sure, possible
        Annotated links as (source, target), counted from 0: framed with a solid line, and with a dashed one.
    title
        Above a new figure, or above each panel in the caller's axes.
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: what the words need.
    cmap
        Color map of all panels. Default: white to blue for weights, white to vermilion for norms.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``. A dot marks the largest cell of each row: the link that is extracted, or no link if it is the end.

    Raises
    ------
    InvalidInput
        If the shapes don't fit the words, there is nothing to draw, or `ax` doesn't have one axes per panel.
    """
    expected = len(target), len(source) + 1
    passed = {"weight": weight, "norm": norm}
    maps = {name: np.asarray(values, dtype=np.float64) for name, values in passed.items() if values is not None}
    if not maps:
        raise InvalidInput("Both weight and norm are None; expected at least one soft alignment to draw.")
    for name, values in maps.items():
        if values.shape != expected:
            raise InvalidInput(
                f"The {name} has shape {values.shape} for {len(source)} source and {len(target)} target words; expected "
                f"{expected}, with the end of the sentence in the last column."
            )
    cell = float(np.clip(0.26 * max(expected), 2.8, 7.0)) / max(expected)
    left, below = (
        max(text_width(readable(word), _LETTERS) for word in [*words, _END]) / 72 for words in (target, source)
    )
    size = len(maps) * (cell * expected[1] + 0.8) + left + 0.6, cell * expected[0] + below + (1.4 if title else 1.1)
    with drawing(ax, list(maps), size, figsize, square=True, sharey=True) as panels:
        for axes, (name, values) in zip(panels.axes, maps.items(), strict=True):
            bar = color_bar(_draw_matrix(axes, values, color_map(name, cmap)), axes)
            _frame(axes, sure, "-")
            _frame(axes, set(possible) - set(sure), _DASHED)
            axes.set_title(MEASURE_TITLES[name], color=MEASURE_COLORS[name], fontweight="bold")
            _label(axes, source, target, left=panels.labels_left(axes))
        bar.set_label("share of the target word")
        _explain(panels, below, sure=bool(sure), possible=bool(set(possible) - set(sure)))
        panels.heading(title)
    return panels.array


def aer_curves(
    table: pd.DataFrame,
    references: Mapping[str, float] | None = None,
    *,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
) -> PanelAxes:
    """Draw the alignment error rate of each layer, by weight and by norm, AWI and AWO.

    Parameters
    ----------
    table
        Columns `layer`, `measure` ("weight" or "norm"), `setting` ("awi" or "awo") and `aer` (0 to 1). Rows that differ in
        nothing else, such as random seeds, are drawn as their mean with a band from minimum to maximum.
    references
        AER of other aligners by name, drawn as horizontal lines.
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: by the number of panels.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``: one panel per setting in the table. Select rows of the table to draw one setting alone.

    Raises
    ------
    InvalidInput
        If a column is missing, there is nothing to draw, or `ax` doesn't have one axes per panel.
    """
    missing = [name for name in ("layer", "measure", "setting", "aer") if name not in table]
    if missing or not len(table):
        raise InvalidInput(
            f"The table has {len(table)} rows and lacks {', '.join(missing) or 'no column'}; expected layer, measure, "
            "setting and aer, and at least one row."
        )
    settings = [name for name in _SETTING_TITLES if name in set(table["setting"])]
    with drawing(ax, settings, (3.3 * len(settings) + 1.2, 3.3), figsize, sharey=True) as panels:
        for axes, setting in zip(panels.axes, settings, strict=True):
            for measure, color in MEASURE_COLORS.items():
                _draw_aer(axes, table[(table["setting"] == setting) & (table["measure"] == measure)], measure, color)
            _draw_references(axes, references or {})
            axes.set_title(_SETTING_TITLES[setting])
            axes.set_xlabel("layer")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
            axes.grid(axis="y", color="#E6E6E6", linewidth=0.6)
            axes.set_axisbelow(True)
            if panels.labels_left(axes):
                axes.set_ylabel("AER in %, lower is better")
        for axes in panels.axes:  # once all curves are drawn, since panels may share the axis
            axes.set_ylim(bottom=0)
        lines = [
            Line2D([], [], color=color, marker="os"[measure == "norm"], markersize=4, label=f"by {measure}")
            for measure, color in MEASURE_COLORS.items()
        ]
        panels.legend(lines, loc="outside upper center", ncols=2)
    return panels.array


def _draw_matrix(axes: Axes, values: np.ndarray, colors: Colormap) -> QuadMesh:
    total = np.nansum(values, axis=1, keepdims=True)
    rows = np.divide(values, total, out=np.full_like(values, np.nan), where=total > 0)
    mesh = draw_cells(axes, rows, colors, largest=1.0)
    for row, cells in enumerate(rows):
        if np.isfinite(cells).any():
            best = int(np.nanargmax(cells))
            axes.plot(
                best + 0.5, row + 0.5, "o", markersize=3.2, color=INK, markeredgecolor="white", markeredgewidth=0.6
            )
    axes.axvline(values.shape[1] - 1, color=FAINT, linewidth=0.8)
    frame_cells(axes)
    return mesh


def _frame(axes: Axes, cells: Collection[Cell], line: str | tuple[float, tuple[float, ...]]) -> None:
    for source, target in cells:
        axes.add_patch(
            Rectangle((source + 0.08, target + 0.08), 0.84, 0.84, fill=False, edgecolor=_GOLD, linewidth=1.4, ls=line)
        )


def _label(axes: Axes, source: Sequence[str], target: Sequence[str], *, left: bool) -> None:
    for axis, words in ((axes.xaxis, [*source, _END]), (axes.yaxis, target)):
        label_ticks(axis, [number + 0.5 for number in range(len(words))], [readable(word) for word in words])
    axes.tick_params(axis="x", labelrotation=90, labelsize=_LETTERS, length=0, pad=2)
    axes.tick_params(axis="y", labelsize=_LETTERS, length=0, pad=2, labelleft=left)
    axes.set_xlabel("source words")
    if left:
        axes.set_ylabel("target words")


def _explain(panels: Panels, below: float, *, sure: bool, possible: bool) -> None:
    """Put the legend below: cells leave no room for it; `below` inches are taken by the source words."""
    handles = _matrix_legend(sure, possible)
    if panels.is_new:
        panels.legend(handles, loc="outside lower center", ncols=3)
        return
    axes = panels.axes[0]
    figure = panels.figure
    anchor = axes.transAxes + ScaledTranslation(0, -below - _AXIS_LABEL, figure.dpi_scale_trans)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=anchor, borderaxespad=0)


def _matrix_legend(sure: bool, possible: bool) -> list[Artist]:
    lines: list[Artist] = [
        Line2D([], [], color="none", marker="o", markersize=4, markerfacecolor=INK, label="largest in its row")
    ]
    for shown, line, label in ((sure, "-", "annotated, sure"), (possible, _DASHED, "annotated, possible")):
        if shown:
            lines.append(Rectangle((0, 0), 1, 1, fill=False, edgecolor=_GOLD, linewidth=1.4, ls=line, label=label))
    return lines


def _draw_references(axes: Axes, references: Mapping[str, float]) -> None:
    """Draw the AER of other aligners as dotted lines across the panel, each named at its right end."""
    for name, value in references.items():
        axes.axhline(100 * value, color=FAINT, linewidth=1, linestyle=":")
        axes.annotate(
            name, (1, 100 * value), xycoords=("axes fraction", "data"), xytext=(-2, 2), ha="right",
            textcoords="offset points", fontsize=7.5, color="#666666",
        )  # fmt: skip


def _draw_aer(axes: Axes, rows: pd.DataFrame, measure: str, color: str) -> None:
    if not len(rows):
        return
    by_layer = 100 * rows.groupby("layer")["aer"].agg(["mean", "min", "max"])
    axes.fill_between(by_layer.index, by_layer["min"], by_layer["max"], color=color, alpha=0.2, linewidth=0)
    axes.plot(
        by_layer.index, by_layer["mean"], color=color, marker="os"[measure == "norm"], markersize=4, linewidth=1.5
    )
