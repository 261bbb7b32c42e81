"""What the model says, where a token comes from and linked words as files: SVG that parses alone, CSV with all digits."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from served_page import TEXT, check_accessibility, opened

import normlens

pytestmark = pytest.mark.real_model

_SVG = "{http://www.w3.org/2000/svg}"


def saved(page: Page, label: str, name: str) -> str:
    """The text of the file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=label).click()
    assert download.value.suggested_filename == name
    return Path(download.value.path()).read_text(encoding="utf-8")


def table_of(page: Page, name: str) -> pd.DataFrame:
    return pd.read_csv(StringIO(saved(page, "Save as CSV", name)), keep_default_na=False)


def picture_of(page: Page, name: str) -> tuple[ElementTree.Element, list[str]]:
    """A saved picture, and its texts."""
    text = saved(page, "Save as SVG", name)
    assert "class=" not in text and "var(" not in text  # nothing that needs the page
    root = ElementTree.fromstring(text)
    return root, ["".join(one.itertext()) for one in root.iter(f"{_SVG}text")]


def test_the_split_of_what_the_model_says_is_saved(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, model="smollm2-135m", text="The capital of France is", page="answer")
    expect(page.locator(".share-tables")).to_be_visible()
    check_accessibility(page)
    table = table_of(page, "split_decompx_next.csv")
    shares = normlens.load("smollm2-135m").attribute("The capital of France is", method="decompx", progress=False)
    assert np.array_equal(table["share"].to_numpy(float)[:-1], shares.values.astype(np.float64))
    assert table["token"].tolist()[:5] == ["The", "capital", "of", "France", "is"]
    assert table["category"].iloc[-1] == "bias"
    assert float(table["share"].iloc[-1]) == shares.attrs["bias_share"]
    root, texts = picture_of(page, "split_decompx_next.svg")
    assert {"The", "France", "text"} <= set(texts)
    assert any(re.match(r"smollm2-135m, split by DecompX \(adds up\): “The capital", one) for one in texts)
    colors = [one.get("fill") for one in root.iter(f"{_SVG}rect")][1:6]
    assert len(set(colors)) > 2
    assert console == []


def test_the_flow_of_a_token_is_saved(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, page="flow", pin="6")
    drawn = page.locator(".edge")
    expect(drawn.first).to_be_attached()
    check_accessibility(page)
    table = table_of(page, "flow_norm_token6.csv")
    assert len(table) == drawn.count()
    assert table["layer"].iloc[0] == 5 and table["layer"].iloc[-1] == 0
    last = table[table["layer"] == 5]
    assert set(last["target_token"]) == {"Paris"}
    assert 0.9 < last["share"].sum() <= 1 + 1e-6
    root, texts = picture_of(page, "flow_norm_token6.svg")
    assert "Where the last vector of “Paris” comes from" in texts
    assert {"France", "layer 5", "text"} <= set(texts)
    paths = list(root.iter(f"{_SVG}path"))
    assert len(paths) == len(table)
    assert len({one.get("stroke") for one in paths}) == 2  # stays at its token, or is moved
    assert all(one.get("fill") == "none" for one in paths)
    assert console == []


def test_linked_words_are_saved(page: Page, address: str, console: list[str]) -> None:
    target = "Yesterday I bought the book ."
    opened(
        page, address, model="de-en", text="Ich habe das Buch gestern gekauft .", targetText=target, page="alignment"
    )
    expect(page.locator(".link-picture").first).to_be_visible()
    check_accessibility(page)
    table = table_of(page, "alignment_layer0.csv")
    found = table[table["by"] == "norm"]
    pairs = list(zip(found["source_word"], found["target_word"], strict=True))
    assert pairs == normlens.align("Ich habe das Buch gestern gekauft .", target, model="de-en", layer=0).word_pairs
    root, texts = picture_of(page, "alignment_layer0.svg")
    assert {"What the weights say", "What attention moves", "gestern", "Yesterday"} <= set(texts)
    assert len(list(root.iter(f"{_SVG}path"))) == len(table)
    assert console == []


def test_a_saved_picture_is_drawn_without_the_page(page: Page, address: str, tmp_path: Path) -> None:
    opened(page, address, page="flow", pin="6", text=TEXT)
    expect(page.locator(".edge").first).to_be_attached()
    (tmp_path / "flow.svg").write_text(saved(page, "Save as SVG", "flow_norm_token6.svg"), encoding="utf-8")
    page.goto((tmp_path / "flow.svg").as_uri())
    assert page.locator("path").first.bounding_box()
    page.locator("svg").first.screenshot(path=str(tmp_path / "flow.png"))
