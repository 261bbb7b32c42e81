import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_hex

from normlens.errors import InvalidInput
from normlens.figures import head_overview, mixing_ratios, report_figures, share_curves
from normlens.figures.style import NORM_COLOR, WEIGHT_COLOR
from normlens.statistics import CorpusStatistics
from normlens.statistics.report.scatter import alpha_against_norm, token_scatter


def table(*texts: xr.Dataset) -> pd.DataFrame:
    statistics = CorpusStatistics()
    for text in texts:
        statistics.add(text)
    return statistics.table()


def test_share_curves_draw_the_shares_worked_out_by_hand(by_hand: xr.Dataset) -> None:
    panels = share_curves(table(by_hand))
    assert [axes.get_title() for axes in panels] == [
        "special tokens",
        "first token",
        "punctuation",
        "other tokens",
    ]
    drawn = [[line.get_ydata()[0] for line in axes.lines] for axes in panels]
    # weight: the mean over heads of 0.5 and 0.9, 0.2 and 0.0, 0.3 and 0.1; norm: 1, 1, 2 of 4
    np.testing.assert_allclose(drawn, [[0.7, 0.25], [0.7, 0.25], [0.1, 0.25], [0.2, 0.5]])
    assert [line.get_color() for line in panels[0].lines] == [WEIGHT_COLOR, NORM_COLOR]


def test_shares_fall_back_to_the_heads_own_norms(by_hand: xr.Dataset) -> None:
    numbers = table(by_hand.drop_vars("norm"))
    [_, norm] = [line.get_ydata()[0] for line in share_curves(numbers)[0].lines]
    # α‖f(x)‖ of [CLS] over the row: 0.5 of 0.5 + 0.6 + 0.4 in head 0, 0.45 of 0.45 + 0.1 + 0 in head 1
    assert norm == pytest.approx((0.5 / 1.5 + 0.45 / 0.55) / 2)


def test_categories_that_receive_nothing_have_no_panel(by_hand: xr.Dataset) -> None:
    panels = share_curves(table(by_hand.assign_coords(source_category=("source", ["special", "other", "other"]))))
    assert [axes.get_title() for axes in panels] == ["special tokens", "first token", "other tokens"]


def test_bands_appear_with_intervals_only() -> None:
    rows = [("weight_share", "special", layer, pd.NA, 0.5, 0.4, 0.6, 9) for layer in (0, 1)]
    columns = ["quantity", "category", "layer", "head", "value", "low", "high", "n_texts"]
    [band] = share_curves(pd.DataFrame(rows, columns=columns))[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.4, 0.6)
    without = pd.DataFrame(rows, columns=columns).assign(low=np.nan, high=np.nan)
    assert not share_curves(without)[0].collections


def test_mixing_ratios_are_means_over_targets_and_skip_absent_scopes(by_hand: xr.Dataset) -> None:
    lines = mixing_ratios(table(by_hand)).lines
    assert {line.get_label(): round(line.get_ydata()[0], 9) for line in lines} == {
        "attention, by norm": 0.7,
        "residual, by norm": 0.2,
    }


def test_scatter_has_one_point_per_layer_head_and_source(random_group: xr.Dataset) -> None:
    axes = alpha_against_norm(random_group)
    points = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
    assert sum(len(collection.get_offsets()) for collection in points) == 3 * 4 * 8
    assert len({to_hex(collection.get_facecolor()[0]) for collection in points}) == 3
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_scatter_names_the_rank_correlation(by_hand: xr.Dataset) -> None:
    # head 0: α falls 0.5, 0.3, 0.2 while ‖f(x)‖ rises 1, 2, 3
    rising = by_hand.assign(vector_norm=by_hand["vector_norm"].copy(data=[[[1.0, 2.0, 3.0], [0.5, 1.0, 4.0]]]))
    axes = alpha_against_norm(rising, 0, 0)
    assert axes.get_title() == "layer 0, head 0: Spearman's ρ = −1.00"
    points = np.concatenate([collection.get_offsets() for collection in axes.collections])
    np.testing.assert_allclose(sorted(points.tolist()), [[1.0, 0.5], [2.0, 0.3], [3.0, 0.2]])


