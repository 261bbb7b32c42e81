"""Two texts or two models side by side, in Chromium: the same head of both, and the difference where tokens are equal."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from served_page import TEXT, check_accessibility, opened

import normlens

pytestmark = pytest.mark.real_model

OTHER = "The capital of Spain is not Paris."


def first_cells(page: Page) -> str:
    """What the page says of the cell under the pointer."""
    return page.locator(".comparison > .reading").inner_text()


def test_two_texts_have_the_same_head_and_their_difference(page: Page, address: str, console: list[str]) -> None:
    opened(page, address)
    page.keyboard.press("c")
    expect(page.get_by_text("Choose a model of this explorer")).to_be_visible()
    page.get_by_label("beside").select_option("minilm-l6")
    page.get_by_label("Text to compare with", exact=True).fill(OTHER)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".comparison .scatter svg")).to_have_count(2)
    expect(page.get_by_text("Heads whose share of norm")).to_be_visible()
    assert page.locator(".comparison .chip").count() == 5
    check_accessibility(page)

    second_run = page.get_by_role("region", name="The second run")
    second_run.get_by_role("button", name=re.compile("^Layer 4, head 2: ")).dispatch_event(
        "click"
    )  # a point lies on it
    expect(page.locator(".comparison .panel canvas[role=img]")).to_have_count(6)
    expect(page.locator(".comparison > .reading")).to_contain_text("8 of 9 tokens are also in the second text")
    check_accessibility(page)

    lens = normlens.load("minilm-l6")
    first, second = (lens.analyze(text)["encoder"] for text in (TEXT, OTHER))
    tokens = [[str(token) for token in one["target_token"].values] for one in (first, second)]
    (row, column), (other_row, other_column) = (
        (one.index("paris"), one.index("capital")) for one in map(lowered, tokens)
    )
    norms = [one["weighted_norm"].sel(layer=4, head=2).values for one in (first, second)]
    shares = [one / one.sum(-1, keepdims=True) for one in norms]
    before, after = shares[0][row, column], shares[1][other_row, other_column]
    second_map = page.locator(".comparison .panel canvas[role=img]").nth(4)
    second_map.scroll_into_view_if_needed()
    box = second_map.bounding_box()
    assert box is not None
    labels, size = 68, (box["width"] - 68) / len(tokens[1])
    page.mouse.move(box["x"] + labels + (other_column + 0.5) * size, box["y"] + labels + (other_row + 0.5) * size)
    written = [f"{100 * share:.1f} %" if 100 * share < 9.95 else f"{100 * share:.0f} %" for share in (before, after)]
    expect(page.locator(".comparison > .reading")).to_contain_text(" → ".join(written))
    assert np.isfinite(before) and "not in both" not in first_cells(page)

    page.locator(".targets button", has_text="Paris").click()
    table = page.get_by_role("table", name=re.compile("What Paris receives in both"))
    cells = table.locator("tbody tr", has_text="capital").locator("td").all_inner_texts()
    assert cells[0] == str(column) and cells[4:6] == written
    check_accessibility(page)
    page.keyboard.press("Escape")
    expect(table).to_have_count(0)

    page.locator("h1").click()  # on a token, an arrow leads to the next token
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Layer 4, head 3")).to_be_visible()
    expect(page.locator(".comparison .panels").first).to_have_attribute("data-map", re.compile(r"/4/3/.* .*/4/3/"))
    shared = page.url
    assert "otherText=" in shared and "page=comparison" in shared and "head=3" in shared
    page.goto("about:blank")
    page.goto(shared)
    expect(page.locator(".comparison .panels").first).to_have_attribute("data-map", re.compile(r"/4/3/.* .*/4/3/"))
    page.keyboard.press("Escape")
    expect(page.locator(".comparison")).to_have_count(0)
    assert console == []


def lowered(tokens: list[str]) -> list[str]:
    """Tokens in small letters."""
    return [token.lower() for token in tokens]


def test_two_models_are_compared_where_their_heads_have_numbers(page: Page, address: str, console: list[str]) -> None:
    fields = {"page": "comparison", "otherModel": "smollm2-135m", "otherText": TEXT}
    page.goto(f"{address}#token=token-of-the-tests&" + "&".join(f"{key}={value}" for key, value in fields.items()))
    expect(page.locator(".comparison .scatter svg")).to_have_count(2)
    expect(page.get_by_text("The two models have different layers or heads")).to_be_visible()
    first_run = page.get_by_role("region", name="The first run")
    first_run.get_by_role("button", name=re.compile("^Layer 5, head 3: ")).dispatch_event("click")
    expect(page.locator(".comparison .panel canvas[role=img]")).to_have_count(6)
    expect(page.locator(".comparison > .reading")).to_contain_text(re.compile(r"\d of 9 tokens are also"))
    page.keyboard.press("Escape")
    expect(page.locator(".comparison")).to_have_count(0)
    assert console == []


def test_a_model_that_is_not_offered_is_refused(page: Page, address: str) -> None:
    page.goto(f"{address}#token=token-of-the-tests&page=comparison&otherModel=/etc/passwd&otherText=a")
    expect(page.get_by_role("alert")).to_contain_text("isn't one of those that this explorer was started with")
