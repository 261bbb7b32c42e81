"""The views that aren't maps in a page that was saved: flows from its maps, and what was looked at before."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from exploring import explored, service_of
from exploring import opened as read
from playwright.sync_api import Page, expect
from served_page import TEXT, check_accessibility, opened

import normlens

pytestmark = pytest.mark.real_model


def file_of(page: Page, folder: Path) -> str:
    """The address of the page that the explorer saves."""
    page.locator("details.save summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="This page as a file").click()
    download.value.save_as(folder / "page.html")
    return (folder / "page.html").as_uri()


@pytest.mark.parametrize("by", ["norm", "weight"])
def test_a_file_of_an_analysis_follows_a_token_back(page: Page, console: list[str], tmp_path: Path, by: str) -> None:
    lens = normlens.load("minilm-l6")
    lens.analyze(TEXT).to_html(tmp_path / "page.html")
    service = service_of(lens)
    facts, arrays = read(service.flow(explored(service, TEXT), "encoder", 6, by, 0.005))
    service.close()
    page.goto(f"{(tmp_path / 'page.html').as_uri()}#page=flow&pin=6&by={by}")
    expect(page.locator(".edge").first).to_be_attached()
    hidden = page.locator(".flow p", has_text="Drawn:").inner_text()
    assert re.search(rf" {100 * facts['hidden']:.0f} %| {100 * facts['hidden']:.1f} %", hidden), hidden
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    table = pd.read_csv(StringIO(Path(download.value.path()).read_text(encoding="utf-8")), keep_default_na=False)
    ours = {(row.layer, row.target, row.source): row.share for row in table.itertuples()}
    edges = {tuple(map(int, edge[:3])): edge[3] for edge in arrays["edges"] if edge[3] > 0.00505}
    assert edges.keys() <= ours.keys() and len(ours) < 1.1 * len(edges) + 5
    assert [ours[edge] for edge in edges] == pytest.approx(list(edges.values()), rel=0.01)
    check_accessibility(page)
    assert page.get_by_role("button", name="What it says").count() == 0
    assert console == []


def test_a_file_holds_the_splits_that_were_looked_at(
    page: Page, address: str, console: list[str], tmp_path: Path
) -> None:
    opened(
        page, address, model="smollm2-135m", text="The capital of France is Paris", page="answer", layer="3", head="2"
    )
    sums = page.locator(".share-tables .sum .number")
    expect(sums).to_be_visible()
    next_value = sums.inner_text()
    page.locator(".answer-tokens button", has_text="Paris").click()
    expect(sums).not_to_have_text(next_value)
    value = sums.inner_text()
    page.keyboard.press("w")
    page.goto(file_of(page, tmp_path) + "#page=answer")
    expect(sums).to_have_text(next_value)
    page.get_by_role("group", name="Splits in this file").get_by_role("button", name="Paris").click()
    expect(sums).to_have_text(value)
    check_accessibility(page)
    france = page.locator(".answer-tokens button", has_text="France")
    expect(france).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("button", name="Split", exact=True)).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert console == []


def test_a_file_holds_the_alignments_that_were_looked_at(
    page: Page, address: str, console: list[str], tmp_path: Path
) -> None:
    texts = {"text": "Das ist ein Hund .", "targetText": "This is a dog ."}
    opened(page, address, model="de-en", page="alignment", layer="0", head="0", **texts)
    expect(page.locator(".link-picture").first).to_be_visible()
    described = page.get_by_role("img", name="What attention moves").get_attribute("aria-label")
    page.get_by_role("button", name="Heads").click()
    page.goto(file_of(page, tmp_path) + "#page=alignment")
    expect(page.get_by_role("img", name="What attention moves")).to_have_attribute("aria-label", described or "")
    assert page.get_by_label("cross-attention of layer").locator("option").all_inner_texts() == ["0"]
    check_accessibility(page)
    assert console == []


def test_an_analysis_is_explored_in_a_notebook_s_frame(page: Page, console: list[str], tmp_path: Path) -> None:
    lens = normlens.load("minilm-l6")
    frames = "".join(lens.analyze(text).view()._repr_html_() for text in (TEXT, "Another text"))
    (tmp_path / "frames.html").write_text(f"<!doctype html><title>cells</title>{frames}", encoding="utf-8")
    page.goto((tmp_path / "frames.html").as_uri())
    one, other = (page.frame_locator("iframe").nth(k) for k in (0, 1))
    one.get_by_role("button", name="Show the emptiest head").click()
    expect(one.get_by_text("What attention moves", exact=True)).to_be_visible()
    expect(other.get_by_text("Another text", exact=True)).to_be_visible()
    expect(other.get_by_text("What attention moves", exact=True)).to_have_count(0)
    one.locator("details.save summary").click()
    with page.expect_download() as download:
        one.get_by_role("button", name="Picture as SVG").click()
    assert Path(download.value.path()).read_text(encoding="utf-8").startswith("<svg")
    assert console == []
