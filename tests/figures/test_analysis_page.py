"""One analysis as a file: its numbers are inside, in half precision, and nothing but its own script runs."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import xarray as xr

from normlens.errors import InvalidInput
from normlens.figures import html_view
from normlens.figures.explorer_page import embedded_page
from normlens.figures.explorer_page.binary_message import decoded

Analyses = Callable[..., xr.Dataset]
HALF = 2.0**-11


class Page(HTMLParser):
    """The elements of a page, the messages inside, its style, script, title and policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("data-message") or tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data

    @property
    def policy(self) -> str:
        return next(attrs["content"] or "" for _, attrs in self.tags if attrs.get("http-equiv"))

    def message(self, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return decoded(base64.b64decode(self.texts[name]))


def tree(data: xr.Dataset, **facts: str) -> xr.DataTree:
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=facts), "/encoder": data})


def test_the_page_loads_nothing_and_runs_only_its_own_script(encoder_decoder: xr.DataTree) -> None:
    page = Page(html_view(encoder_decoder, "title"))
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-")
    for content in (page.texts["script"], page.texts["style"]):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.policy
    assert not any({"src", "href"} & attrs.keys() for _, attrs in page.tags)
    assert not re.search(r"@import|url\(", page.texts["style"])
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.tags}


def test_tokens_title_and_facts_are_data(random_analysis: Analyses) -> None:
    evil = ["</script>", "<img src=x onerror=alert(1)>", "'\"&", "<!--", "\u2028"]
    data = tree(random_analysis(1, 1, evil), model="<b>m</b>")
    page = Page(html_view(data, "</title><script>alert(1)</script>\ud800"))
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert [attrs.get("type") for attrs in scripts[:-1]] == ["application/octet-stream"] * (len(scripts) - 1)
    assert scripts[-1] == {"type": "module"}
    assert "img" not in {tag for tag, _ in page.tags}
    assert page.texts["title"] == "</title><script>alert(1)</script>\\ud800"
    facts, _ = page.message("overview")
    assert facts["model"] == "<b>m</b>"
    assert [token["text"] for token in facts["groups"][0]["sources"]] == [*evil[:4], "\\u2028"]


def test_every_map_is_inside_in_half_precision(encoder_decoder: xr.DataTree) -> None:
    page = Page(html_view(encoder_decoder, "t"))
    facts, _ = page.message("overview")
    assert [group["name"] for group in facts["groups"]] == ["encoder", "cross"]
    assert [group["crossed"] for group in facts["groups"]] == [False, True]
    assert [scope["name"] for scope in facts["groups"][1]["scopes"]] == ["attention", "residual"]
    for name in ("encoder", "cross"):
        data = encoder_decoder[name].to_dataset()
        for layer, head in ((0, 0), (1, 2)):
            _, arrays = page.message(f"map/{name}/{layer}/{head}/vector_norm")
            for key in ("weight", "vector_norm"):
                expected = data[key].sel(layer=layer, head=head).values
                assert arrays[key] == pytest.approx(expected, rel=1.01 * HALF, abs=1e-9)
            _, arrays = page.message(f"map/{name}/{layer}/all/norm")
            for scope, key in (("attention", "norm"), ("residual", "norm_residual")):
                expected = data[key].sel(layer=layer).values
                assert arrays[f"norm/{scope}"] == pytest.approx(expected, rel=1.01 * HALF, abs=1e-9)


def test_shares_are_worked_out_by_hand(by_hand: xr.Dataset) -> None:
    facts, _ = Page(html_view(tree(by_hand), "t")).message("overview")
    shares = facts["groups"][0]["shares"]["special"]
    assert shares["weight"] == pytest.approx([0.5, 0.9])
    assert shares["norm"] == pytest.approx([0.5 / 1.5, 0.45 / 0.55], rel=1e-5)
    assert facts["groups"][0]["layerShares"]["special"]["norm"] == pytest.approx([1 / 4])


def test_of_words_the_stored_norms_are_inside(random_group: xr.Dataset) -> None:
    stored = random_group["weight"] * 3
    page = Page(html_view(tree(random_group.assign(weighted_norm=stored)), "t"))
    _, arrays = page.message("map/encoder/2/3/vector_norm")
    assert arrays["weighted_norm"] == pytest.approx(stored.values[2, 3], rel=1.01 * HALF, abs=1e-9)


