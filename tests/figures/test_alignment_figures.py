"""Pictures of alignments show the numbers of their alignments."""

import re

import numpy as np
import pandas as pd
import pytest

from normlens.errors import InvalidInput
from normlens.figures.alignment_panels import aer_curves, alignment_matrices
from normlens.figures.link_lines import LinkedPair, links_page

SOURCE, TARGET = ["das", "$haus_x$"], ["the", "house", "!"]
WEIGHT = np.array([[1.0, 1, 2], [0, 3, 1], [np.nan] * 3])
NORM = np.array([[4.0, 1, 0], [1, 8, 1], [np.nan] * 3])


def test_matrices_show_shares_and_mark_the_largest() -> None:
    panels = alignment_matrices(WEIGHT, NORM, SOURCE, TARGET, sure=[(0, 0)], possible=[(0, 0), (1, 2)])
    weight, norm = panels
    figure = weight.figure
    _, _, *bars = figure.axes

    shown = weight.collections[0].get_array()
    np.testing.assert_allclose(shown[:2], [[0.25, 0.25, 0.5], [0, 0.75, 0.25]])
    assert np.ma.getmaskarray(shown)[2].all()
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in norm.lines if line.get_marker() == "o"]
    assert dots == [(0.5, 0.5), (1.5, 1.5)]
    assert [patch.get_xy() for patch in norm.patches] == [(0.08, 0.08), (1.08, 2.08)]
    figure.canvas.draw()
    assert (weight.get_xlabel(), weight.get_ylabel()) == ("source words", "target words")
    assert (len(bars), bars[-1].get_ylabel()) == (2, "share of the target word")


@pytest.mark.parametrize("words", [3, 25])
def test_titles_and_words_of_matrices_stand_apart(words: int) -> None:
    shares = np.full((words, words + 1), 1.0)
    figure = alignment_matrices(shares, shares, ["Schifffahrt"] * words, ["word"] * words, title="layer 2")[0].figure
    figure.draw_without_rendering()
    title, weight = figure.texts[0].get_window_extent(), figure.axes[0]
    assert title.y0 >= weight.title.get_window_extent().y1
    assert title.y0 - weight.title.get_window_extent().y1 < 2 * title.height
    assert weight.xaxis.label.get_window_extent().y0 >= figure.legends[0].get_window_extent().y1


def test_matrices_that_do_not_fit_the_words_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"expected \(3, 3\)"):
        alignment_matrices(WEIGHT[:, :2], NORM, SOURCE, TARGET)


def test_curves_are_means_over_seeds_in_percent() -> None:
    table = pd.DataFrame({"layer": [0, 1, 0, 1], "measure": "norm", "setting": "awi", "aer": [0.2, 0.5, 0.4, 0.7]})
    [axes] = aer_curves(table, {"fast_align": 0.3})

    np.testing.assert_allclose(axes.lines[0].get_ydata(), [30, 60])
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [30, 30])
    assert [text.get_text() for text in axes.texts] == ["fast_align"]
    with pytest.raises(InvalidInput, match="lacks aer"):
        aer_curves(table.drop(columns="aer"))


def test_a_page_draws_every_link_between_its_words_and_escapes_them() -> None:
    pair = LinkedPair(
        ["<b>", "haus"], ["house"], [(1, 0, 0.9, True), (0, 0, 0.1, False)], "line 3", gold=[(1, 0), (0, 0)]
    )
    missed = LinkedPair(["a", "b"], ["c"], [(0, 0, 1.0, True)], gold=[(1, 0)])
    page = links_page([pair, missed], "My <links>")

    places = {
        name: float(x) for x, name in re.findall(r'<text x="([\d.]+)" y="\d+" data-w="(\w+)"', page.split("</svg>")[0])
    }
    paths = re.findall(
        r'data-s="(\w+)" data-t="(\w+)" d="M([\d.]+) .* ([\d.]+) [\d.]+">',
        page.split("</svg>")[0].replace("<path", "\n<path"),
    )
    assert [(source, target) for source, target, _, _ in paths] == [("s1", "t0"), ("s0", "t0")]
    for source, target, begins, ends in paths:
        assert float(begins) == places[source]
        assert float(ends) == places[target]
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "My &lt;links&gt;" in page
    assert page.count('class="missed"') == 1
    assert page.count("stroke:#9A9A9A") == 1
    assert page.count("stroke-dasharray:5 3") == 1
