"""Highlighted text: which numbers, which colors, which words; and that a page holds nothing foreign."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.patches import FancyBboxPatch

from normlens import figures
from normlens.errors import InvalidInput
from normlens.figures.highlights_layout import NOTE
from normlens.figures.wrapping import text_width, wrapped
from normlens.words import merge_shares

TEXT = "so unkind, no"
TOKENS = ["[CLS]", "so", "un", "kind", ",", "no", "[SEP]"]
WORDS = [-1, 0, 1, 1, 2, 3, -1]
SPANS = [(0, 0), (0, 2), (3, 5), (5, 9), (9, 10), (11, 13), (0, 0)]
KINDS = ["special", "other", "other", "other", "punctuation", "other", "special"]
SHARES = [0.5, -1.0, 2.5, 1.5, 0.25, 0.0, 0.25]


def labels(side: str) -> dict[str, Any]:
    columns = {
        "": np.arange(7), "_token": np.array(TOKENS), "_word": WORDS, "_category": KINDS,
        "_start": [start for start, _ in SPANS], "_end": [end for _, end in SPANS], "_id": np.arange(7),
    }  # fmt: skip
    return {side + name: (side, column) for name, column in columns.items()}


@pytest.fixture
def shares() -> xr.DataArray:
    """Shares of a logit of 3, with a bias of −1: 4 + (−1)."""
    attrs = {
        "method": "decompx", "scope": "", "target": "logit of good", "value": 3.0, "bias_share": -1.0, "text": TEXT,
        "conservation_error": 1e-8, "remainder": 0.0, "model": "tiny",
    }  # fmt: skip
    return xr.DataArray(SHARES, dims="source", coords=labels("source"), attrs=attrs)


@pytest.fixture
def flow() -> xr.DataArray:
    """A map whose rows add up to one, and which looks ahead; row k gives a half to source k."""
    attrs = {"method": "norm_rollout", "scope": "encoder", "text": TEXT, "value": np.nan, "bias_share": np.nan}
    values = np.full((7, 7), 1 / 14) + np.eye(7) * 0.5
    coords = {**labels("target"), **labels("source")}
    return xr.DataArray(values, dims=("target", "source"), coords=coords, attrs=attrs)


def written(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def backgrounds(axes: Axes) -> list[tuple[float, ...]]:
    """Colors of the words' boxes, from left to right; those that stand apart have none."""
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    colors = [to_rgba(box.get_facecolor()) for box in boxes]
    return [color[:3] for color in colors if color[3] > 0]


def test_shares_of_pieces_are_added_up_and_labeled(shares: xr.DataArray) -> None:
    merged = merge_shares(shares)
    assert merged.values.tolist() == [0.5, -1.0, 4.0, 0.25, 0.0, 0.25]
    assert merged["source_token"].values.tolist() == ["[CLS]", "so", "unkind", ",", "no", "[SEP]"]
    assert merged["source_word"].values.tolist() == [-1, 0, 1, 2, 3, -1]
    assert merged["source_start"].values.tolist() == [0, 0, 3, 9, 11, 0]
    assert merged["source_end"].values.tolist() == [0, 2, 9, 10, 13, 0]
    assert merged.attrs == shares.attrs


def test_maps_are_merged_along_their_sources_alone(flow: xr.DataArray) -> None:
    merged = merge_shares(flow.transpose("source", "target"))
    assert merged.dims == ("target", "source")
    np.testing.assert_allclose(merged.sum("source"), 1)
    np.testing.assert_allclose(merged.values[2], [1 / 14, 1 / 14, 1 / 7 + 0.5, *[1 / 14] * 3])
    assert merged["target_token"].values.tolist() == TOKENS


def test_what_has_no_words_is_not_merged(shares: xr.DataArray) -> None:
    with pytest.raises(InvalidInput, match="lacks source_word"):
        merge_shares(shares.drop_vars("source_word"))
    with pytest.raises(InvalidInput, match="dimensions target"):
        merge_shares(shares.rename(source="target"))


def test_a_scored_text_adds_up(shares: xr.DataArray) -> None:
    text = figures.scored_text(shares)
    assert [(word.text, word.share, word.joined) for word in text.words[1:5]] == [
        ("so", -1.0, False), ("unkind", 4.0, False), (",", 0.25, True), ("no", 0.0, False),
    ]  # fmt: skip
    assert (text.signed, text.unit, text.explained, text.apart) == (True, "logits", "logit of good", (("bias", -1.0),))
    assert text.balance == "3.00 = shares 4.00 + bias −1.00"
    assert [text.words[k].text for k in text.strongest(2)] == ["unkind", "so"]
    assert [text.strength(word) for word in text.words] == [0, -0.25, 1, 0.0625, 0, 0]


def test_special_tokens_do_not_set_the_scale(shares: xr.DataArray) -> None:
    shares[0] = 100.0
    assert figures.scored_text(shares).largest == 4.0
    shares[1:] = 0.0
    assert figures.scored_text(shares).largest == 1.0


