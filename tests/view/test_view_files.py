"""What the explorer saves, parsed: pictures, tables, the analysis, and the page as a file that shows the same."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from playwright.sync_api import Page, expect
from served_page import AXE, TEXT, opened, violations

import normlens

pytestmark = pytest.mark.real_model
SVG = "{http://www.w3.org/2000/svg}"


def saved(page: Page, choice: str, folder: Path) -> Path:
    """A file that the page saves."""
    page.locator("details.save summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=choice).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_what_is_saved_is_what_was_measured(page: Page, address: str, console: list[str], tmp_path: Path) -> None:
    opened(page, address, layer="4", head="2", pin="6", measure="displacement")
    expect(page.locator(".row-table table")).to_be_visible()
    picture = ElementTree.parse(saved(page, "Picture as SVG", tmp_path))
    texts = [one.text for one in picture.iter(f"{SVG}text")]
    assert texts.count("Paris") == 6 and "α ‖f(x) − o‖" in texts
    assert len([one for one in picture.iter(f"{SVG}rect") if (one.get("fill") or "").startswith("rgb")]) == 3 * 81
    data = saved(page, "Picture as PNG", tmp_path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24])[0] > 2000

    lens = normlens.load("minilm-l6")
    head = lens.analyze(TEXT, measures=["weight", "displacement"])["encoder"].sel(layer=4, head=2)
    table = pd.read_csv(saved(page, "Map as CSV", tmp_path), keep_default_na=False)
    for name in ("weight", "displacement"):
        assert np.array_equal(table[name].to_numpy(np.float32), head[name].values.ravel())
    assert table["target_token"].tolist()[:9] == ["[CLS]"] * 9

    kept = normlens.Analysis.load(saved(page, "netCDF", tmp_path))
    lens.analyze(TEXT).save(tmp_path / "beside.nc")
    xr.testing.assert_identical(kept.data, normlens.Analysis.load(tmp_path / "beside.nc").data)
    if AXE.is_file():
        page.locator("details.save summary").click()
        assert violations(page) == []
    assert console == []


def test_a_saved_page_shows_the_same_without_a_server(
    page: Page, address: str, console: list[str], tmp_path: Path
) -> None:
    opened(page, address, text="</script><script>alert(1)</script> Paris", layer="4", head="2", pin="3")
    expect(page.locator(".row-table table")).to_be_visible()
    shares = page.locator(".row-table tbody tr").all_inner_texts()
    path = saved(page, "This page as a file", tmp_path)
    requests: list[str] = []
    page.context.on("request", lambda request: requests.append(request.url))
    page.goto(f"{path.as_uri()}#layer=4&head=2&pin=3")
    expect(page.get_by_role("table", name=re.compile("The row of"))).to_be_visible()
    ours = page.locator(".row-table tbody tr").all_inner_texts()
    assert [line.split("\t")[:2] for line in ours] == [line.split("\t")[:2] for line in shares]
    assert page.locator("header form").count() == 0
    page.get_by_label("measure").select_option("contribution weight")
    expect(page.locator(".panel .formula").nth(1)).to_contain_text("⟨α f(x), o⟩")
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Layer 4, head 3")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Layer 4, head 2")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Layer 4, all heads")).to_be_visible()
    table = pd.read_csv(saved(page, "Map as CSV, half precision", tmp_path), keep_default_na=False)
    assert len(table) == len(table["target"].unique()) ** 2
    assert {url for url in requests if not url.startswith(("file:", "blob:", "data:"))} == set()
    if AXE.is_file():
        assert violations(page) == []
    assert console == []
