"""Word alignment in Chromium, on a real translation model."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from served_page import check_accessibility, opened

import normlens

pytestmark = pytest.mark.real_model

SOURCE, TARGET = "Ich habe das Buch gestern gekauft .", "Yesterday I bought the book ."


def test_words_are_linked_by_weight_and_by_norm(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, model="de-en", text=SOURCE, targetText=TARGET)
    page.get_by_role("button", name="Alignment").click()
    links = normlens.align(SOURCE, TARGET, model="de-en", layer=0).word_pairs
    picture = page.get_by_role("img", name="What attention moves: " + ", ".join(" – ".join(pair) for pair in links))
    expect(picture).to_be_visible()
    page.get_by_text("The links as a table").click()
    expect(page.locator(".links tbody tr")).to_have_count(len(TARGET.split()))
    check_accessibility(page)
    page.get_by_label("cross-attention of layer").select_option("1")
    expect(picture).to_have_count(0)
    assert "alignLayer=1" in page.url
    page.go_back()
    expect(picture).to_be_visible()
    assert console == []


def test_a_model_of_one_text_offers_no_alignment(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, page="alignment")
    expect(page.locator(".scatter")).to_be_visible()
    assert page.get_by_role("button", name="Alignment").count() == 0
    assert console == []