def test_components_are_added_up(shares: xr.DataArray) -> None:
    components = xr.concat([shares * 0.25, shares * 0.75], "component").assign_attrs(shares.attrs)
    assert figures.scored_text(components) == figures.scored_text(shares)


def test_leftovers_of_inexact_methods_are_no_bias(shares: xr.DataArray) -> None:
    guessed = shares.assign_attrs(conservation_error=np.nan, remainder=-0.5)
    assert figures.scored_text(guessed).apart == (("left over", -1.0), ("remainder", -0.5))
    rounded = shares.assign_attrs(remainder=-3e-7)
    assert figures.scored_text(rounded).apart == (("bias", -1.0),)
    assert not any("remainder" in text for text in written(figures.highlights(rounded)))
    assert figures.scored_text(shares.assign_attrs(method="integrated_gradients")).apart == (("baseline", -1.0),)


@pytest.mark.parametrize(("row", "place"), [(None, 0), (3, 3), (-2, 5)])
def test_a_row_of_a_map_is_shown(row: int | None, place: int, flow: xr.DataArray) -> None:
    text = figures.scored_text(flow, row)
    assert text.explained == f"position {place} ({TOKENS[place]!r})"
    assert (text.signed, text.unit, text.balance) == (False, "share", "")
    halves = [word.text for word in text.words if word.share > 0.5]
    assert halves == [["[CLS]", "so", "unkind", "unkind", ",", "no", "[SEP]"][place]]


def test_a_decoders_last_row_and_the_mean_of_all_rows(flow: xr.DataArray) -> None:
    assert figures.scored_text(flow.copy(data=np.tril(flow))).explained == "position 6 ('[SEP]')"
    mean = figures.scored_text(flow, "mean")
    np.testing.assert_allclose([word.share for word in mean.words], [1 / 7, 1 / 7, 2 / 7, 1 / 7, 1 / 7, 1 / 7])
    assert mean.written(2 / 7) == "29 %"


def test_norms_are_no_shares(flow: xr.DataArray) -> None:
    bias = {"target_bias_norm": ("target", np.full(7, 3.5))}
    norms = (5 * flow).assign_coords(bias).assign_attrs(flow.attrs, value=22.0, bias_share=19.0)
    text = figures.scored_text(norms)
    assert (text.unit, text.apart, text.balance) == ("norm", (), "")
    assert (
        written(figures.highlights(norms))[1]
        == "norm_rollout (scope encoder): lengths of vectors (norms), which don't add up"
    )
    page = figures.highlights_page(norms)
    assert "which don&#39;t add up" in page
    assert "of the sum" not in page and "bias" not in page.split("</style>")[1]
    assert figures.scored_text(flow).note == ""


@pytest.mark.parametrize("row", [7, -8, "last", True])
def test_rows_that_are_not_there_are_refused(row: Any, flow: xr.DataArray) -> None:
    with pytest.raises(InvalidInput, match=r"no row .* 0 to 6"):
        figures.highlights(flow, row=row)


def test_other_dimensions_and_nothing_are_refused(flow: xr.DataArray) -> None:
    with pytest.raises(InvalidInput, match=r"\(layer, target, source\).*Choose one layer"):
        figures.highlights_page(flow.expand_dims("layer"))
    with pytest.raises(InvalidInput, match="at least one"):
        figures.highlights([])


@pytest.mark.parametrize(
    ("largest", "number", "expected"),
    [(5.09, 0.359, "+0.36"), (0.034, -0.0012, "−0.0012"), (120.0, 3.2, "+3"), (5.0, -0.001, "0.00"), (1, np.nan, "–")],
)
def test_numbers_have_three_digits_of_the_largest(largest: float, number: float, expected: str) -> None:
    text = figures.ScoredText("m", "t", (figures.ScoredWord("w", largest),), True, "logits")
    assert text.written(number) == expected


def test_colors_tell_the_sign_and_letters_stay_readable() -> None:
    red, _, blue = to_rgb(figures.highlight_colors(0.5, signed=True)[0])
    assert blue > red
    red, _, blue = to_rgb(figures.highlight_colors(-0.5, signed=True)[0])
    assert red > blue
    assert figures.highlight_colors(1.0, signed=True)[1] == figures.highlight_colors(1.0, signed=False)[1] == "#ffffff"
    assert figures.highlight_colors(0.0, signed=False) == ("#ffffff", "#222222")
    assert figures.highlight_colors(float("nan"), signed=True)[0] == "#DDDDDD"


