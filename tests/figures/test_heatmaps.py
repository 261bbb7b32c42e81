from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from normlens.errors import InvalidInput
from normlens.figures import heat_maps

Analyses = Callable[..., xr.Dataset]


def mesh(axes: Axes) -> np.ndarray:
    return np.asarray(axes.collections[0].get_array())


def tick_texts(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def test_all_heads_show_the_mean_weight_beside_the_norm_of_the_sum(by_hand: xr.Dataset) -> None:
    weight, norm = heat_maps(by_hand, 0)[:2]
    np.testing.assert_allclose(mesh(weight)[0], [0.7, 0.2, 0.1])
    np.testing.assert_allclose(mesh(norm)[0], [1.0, 2.0, 1.0])
    assert weight.get_title().startswith("what the weights say")
    assert norm.get_title().startswith("what attention moves")


def test_one_head_shows_alpha_beside_alpha_times_the_vector_norm(by_hand: xr.Dataset) -> None:
    weight, norm = heat_maps(by_hand, 0, 1)[:2]
    np.testing.assert_allclose(mesh(weight)[2], [0.9, 0.1, 0.0])
    np.testing.assert_allclose(mesh(norm)[2], [0.45, 0.1, 0.0])


def test_of_words_the_stored_norms_are_drawn(by_hand: xr.Dataset) -> None:
    stored = xr.full_like(by_hand["weight"], 0.25)
    norm = heat_maps(by_hand.assign(weighted_norm=stored), 0, 1)[1]
    np.testing.assert_allclose(mesh(norm), 0.25)


def test_rows_can_be_shares(by_hand: xr.Dataset) -> None:
    norm = heat_maps(by_hand, 0, row_normalized=True)[1]
    np.testing.assert_allclose(mesh(norm)[1], [0.25, 0.5, 0.25])


def test_other_scopes_draw_their_own_variable(random_group: xr.Dataset) -> None:
    norm = heat_maps(random_group, 2, scope="residual")[1]
    np.testing.assert_allclose(mesh(norm), random_group["norm_residual"].sel(layer=2))


def test_the_largest_number_is_darkest_and_zero_is_white(by_hand: xr.Dataset) -> None:
    figure = heat_maps(by_hand, 0, 1)[0].figure
    figure.draw_without_rendering()
    colors = figure.axes[0].collections[0].get_facecolor()
    assert to_hex(colors[0]) == "#003a5c"
    assert to_hex(colors[2]) == "#ffffff"


def test_targets_run_down_and_sources_across(by_hand: xr.Dataset) -> None:
    axes = heat_maps(by_hand, 0)[0]
    assert axes.get_ylim() == (3, 0)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("source", "target")


def test_special_tokens_stand_out(by_hand: xr.Dataset) -> None:
    labels = heat_maps(by_hand, 0)[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["[CLS]", "word", "."]
    assert [label.get_fontstyle() for label in labels] == ["italic", "normal", "normal"]
    assert labels[0].get_color() != labels[1].get_color()


def test_awkward_tokens_are_drawn_letter_by_letter(random_analysis: Analyses) -> None:
    tokens = ["$x_1$", "$\\frac{$", "\n", " ", "\x00", "Ġthe", "▁", "灯台", "<&>", "a_very_long_token_indeed"]
    figure = heat_maps(random_analysis(1, 1, tokens), 0)[0].figure
    figure.draw_without_rendering()
    expected = ["$x_1$", "$\\frac{$", "↵", "␣", "\\x00", "Ġthe", "▁", "灯台", "<&>", "a_very_long_t…"]
    assert tick_texts(figure.axes[0]) == expected


@pytest.mark.parametrize(("tokens", "labels"), [(64, 64), (65, 33), (200, 50)])
def test_long_texts_get_thinner_labels(random_analysis: Analyses, tokens: int, labels: int) -> None:
    axes = heat_maps(random_analysis(1, 1, [f"t{place}" for place in range(tokens)]), 0)[0]
    assert len(tick_texts(axes)) == labels
    assert axes.collections[0].get_rasterized() == (tokens > 128)


def test_figures_are_unknown_to_pyplot(by_hand: xr.Dataset) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    assert isinstance(heat_maps(by_hand, 0)[0].figure, Figure)
    assert plt.get_fignums() == before


def test_missing_layer_head_scope_or_variable_is_named(by_hand: xr.Dataset) -> None:
    with pytest.raises(InvalidInput, match=r"no layer 7: expected one of \[0\]"):
        heat_maps(by_hand, 7)
    with pytest.raises(InvalidInput, match=r"no head 2: expected one of \[0, 1\]"):
        heat_maps(by_hand, 0, 2)
    with pytest.raises(InvalidInput, match="this group has attention"):
        heat_maps(by_hand, 0, scope="residual")
    with pytest.raises(InvalidInput, match="belongs to all heads"):
        heat_maps(by_hand, 0, 0, scope="residual")
    with pytest.raises(InvalidInput, match="needs weight"):
        heat_maps(by_hand.drop_vars("weight"), 0)


@pytest.mark.parametrize("token", ["a", "W" * 14])
@pytest.mark.parametrize("tokens", [3, 20, 80])
def test_nothing_is_cut_off_and_titles_stand_apart(random_analysis: Analyses, token: str, tokens: int) -> None:
    figure = heat_maps(random_analysis(1, 1, [token] * tokens), 0)[0].figure
    figure.draw_without_rendering()
    below = figure.axes[0].xaxis.label.get_window_extent()
    assert below.y0 >= 0 and figure.axes[0].yaxis.label.get_window_extent().x0 >= 0
    assert figure.texts[0].get_window_extent().y0 >= figure.axes[0].title.get_window_extent().y1


def test_the_mark_of_an_unknown_token_is_never_cut(random_analysis: Analyses) -> None:
    [axes, _] = heat_maps(random_analysis(1, 1, ["a_very_long_token_indeed [UNK]", "❤ [UNK]"]), 0)
    assert tick_texts(axes) == ["a_very_long_t… [UNK]", "❤ [UNK]"]


def test_titles_fit_the_scope_and_residuals_stand_where_they_belong(
    random_group: xr.Dataset, encoder_decoder: xr.DataTree
) -> None:
    def title(data: xr.Dataset, **choice: Any) -> list[str]:
        return heat_maps(data, 0, **choice)[1].get_title().split("\n")

    assert title(random_group) == ["what attention moves", "‖Σₕ α f(x)‖"]
    assert title(random_group, head=1) == ["what attention moves", "‖α f(x)‖"]
    assert title(random_group, scope="residual")[1] == "‖Σₕ α f(x) + x for j = i‖"
    assert title(random_group, scope="layernorm") == [
        "what the LayerNorm leaves of them", "‖LN(Σₕ α f(x) + x for j = i)‖",
    ]  # fmt: skip
    assert title(encoder_decoder["cross"].to_dataset(), scope="residual")[1] == "‖Σₕ α f(x)‖"
