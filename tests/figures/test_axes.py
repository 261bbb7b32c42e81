"""Figure functions draw into the caller's axes and return them; without any, they make a figure that pyplot doesn't hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlens import figures
from normlens.errors import InvalidInput
from normlens.figures.style import kept_from_the_screen
from normlens.statistics import CorpusStatistics
from normlens.statistics.report.scatter import alpha_against_norm, token_scatter

LINE = np.array([0.0, 1.0, 10.0, 11.0, 30.0])
DISTANCES = np.abs(LINE[:, None] - LINE)
SOFT = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 2.0]])
AER = pd.DataFrame({"layer": [0, 1] * 4, "measure": ["norm", "norm", "weight", "weight"] * 2, "aer": 0.3})
AER["setting"] = ["awi"] * 4 + ["awo"] * 4
GRID = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("layer", "head"))


def group() -> xr.Dataset:
    """Two layers, three heads and four sources, of which the patches 0,0 and 0,1 are two."""
    generator = np.random.default_rng(0)
    tokens = np.array(["[CLS]", "0,0", "0,1", "$x_{"], dtype=object)
    ratio = generator.uniform(0, 1, (1, 2, 4))
    return xr.Dataset(
        {
            "weight": (("layer", "head", "target", "source"), generator.dirichlet(np.ones(4), (2, 3, 4))),
            "vector_norm": (("layer", "head", "source"), generator.uniform(1, 2, (2, 3, 4))),
            "norm": (("layer", "target", "source"), generator.uniform(1, 2, (2, 4, 4))),
            "mixing_ratio": (("scope", "layer", "target"), ratio),
        },
        coords={
            "layer": [0, 1], "head": [0, 1, 2], "scope": ["attention"], "target": range(4), "source": range(4),
            "target_token": ("target", tokens), "source_token": ("source", tokens),
            "target_category": ("target", ["special"] + ["other"] * 3),
            "source_category": ("source", ["special"] + ["other"] * 3),
        },
    )  # fmt: skip


def table() -> pd.DataFrame:
    statistics = CorpusStatistics()
    statistics.add(group())
    return statistics.table()


def shares() -> xr.DataArray:
    """Signed shares of a logit, of the three words of a text."""
    labels: dict[str, Any] = {
        "_token": ["so", "un", "kind"], "_word": [0, 1, 1], "_category": ["other"] * 3,
        "_start": [0, 3, 5], "_end": [2, 5, 9], "_id": [0, 1, 2],
    }  # fmt: skip
    attrs = {"method": "decompx", "target": "logit of good", "value": 1.0, "bias_share": 0.0, "text": "so unkind"}
    coords = {f"source{name}": ("source", column) for name, column in labels.items()}
    return xr.DataArray([-1.0, 1.5, 0.5], dims="source", coords={"source": range(3), **coords}, attrs=attrs)


def reach() -> xr.Dataset:
    """What a cue, the second of three words, contributes in two layers."""
    values = np.arange(12.0).reshape(2, 2, 3)
    values[:, :, 1] = np.nan
    shape = ("direction", "layer", "word")
    return xr.Dataset(
        {"weight_mean": (shape, values), "summed_norm_share": (shape, values)},
        coords={
            "direction": ["from_cue", "to_cue"], "layer": [3, 7], "word": range(3),
            "word_text": ("word", ["is", "not", "$x_{"]), "in_cue": ("word", [False, True, False]),
        },
        attrs={"cue": "not"},
    )  # fmt: skip


TOKENS = pd.DataFrame({"weight": [0.2, 0.3], "vector_norm": [1.0, 2.0], "special": [True, False]})

Draw = Callable[..., Any]
DRAW: dict[str, tuple[int, Draw]] = {
    "heat_maps": (2, lambda **options: figures.heat_maps(group(), 0, **options)),
    "patch_maps": (2, lambda **options: figures.patch_maps(group(), 0, 1, **options)),
    "head_overview": (2, lambda **options: figures.head_overview({"weight": GRID, "norm": -GRID}, "x", **options)),
    "share_curves": (3, lambda **options: figures.share_curves(table(), **options)),
    "aer_curves": (2, lambda **options: figures.aer_curves(AER, **options)),
    "alignment_matrices": (
        2, lambda **options: figures.alignment_matrices(SOFT, SOFT, ["a", "$b_{"], ["c", "d"], sure=[(0, 0)], **options)
    ),
    "cluster_map": (2, lambda **options: figures.cluster_map(DISTANCES, [0, 0, 1, 1, -1], title="heads", **options)),
    "mixing_ratios": (1, lambda **options: figures.mixing_ratios(table(), **options)),
    "alpha_against_norm": (1, lambda **options: alpha_against_norm(group(), **options)),
    "token_scatter": (1, lambda **options: token_scatter(TOKENS, **options)),
    "scope_map": (2, lambda **options: figures.scope_map(reach(), marked=[0], **options)),
    "highlights": (1, lambda **options: figures.highlights(shares(), **options)),
}  # fmt: skip
WITH_COLORS = ["heat_maps", "patch_maps", "head_overview", "alignment_matrices", "scope_map", "highlights"]
ONE_OF_TWO = {"heat_maps": "norm", "scope_map": "norm", "patch_maps": "norm", "cluster_map": "tree"}


def bars(axes: Axes) -> set[Axes]:
    """The color bars that belong to what axes show."""
    return {shown.colorbar.ax for shown in axes.collections if getattr(shown, "colorbar", None) is not None}


def is_empty(axes: Axes) -> bool:
    return not axes.has_data() and not axes.texts and axes.get_legend() is None and axes.get_title() == ""


def drawn_axes(drawn: Any) -> list[Axes]:
    return [drawn] if isinstance(drawn, Axes) else list(drawn)


@pytest.fixture(autouse=True)
def _no_figures_of_other_tests() -> None:
    """Pyplot holds none of the figures that other tests of this process left open, such as those of a page of the docs."""
    pyplot.close("all")


@pytest.fixture
def canvas() -> Figure:
    return Figure(figsize=(16, 8), layout="constrained")


@pytest.mark.parametrize("name", DRAW)
def test_everything_is_in_the_callers_axes_and_nothing_elsewhere(name: str, canvas: Figure) -> None:
    count, draw = DRAW[name]
    own, other = canvas.subplots(2, 4)
    settings, open_figures = dict(mpl.rcParams), pyplot.get_fignums()
    drawn = draw(ax=own[0] if count == 1 else own[:count])
    assert drawn_axes(drawn) == list(own[:count])
    assert not any(map(is_empty, own[:count]))
    assert all(map(is_empty, [*own[count:], *other]))
    beside = {bar for axes in own[:count] for bar in bars(axes)}
    assert set(canvas.axes) == {*own, *other, *beside}
    assert (canvas.texts, canvas.legends, canvas.get_suptitle()) == ([], [], "")
    assert (dict(mpl.rcParams), pyplot.get_fignums()) == (settings, open_figures)
    canvas.draw_without_rendering()  # "$x_{" is no formula


@pytest.mark.parametrize("name", DRAW)
def test_without_axes_a_figure_is_made_that_pyplot_does_not_hold(name: str) -> None:
    count, draw = DRAW[name]
    drawn = drawn_axes(draw(figsize=(9, 4)))
    [figure] = {axes.figure for axes in drawn}
    assert len(drawn) == count
    assert tuple(figure.get_size_inches()) == (9, 4)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", [name for name, (count, _) in DRAW.items() if count > 1])
def test_panels_and_axes_must_be_as_many(name: str, canvas: Figure) -> None:
    count, draw = DRAW[name]
    axes = canvas.subplots(1, count + 1)
    for wrong in (axes, axes[0], [axes[0]] * count):
        with pytest.raises(InvalidInput, match=f"different axes; expected {count}, one per panel"):
            draw(ax=wrong)
    assert all(map(is_empty, axes))


@pytest.mark.parametrize("name", DRAW)
def test_what_is_no_axes_or_no_size_is_refused(name: str, canvas: Figure) -> None:
    _, draw = DRAW[name]
    with pytest.raises(InvalidInput, match="ax holds Figure; expected matplotlib axes"):
        draw(ax=canvas)
    for wrong in ((0, 4), (9, float("nan")), 9, ("wide", 4)):
        with pytest.raises(InvalidInput, match="expected width and height in inches"):
            draw(figsize=wrong)
    with pytest.raises(InvalidInput, match="Both ax and figsize"):
        draw(ax=canvas.subplots(), figsize=(9, 4))


@pytest.mark.parametrize("name", WITH_COLORS)
def test_the_callers_color_map_is_used(name: str, canvas: Figure) -> None:
    count, draw = DRAW[name]
    axes = canvas.subplots(1, count, squeeze=False)[0]
    draw(ax=axes, cmap="viridis")
    shown = [one for panel in axes for each in [panel, *panel.child_axes] for one in each.collections]
    assert {one.get_cmap().name for one in shown if one.get_array() is not None} == {"viridis"}
    for wrong in ("no such map", 3):
        with pytest.raises(InvalidInput, match="expected a"):
            draw(cmap=wrong)


@pytest.mark.parametrize(("name", "panel"), ONE_OF_TWO.items())
def test_one_panel_can_be_drawn_alone(name: str, panel: str, canvas: Figure) -> None:
    axes, both = canvas.subplots(1, 3)[0:1], canvas.subplots(1, 2)
    _, draw = DRAW[name]
    [alone] = draw(ax=axes[0], panel=panel)
    draw(ax=both)
    assert alone is axes[0]
    assert alone.get_title() == both[1].get_title()
    assert len(draw(panel=panel)) == 1
    with pytest.raises(InvalidInput, match="There is no panel 'third'; expected"):
        draw(panel="third")


def test_the_heading_of_a_figure_is_in_the_titles_of_the_callers_panels(canvas: Figure) -> None:
    one, other = canvas.subplots(1, 2)
    figures.heat_maps(group(), 0, 2, panel="norm", ax=one)
    figures.heat_maps(group(), 1, panel="norm", ax=other)
    assert one.get_title() == "layer 0, head 2\nwhat attention moves\n‖α f(x)‖"
    assert other.get_title() == "layer 1\nwhat attention moves\n‖Σₕ α f(x)‖"
    assert figures.heat_maps(group(), 0)[0].figure.get_suptitle() == "layer 0"


def test_soft_alignments_by_one_measure_need_one_axes(canvas: Figure) -> None:
    axes = canvas.subplots()
    [alone] = figures.alignment_matrices(None, SOFT, ["a", "b"], ["c", "d"], ax=axes)
    assert alone is axes
    np.testing.assert_allclose(alone.collections[0].get_array(), [[0.75, 0.25, 0], [0, 0.5, 0.5]])
    with pytest.raises(InvalidInput, match="Both weight and norm are None"):
        figures.alignment_matrices(None, None, ["a"], ["b"])


def test_highlighted_text_breaks_at_the_width_of_the_axes_and_needs_room() -> None:
    long = xr.concat([shares()] * 8, "source").assign_attrs(shares().attrs)
    long = long.assign_coords(source=range(24), source_word=("source", np.arange(24)))
    canvas = Figure(figsize=(10, 6), layout="constrained")
    narrow, wide = canvas.subplots(1, 2, width_ratios=[1, 2])
    lines = []
    for axes in (narrow, wide):
        figures.highlights(long, ax=axes)
        canvas.draw_without_rendering()
        right = max(text.get_window_extent().x1 for text in axes.texts)
        assert right <= axes.get_window_extent().x1 + 1
        lines.append(len({patch.get_y() for patch in axes.patches}))
    assert lines[0] > lines[1] > 0
    with pytest.raises(InvalidInput, match="inches; at this width it needs"):
        figures.highlights(long, figsize=(6, 1))


def test_axes_of_a_subfigure_are_drawn_into_and_saved_with_their_figure(canvas: Figure, tmp_path: Any) -> None:
    left, right = canvas.subfigures(1, 2)
    one, other = figures.mixing_ratios(table(), ax=left.subplots()), figures.mixing_ratios(table(), ax=right.subplots())
    assert (one.figure, other.figure) == (left, right)
    assert figures.save([one, other], tmp_path / "both.png").stat().st_size > 0
    with pytest.raises(InvalidInput, match="axes of one figure"):
        figures.save([one, figures.mixing_ratios(table())], tmp_path / "two.png")


def test_interactive_sessions_show_new_figures_but_none_that_are_for_files() -> None:
    with mpl.rc_context({"interactive": True}):
        axes = figures.mixing_ratios(table())
        try:
            assert pyplot.get_fignums() == [axes.figure.number]
            assert figures.report_figures(table())
            assert len(pyplot.get_fignums()) == 1
        finally:
            pyplot.close(axes.figure)


def test_a_notebook_shows_a_figure_before_pyplot_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        kernel = object()

    shell = ModuleType("IPython")
    shell.get_ipython = lambda: Session  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    before = set(pyplot.get_fignums())
    figures.highlights(shares())
    assert len(set(pyplot.get_fignums()) - before) == 1
    with kept_from_the_screen():
        figures.highlights(shares())
    assert len(set(pyplot.get_fignums()) - before) == 1
    pyplot.close("all")
    Session.kernel = None  # type: ignore[assignment]  # IPython in a terminal
    drawn = figures.highlights(shares())
    assert not pyplot.get_fignums() and drawn.figure._repr_png_()[:4] == b"\x89PNG"
