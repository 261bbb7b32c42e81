import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import xarray as xr

from normlens.errors import InvalidInput
from normlens.figures import analysis_page, html_view

Analyses = Callable[..., xr.Dataset]


class Page(HTMLParser):
    """The elements of a page, and the text inside its data element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.payload = self.heading = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = "payload" if dict(attrs).get("id") == "payload" else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "payload":
            self.payload += data
        elif self._inside == "h1":
            self.heading += data


def tree(data: xr.Dataset, **facts: str) -> xr.DataTree:
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=facts), "/encoder": data})


def groups(page: str) -> list[dict[str, Any]]:
    payload: list[dict[str, Any]] = json.loads(Page(page).payload)["groups"]
    return payload


def decoded(packed: dict[str, Any]) -> np.ndarray:
    half = np.frombuffer(base64.b64decode(packed["data"]), dtype="<f2")
    return packed["scale"] * half.astype(np.float64).reshape(packed["shape"])


def test_the_page_refers_to_nothing_outside(encoder_decoder: xr.DataTree) -> None:
    page = html_view(encoder_decoder, "title")
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(|\bsrc=|<link", page)
    policy = next(attrs["content"] for tag, attrs in Page(page).tags if attrs.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'")
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in Page(page).tags}


def test_tokens_title_and_facts_are_escaped(random_analysis: Analyses) -> None:
    evil = ["</script>", "<img src=x onerror=alert(1)>", "'\"&", "<!--", "\u2028"]
    page = html_view(tree(random_analysis(1, 1, evil), model="<b>m</b>"), "</title><script>alert(1)</script>\ud800")
    parsed = Page(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert "<b>m</b>" not in page
    assert parsed.heading == "</title><script>alert(1)</script>\\ud800"
    texts = [token["text"] for token in groups(page)[0]["sources"]]
    assert texts == [*evil[:4], "\\u2028"]
    page.encode("utf-8")


def test_embedded_numbers_decode_to_the_input(encoder_decoder: xr.DataTree) -> None:
    for group, name in zip(groups(html_view(encoder_decoder, "t")), ("encoder", "cross"), strict=True):
        data = encoder_decoder[name].to_dataset()
        assert group["name"] == name
        assert group["crossed"] == (name == "cross")
        for variable, packed in group["arrays"].items():
            np.testing.assert_allclose(decoded(packed), data[variable].values, rtol=5e-4)
    assert set(group["arrays"]) == {"weight", "vector_norm", "norm", "norm_residual", "own_residual", "sink_weight"}


def test_of_words_the_stored_norms_are_embedded(random_group: xr.Dataset) -> None:
    stored = random_group["weight"] * 3
    arrays = groups(html_view(tree(random_group.assign(weighted_norm=stored)), "t"))[0]["arrays"]
    np.testing.assert_allclose(decoded(arrays["weighted_norm"]), stored, rtol=1e-3)


def test_packing_keeps_nine_decades_and_nan() -> None:
    values = np.array([3e7, 1.0, 0.1, 0.0, np.nan, -2.5])
    np.testing.assert_allclose(decoded(analysis_page.pack(values)), values, rtol=5e-4)
    np.testing.assert_array_equal(decoded(analysis_page.pack(np.zeros((2, 2)))), np.zeros((2, 2)))


def test_dimensions_may_come_in_any_order(random_group: xr.Dataset) -> None:
    turned = random_group.assign(weight=random_group["weight"].transpose("source", "head", "target", "layer"))
    assert groups(html_view(tree(turned), "t")) == groups(html_view(tree(random_group), "t"))


def test_pieces_of_one_word_are_joined(random_group: xr.Dataset) -> None:
    start, end = random_group["source_start"].values.copy(), random_group["source_end"].values
    start[6] = end[5]
    joined = random_group.assign_coords(source_start=("source", start))
    tokens = groups(html_view(tree(joined), "t"))[0]["sources"]
    assert [token["text"] for token in tokens if token["joined"]] == ["##ed"]


def test_twelve_layers_of_twelve_heads_over_64_tokens_stay_below_three_megabytes(random_analysis: Analyses) -> None:
    page = html_view(tree(random_analysis(12, 12, [f"t{place}" for place in range(64)])), "t")
    assert len(page.encode()) < 3_000_000


def test_what_is_too_large_or_missing_is_said(random_group: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="no kind of attention"):
        html_view(xr.DataTree(), "t")
    with pytest.raises(InvalidInput, match="needs vector_norm"):
        html_view(tree(random_group.drop_vars("vector_norm")), "t")
    monkeypatch.setattr(analysis_page, "MOST_NUMBERS", 100)
    with pytest.raises(InvalidInput, match=r"768 numbers by head.*more than the 100"):
        html_view(tree(random_group), "t")