def test_measures_that_were_taken_can_be_chosen(random_group: xr.Dataset) -> None:
    def measures(data: xr.Dataset) -> tuple[Page, list[str], list[str]]:
        page = Page(html_view(tree(data), "t"))
        group = page.message("overview")[0]["groups"][0]
        of_heads, of_sums = ([one["name"] for one in group[key]] for key in ("headMeasures", "sumMeasures"))
        return page, of_heads, of_sums

    assert measures(random_group)[1:] == (["weighted_norm", "vector_norm"], ["norm"])
    signed = random_group["weight"] - 0.1
    further = random_group.assign(contribution_weight=signed, contribution_weight_attention=signed.mean("head"))
    page, of_heads, of_sums = measures(further)
    assert "contribution_weight" in of_heads and of_sums == ["norm", "contribution_weight"]
    _, arrays = page.message("map/encoder/1/0/contribution_weight")
    assert arrays["contribution_weight"] == pytest.approx(signed.values[1, 0], rel=1.01 * HALF, abs=1e-9)
    _, arrays = page.message("map/encoder/1/all/contribution_weight")
    expected = signed.mean("head").values[1]
    assert arrays["contribution_weight/attention"] == pytest.approx(expected, rel=1.01 * HALF, abs=1e-9)


def test_heads_that_a_layer_lacks_are_left_out(random_group: xr.Dataset) -> None:
    fewer = random_group.copy(deep=True)
    fewer["weight"][1, 3] = fewer["vector_norm"][1, 3] = np.nan
    page = Page(html_view(tree(fewer), "t"))
    facts, _ = page.message("overview")
    assert facts["groups"][0]["heads"] == [4, 3, 4]
    assert "map/encoder/1/2/vector_norm" in page.texts and "map/encoder/1/3/vector_norm" not in page.texts
    assert not np.isnan(page.message("map/encoder/1/all/norm")[1]["weight"]).any()


def test_dimensions_may_come_in_any_order(random_group: xr.Dataset) -> None:
    turned = random_group.assign(weight=random_group["weight"].transpose("source", "head", "target", "layer"))
    assert html_view(tree(turned), "t") == html_view(tree(random_group), "t")


def test_pieces_of_one_word_are_joined(random_group: xr.Dataset) -> None:
    start, end = random_group["source_start"].values.copy(), random_group["source_end"].values
    start[6] = end[5]
    joined = random_group.assign_coords(source_start=("source", start))
    tokens = Page(html_view(tree(joined), "t")).message("overview")[0]["groups"][0]["sources"]
    assert [token["text"] for token in tokens if token["joined"]] == ["##ed"]


def test_twelve_layers_of_twelve_heads_over_64_tokens_stay_below_four_megabytes(random_analysis: Analyses) -> None:
    page = html_view(tree(random_analysis(12, 12, [f"t{place}" for place in range(64)])), "t")
    assert len(page.encode()) < 4_000_000


def test_a_page_is_bounded_and_says_what_it_leaves_out(
    random_group: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Page(html_view(tree(random_group), "t"))
    assert whole.message("overview")[0]["isWhole"] is True
    of_a_layer = (4 + 4) * 64  # the mean weight and three norms, and the weights of four heads
    monkeypatch.setattr(embedded_page, "MOST_NUMBERS", of_a_layer + 5 * 64)
    page = Page(html_view(tree(random_group), "t"))
    assert page.message("overview")[0]["isWhole"] is False
    kept = sorted(name for name in page.texts if name.endswith("vector_norm"))
    assert kept == [*(f"map/encoder/0/{head}/vector_norm" for head in range(4)), "map/encoder/1/0/vector_norm"]


def test_what_is_missing_is_said(random_group: xr.Dataset) -> None:
    with pytest.raises(InvalidInput, match="no kind of attention"):
        html_view(xr.DataTree(), "t")
    with pytest.raises(InvalidInput, match="needs vector_norm"):
        html_view(tree(random_group.drop_vars("vector_norm")), "t")
