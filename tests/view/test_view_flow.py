"""Where a token comes from, in Chromium on real models."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from served_page import TEXT, check_accessibility, opened

import normlens

pytestmark = pytest.mark.real_model


def test_a_pinned_token_is_followed_back_to_the_text(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, layer="4", head="2", pin="6")
    page.get_by_role("button", name="Where it comes from").click()
    expect(page.get_by_role("heading", name=re.compile(r"the last vector of Paris\s+comes from"))).to_be_visible()
    edges = page.locator(".edge")
    expect(edges.first).to_be_attached()
    many = edges.count()
    assert page.locator(".flow-picture svg *").count() < 2000
    page.get_by_label("edges of at least").select_option("10 %")
    expect(page.locator(".flow p", has_text="Drawn:")).to_contain_text(
        re.compile(r"at least 10 % of it\. \d+ % of what")
    )
    assert 0 < edges.count() < many
    check_accessibility(page)

    page.get_by_role("button", name="by weight").click()
    expect(page.locator(".edge.weight").first).to_be_attached()
    whole = normlens.load("minilm-l6").attribute(TEXT, method="rollout", progress=False).values[6]
    source = page.locator(".flow .source").nth(4)
    source.hover()
    expect(source).to_have_attribute("title", re.compile(rf"^{100 * whole[4]:.1f} %$"))
    page.locator(".flow .targets button", has_text="France").click()
    expect(page.get_by_role("heading", name=re.compile(r"the last vector of France"))).to_be_visible()
    assert "pin=4" in page.url
    page.keyboard.press("f")
    expect(page.get_by_role("heading", name="Layer 4, head 2")).to_be_visible()
    assert console == []


def test_where_two_texts_meet_the_page_says_what_to_do(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, model="de-en", text="Das ist ein Hund .", targetText="This is a dog .", page="flow")
    expect(page.locator(".edge").first).to_be_attached()
    page.get_by_role("button", name="cross").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "In 'cross', vectors come from two texts. The flow is drawn for the"
    )
    page.get_by_role("button", name="encoder").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert [line for line in console if "Failed to load resource" not in line] == []
