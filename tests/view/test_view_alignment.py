"""Word alignment in Chromium, on a real translation model."""

from __future__ import annotations

import re

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


def test_gold_links_are_typed_or_dropped(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, model="de-en", text=SOURCE, targetText=TARGET, page="alignment", alignLayer="0")
    expect(page.locator(".link-picture").first).to_be_visible()
    gold = "0-1 1p2 2-3 3-4 4-0 5-2 6-5"
    page.get_by_label("gold links").fill(gold)
    page.get_by_role("button", name="Compare").click()
    rates = page.locator(".link-picture", has_text="What attention moves").locator("figcaption p")
    sure = [(0, 1), (2, 3), (3, 4), (4, 0), (5, 2), (6, 5)]
    found = {(link.source, link.target) for link in normlens.align(SOURCE, TARGET, model="de-en", layer=0).links}
    hits, allowed = len(found & set(sure)), len(found & {*sure, (1, 2)})
    error = 100 * (1 - (hits + allowed) / (len(found) + len(sure)))
    expect(rates).to_contain_text(re.compile(rf"error rate\s+({error:.1f}|{error:.0f}) %"))
    picture = page.locator(".link-picture", has_text="What attention moves")
    expect(picture.locator(".link.missed")).to_have_count(len(sure) - hits)
    expect(picture.locator(".link.wrong")).to_have_count(len(found) - allowed)
    check_accessibility(page)
    assert "gold=0-1" in page.url
    page.go_back()
    expect(rates).to_have_count(0)
    page.evaluate(
        """line => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([`\n${line}\n0-0\n`], "gold.txt"));
            document.querySelector(".alignment").dispatchEvent(new DragEvent("drop", { dataTransfer: dropped }));
        }""",
        gold,
    )
    expect(rates).to_be_visible()
    expect(page.get_by_label("gold links")).to_have_value(gold)
    assert console == []
    page.get_by_label("gold links").fill("0-99")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("alert")).to_contain_text("the link 0-99 (counted from 0) is out of range")


def test_a_model_of_one_text_offers_no_alignment(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, page="alignment")
    expect(page.locator(".scatter")).to_be_visible()
    assert page.get_by_role("button", name="Alignment").count() == 0
    assert console == []