def test_the_picture_shows_words_numbers_and_bias(shares: xr.DataArray) -> None:
    axes = figures.highlights(shares)
    shown = written(axes)
    assert shown[:2] == ["logit of good", "decompx: 3.00 = shares 4.00 + bias −1.00"]
    assert shown[2:] == [
        "[CLS]", "+0.50", "so", "−1.00", "unkind", "+4.00", ",", "+0.25", "no", "[SEP]", "+0.25", "bias −1.00", NOTE,
    ]  # fmt: skip
    expected = [figures.highlight_colors(strength, signed=True)[0] for strength in (-0.25, 1.0, 0.0625)]
    assert backgrounds(axes) == [to_rgb(color) for color in expected]
    assert [label.get_text() for label in axes.child_axes[0].get_xticklabels()] == ["−4.00", "0", "+4.00"]


def test_methods_stand_under_each_other_with_a_scale_for_each_kind(shares: xr.DataArray, flow: xr.DataArray) -> None:
    axes = figures.highlights([shares, flow], title="Compared")
    shown = written(axes)
    assert shown[0] == "Compared"
    assert shown.count("unkind") == 2
    assert "norm_rollout" in shown
    (one, other) = (text for text in axes.texts if text.get_text() == "unkind")
    assert one.get_position()[0] == other.get_position()[0]
    assert one.get_position()[1] < other.get_position()[1]
    ticks = [[label.get_text() for label in scale.get_xticklabels()] for scale in axes.child_axes]
    assert ticks == [["−1", "0", "1"], ["0", "1"]]


def test_pictures_are_saved_with_any_letters(shares: xr.DataArray, tmp_path: Path) -> None:
    odd = shares.assign_coords(source_token=("source", ["[CLS]", "$x_1$", "\n", "\x1b", "日", "", "[SEP]"]))
    assert figures.save(figures.highlights([odd, odd]), tmp_path / "odd.svg").stat().st_size > 0
    assert "$x_1$" in (tmp_path / "odd.svg").read_text(encoding="utf-8")
    nothing = shares.copy(data=np.full(7, np.nan))
    assert figures.save(figures.highlights(nothing), tmp_path / "nan.png").stat().st_size > 0


def test_long_texts_are_wrapped_within_the_picture(shares: xr.DataArray) -> None:
    long = xr.concat([shares] * 12, "source").assign_attrs(shares.attrs)
    long = long.assign_coords(source_word=("source", np.arange(84)), source=np.arange(84))
    axes = figures.highlights(long)
    figure = axes.figure
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert max(box.get_x() + box.get_width() for box in boxes) <= 72 * figure.get_figwidth() - 14
    assert len({box.get_y() for box in boxes}) > 2
    assert max(box.get_y() + box.get_height() for box in boxes) < 72 * figure.get_figheight()


def test_boxes_wrap_where_the_line_ends_and_where_they_must() -> None:
    boxes = wrapped([4, 4, 20, 3, 3], [0, 1, 1, 1, 1], 10, [False, False, False, False, True])
    assert [(box.line, box.left) for box in boxes] == [(0, 0), (0, 5), (1, 0), (2, 0), (3, 0)]
    assert text_width("mm", 10) == pytest.approx(2 * text_width("m", 10), rel=0.05)
    assert text_width("m", 10, bold=True) > text_width("m", 10)


class Page(HTMLParser):
    """Tags and the words with their styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_and_shows_every_number(shares: xr.DataArray, flow: xr.DataArray) -> None:
    page = figures.highlights_page([shares, flow])
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in parsed.tags}
    policy = next(attrs["content"] for _, attrs in parsed.tags if attrs.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    words = [attrs for _, attrs in parsed.tags if (attrs.get("class") or "").startswith("word ")]
    assert [word["style"] for word in words[:6]] == [
        f"--s:{s}" for s in ("0.000", "0.250", "1.000", "0.062", "0.000", "0.000")
    ]
    assert [word["class"] for word in words[:4]] == [
        "word for special", "word against", "word for strong", "word for joined",
    ]  # fmt: skip
    assert "+4.00 logits, 67 % of the sum of absolute values" in page
    assert "3.00 = shares 4.00 + bias −1.00" in page
    assert "conservation error 1e-08" in page


def test_tokens_of_a_page_are_escaped(shares: xr.DataArray) -> None:
    evil = ["</style>", "<img src=x>", "'\"&", "<!--", "\u2028", "a", "b"]
    page = figures.highlights_page(shares.assign_coords(source_token=("source", evil)), title="<b>")
    assert not {"img", "b"} & {tag for tag, _ in Page(page).tags}
    page.encode("utf-8")


def test_joiners_inside_words_are_written_as_they_are(shares: xr.DataArray, tmp_path: Path) -> None:
    words = ["[CLS]", "\U0001f469\u200d\U0001f467", "می\u200cخواهم", "\u200d", "a\u202eb", "", "[SEP]"]
    odd = shares.assign_coords(source_token=("source", words), source_word=("source", np.arange(7)))
    drawing = figures.save(figures.highlights(odd), tmp_path / "odd.svg").read_text(encoding="utf-8")
    for text in (drawing, figures.highlights_page(odd)):
        assert all(word in text for word in words[1:3])
        assert "\u202e" not in text and "\\u200d" in text
