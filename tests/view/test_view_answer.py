"""What the model says, split over the text, in Chromium on a real decoder."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from served_page import check_accessibility, opened

import normlens

pytestmark = pytest.mark.real_model

SENTENCE = "The capital of France is Paris, and the capital of Germany is"


def test_which_tokens_made_the_model_say_this(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, model="smollm2-135m", text=SENTENCE)
    page.get_by_role("button", name="What it says").click()
    expect(page.locator(".answer")).to_contain_text("The model expects Berlin")
    page.get_by_role("button", name=re.compile("^London ")).click()
    expect(page.locator(".answer strong").first).to_have_text("logit of ' Berlin' − ' London' at position 12 ('is')")
    assert "against=+London" in page.url

    shares = normlens.load("smollm2-135m").attribute(SENTENCE, target=(" Berlin", " London"), progress=False)
    tokens = page.locator(".answer-tokens button[aria-label]").all()
    assert [float(one.get_attribute("title").replace("−", "-")) for one in tokens] == pytest.approx(
        shares.values.tolist(), abs=0.0051
    )
    sums = page.get_by_role("table", name="What it adds up to").locator("td.number").all_inner_texts()
    for_it, against_it, bias, value = (float(one.replace("−", "-")) for one in sums)
    assert for_it + against_it + bias == pytest.approx(value, abs=0.021)
    assert value == pytest.approx(shares.attrs["value"], abs=0.0051)
    check_accessibility(page)

    page.get_by_label("method").select_option("gradient × input")
    expect(page.get_by_role("rowheader", name="rest, which this method gives to no token")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("rowheader", name="bias, which belongs to no token")).to_be_visible()
    assert console == []


def test_a_token_of_the_text_is_asked_about_by_a_click(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, model="smollm2-135m", text=SENTENCE, page="answer")
    page.locator(".answer-tokens button", has_text="Paris").click()
    expect(page.locator(".answer strong").first).to_have_text("logit of ' Paris' at position 4 ('is')")
    expect(page.locator(".answer-tokens .unread")).to_have_count(8)
    expect(page.locator(".note-line")).to_contain_text("it is the attention sink")
    page.get_by_label("rather than").fill("no such token")
    page.get_by_role("button", name="Split").click()
    expect(page.get_by_role("alert")).to_contain_text("is not one token of this model")
    page.get_by_label("rather than").fill("")
    page.get_by_role("button", name="Split").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="what comes next").click()
    expect(page.locator(".answer strong").first).to_contain_text("' Berlin'")
    page.keyboard.press("Escape")
    expect(page.locator(".scatter")).to_be_visible()
    assert [line for line in console if "Failed to load resource" not in line] == []


def test_a_model_without_a_head_has_a_vector_split_also_in_the_dark(
    page: Page, address: str, console: list[str]
) -> None:
    page.emulate_media(color_scheme="dark")
    opened(page, address, page="answer", place="6", layer="3", head="1")
    expect(page.get_by_role("heading", name="Which tokens is this vector made of?")).to_be_visible()
    expect(page.locator(".answer strong").first).to_contain_text("norm of the hidden state at position 6 ('Paris')")
    assert page.locator(".question input").count() == 0
    check_accessibility(page)
    assert console == []