def test_scatter_leaves_out_what_has_no_logarithm(by_hand: xr.Dataset) -> None:
    axes = alpha_against_norm(by_hand, head=1)  # the source "." has α = 0 in head 1
    assert sum(len(collection.get_offsets()) for collection in axes.collections) == 2
    with pytest.raises(InvalidInput, match="positive weight"):
        alpha_against_norm(by_hand.assign(weight=0 * by_hand["weight"]))


def test_head_overview_takes_what_pandas_makes_of_a_table(by_hand: xr.Dataset) -> None:
    rows = table(by_hand)
    heads = rows[(rows["quantity"] == "weight_share") & (rows["category"] == "special") & rows["head"].notna()]
    grid = heads.set_index(["layer", "head"])["value"].to_xarray()  # its coordinates are of type object
    assert [float(text.get_text()) for text in head_overview({"weight": grid}, "share")[0].texts] == [0.5, 0.9]


def test_head_overview_draws_each_grid_on_one_scale() -> None:
    grids = {
        "share of weight": xr.DataArray([[0.1, 0.8], [0.2, np.nan]], dims=("layer", "head")),
        "share of norm": xr.DataArray([[0.1, 0.2], [0.3, 0.4]], dims=("layer", "head")),
    }
    panels = head_overview(grids, "share", percent=True)
    meshes = [next(c for c in axes.collections if isinstance(c, QuadMesh)) for axes in panels]
    assert [each.get_clim() for each in meshes] == [(0.0, 0.8), (0.0, 0.8)]
    assert [text.get_text() for text in panels[0].texts] == ["10", "80", "20"]
    assert to_hex(meshes[0].to_rgba(0.8)) == "#003a5c"
    assert to_hex(meshes[1].to_rgba(0.8)) == "#6e3000"


def test_signed_numbers_get_a_two_sided_scale() -> None:
    panels = head_overview({"ρ": xr.DataArray([[-0.5, 0.25, -0.001]], dims=("layer", "head"))}, "ρ")
    mesh = panels[0].collections[0]
    assert mesh.get_clim() == (-0.5, 0.5)
    assert [text.get_text() for text in panels[0].texts] == ["−0.50", "0.25", "0.00"]
    assert to_hex(mesh.to_rgba(0.0)) == "#ffffff"


def test_report_draws_what_the_table_has(random_group: xr.Dataset) -> None:
    other = random_group.assign(
        norm=random_group["norm"] ** 2, weight=random_group["weight"].isel(target=slice(None, None, -1))
    )
    figures = report_figures(table(random_group, other))
    assert list(figures) == [
        "share",
        "head_share_special",
        "head_share_first_token",
        "head_share_punctuation",
        "head_share_other",
        "mixing_ratio",
        "vector_norm",
        "vector_norm_variation",
        "correlation_weight_vector_norm",
    ]
    assert len(figures["share"].axes[0].collections) >= 1
    grid = figures["vector_norm"].axes[0].collections[0].get_array()
    np.testing.assert_allclose(grid, random_group["vector_norm"].mean("source"))


def test_nothing_to_draw_says_what_was_expected() -> None:
    empty = pd.DataFrame(columns=["quantity", "category", "layer", "head", "value", "low", "high", "n_texts"])
    for draw in (share_curves, mixing_ratios, report_figures):
        with pytest.raises(InvalidInput, match="expected"):
            draw(empty)
    with pytest.raises(InvalidInput, match="value is missing"):
        share_curves(empty.drop(columns="value"))
    with pytest.raises(InvalidInput, match="expected at least one grid"):
        head_overview({}, "share")
    with pytest.raises(InvalidInput, match=r"expected \('layer', 'head'\)"):
        head_overview({"x": xr.DataArray([1.0], dims="layer")}, "x")


def test_sampled_tokens_are_points_by_norm_and_weight():
    norm, weight = np.array([1.0, 2.0, 3.0, 4.0, 0.0]), np.array([0.4, 0.3, 0.1, 0.2, 0.5])
    special = np.array([True, False, False, False, False])
    tokens = pd.DataFrame({"weight": weight, "vector_norm": norm, "special": special})
    axes = token_scatter(tokens)
    points = {one.get_label(): one.get_offsets().tolist() for one in axes.collections}
    assert points == {"special tokens": [[1, 0.4]], "other tokens": [[2, 0.3], [3, 0.1], [4, 0.2]]}
    assert axes.get_title() == "4 tokens: Spearman's ρ = −0.80"
    with pytest.raises(InvalidInput, match="None of the 5 tokens"):
        token_scatter(tokens.assign(weight=0))
