"""The page in Chromium, on a real model: type, switch, pin, unpin, share, hostile tokens, and no violations for axe."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from served_page import TEXT, check_accessibility, opened

import normlens

pytestmark = pytest.mark.real_model

HOSTILE = "<script>alert(1)</script> {{7*7}} ${8*8} \u202e \x01 \u0645\u0631\u062d\u0628\u0627 你 👩 end"


def test_in_a_narrow_window_an_opened_head_is_in_sight(page: Page, address: str, console: list[str]) -> None:
    page.set_viewport_size({"width": 700, "height": 500})
    opened(page, address)
    heights = [float(one.get_attribute("cy") or 0) for one in page.locator(".scatter circle").all()]
    page.locator(".scatter circle").nth(int(np.argmin(heights))).click()  # far from what is below the points
    expect(page.locator(".head-view h2")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.locator(".head-view")).to_have_count(0)
    assert console == []


def test_from_a_text_to_a_row_and_back(page: Page, address: str, console: list[str]) -> None:
    opened(page, address)
    expect(page.locator(".finding")).to_contain_text(
        re.compile(r"\[CLS\] and \[SEP\]\s+get \d+ % of the attention weight")
    )
    assert page.locator(".scatter circle").count() == 72
    page.get_by_role("button", name=re.compile(r"^Layer 4, head 2: ")).click()
    expect(page.get_by_role("heading", name="Layer 4, head 2")).to_be_visible()
    expect(page.locator(".panel canvas[role=img]")).to_have_count(3)

    page.locator(".targets button", has_text="Paris").click()
    table = page.get_by_role("table", name=re.compile("The exact row of Paris"))
    expect(table.locator("tbody tr")).to_have_count(9)
    group = normlens.load("minilm-l6").analyze(TEXT)["encoder"].sel(layer=4, head=2)
    weight = group["weight"].values[6]
    moved = weight * group["vector_norm"].values
    for line in table.locator("tbody tr").all():
        cells = line.locator("td").all_inner_texts()
        source = int(cells[0])
        assert float(cells[1]) == pytest.approx(float(weight[source]), rel=5.1e-6)
        assert float(cells[4]) == pytest.approx(float(moved[source]), rel=5.1e-6)
        assert cells[5] == written(moved[source] / np.abs(moved).sum())
    assert "pin=6" in page.url
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    assert saved.value.suggested_filename == "layer4_head2_target6.csv"
    row = pd.read_csv(saved.value.path(), keep_default_na=False)
    assert row["token"].tolist()[:3] == ["[CLS]", "The", "capital"]
    assert np.array_equal(row["weight"].to_numpy(np.float32), weight)
    assert np.array_equal(row["weighted_norm"].to_numpy(np.float32), moved)
    check_accessibility(page)

    page.keyboard.press("Escape")
    expect(table).to_have_count(0)
    page.locator(".targets button", has_text="Paris").click()
    page.get_by_role("button", name="Unpin").click()
    expect(table).to_have_count(0)
    assert "pin=" not in page.url
    assert console == []


def written(share: float) -> str:
    """A share as the page writes it."""
    size = 100 * share
    return f"{size:.1f} %" if 0.05 <= size < 9.95 else f"{size:.0f} %"


def test_keys_reach_every_head_and_leave_out_sinks(page: Page, address: str, console: list[str]) -> None:
    opened(page, address)
    page.locator(".scatter circle[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Layer 1, head 1")).to_be_visible()
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Layer 1, head 2")).to_be_visible()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("heading", name="Layer 0, head 2")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Layer 0, all heads")).to_be_visible()
    page.get_by_label("scope").select_option("LayerNorm")
    expect(page.locator(".panel .formula").nth(1)).to_contain_text("LN(")
    page.keyboard.press("x")
    expect(page.locator(".source.out")).to_have_count(4)
    assert "without=1" in page.url
    page.keyboard.press("g")
    expect(page.locator(".thumbnail")).to_have_count(72)
    check_accessibility(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert console == []


def test_every_measure_has_its_map_and_its_exact_row(page: Page, address: str, console: list[str]) -> None:
    opened(page, address, layer="4", head="2", pin="6")
    table = page.get_by_role("table", name=re.compile("The exact row of Paris"))
    group = normlens.load("minilm-l6").analyze(TEXT, measures=["displacement", "contribution_weight"])["encoder"]
    for measure, label, column in (
        ("displacement", "displacement", 4),
        ("contribution_weight", "contribution weight", 4),
    ):
        page.get_by_label("measure").select_option(label)
        expect(table.get_by_role("columnheader", name=label)).to_have_count(1)
        expected = group[measure].sel(layer=4, head=2).values[6]
        for line in table.locator("tbody tr").all():
            cells = line.locator("td").all_inner_texts()
            assert float(cells[column]) == pytest.approx(float(expected[int(cells[0])]), rel=5.1e-6)
        assert f"measure={measure}" in page.url
    assert float(sum(expected)) == pytest.approx(1, abs=1e-5)
    page.get_by_label("measure").select_option("vector norm")
    expect(page.locator(".panel .formula").nth(1)).to_have_text("‖f(x)‖")
    check_accessibility(page)
    assert console == []


def test_an_address_shows_the_same_to_whoever_opens_it_and_back_goes_back(
    page: Page, address: str, console: list[str]
) -> None:
    opened(page, address, text="Nobody knows the answer.", layer="3", head="7", pin="2", view="grid")
    expect(page.get_by_role("heading", name="Layer 3, head 7")).to_be_visible()
    expect(page.get_by_role("table", name=re.compile("The exact row of knows"))).to_be_visible()
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Layer 3, head 8")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Layer 3, head 7")).to_be_visible()
    page.get_by_label("Text to look at").fill("Everybody does.")
    page.get_by_role("button", name="Look").click()
    page.wait_for_url(re.compile("Everybody"))
    expect(page.get_by_role("heading", name="One click reaches any head")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Text to look at")).to_have_value("Nobody knows the answer.")
    expect(page.get_by_role("table", name=re.compile("The exact row of knows"))).to_be_visible()
    assert console == []


def test_hostile_tokens_are_text(page: Page, address: str, console: list[str]) -> None:
    page.on("dialog", lambda dialog: console.append(f"dialog: {dialog.message}"))
    opened(page, address, text=HOSTILE, layer="0", head="0", pin="1")
    expect(page.locator(".targets button").first).to_be_visible()
    shown = page.locator(".targets button").all_inner_texts()
    assert {"script", "alert", "{", "7"} <= {token.strip() for token in shown}
    assert "49" not in shown and "64" not in shown
    assert all(token.isprintable() for token in shown)
    assert page.locator("script").count() == 1
    assert console == []


def test_what_goes_wrong_is_said_on_the_page(page: Page, address: str, console: list[str]) -> None:
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("lacks its token. Open the whole address")
    page.goto("about:blank")
    page.goto(f"{address}#token=old")
    expect(page.get_by_role("alert")).to_contain_text("an explorer that was stopped. Open the one")
    page.goto("about:blank")
    opened(page, address, layer="77", head="88", pin="99", statistic="none", scope="none", group="none")
    expect(page.get_by_role("heading", name="One click reaches any head")).to_be_visible()
    page.get_by_label("Model").select_option("refused")
    expect(page.get_by_role("alert")).to_contain_text("This model is refused. Choose another.")
    page.get_by_label("Model").select_option("minilm-l6")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_label("Text to look at").fill("  ")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("alert")).to_contain_text("The text is empty. Type a text.")
    page.route("**/api/*", lambda route: route.abort())
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("alert")).to_contain_text("server doesn't answer. It may have been stopped")
    refused = [line for line in console if "Failed to load resource" not in line]
    assert refused == []


def test_it_is_dark_where_the_system_is(page: Page, address: str, console: list[str]) -> None:
    page.emulate_media(color_scheme="dark")
    opened(page, address, layer="4", head="2", pin="6")
    expect(page.get_by_role("table", name=re.compile("The exact row"))).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 23)"
    check_accessibility(page)
    assert console == []
