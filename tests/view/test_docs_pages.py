"""The built documentation in a browser: accessible, in light and in dark, and without a request to another machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from served_page import check_accessibility

SITE = Path(__file__).parents[2] / "site"
PAGES = ("index.html", "quickstart.html", "gallery.html", "coming_from.html", "tutorials/why.html")

pytestmark = pytest.mark.skipif(not (SITE / "gallery.html").is_file(), reason="`make docs` builds the pages")


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in one of the two color schemes."""
    one = browser.new_page(color_scheme=request.param, reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    yield one
    one.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_asks_no_other_machine(page: Page, name: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((SITE / name).as_uri())
    check_accessibility(page)
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:"))] == []
    broken = page.evaluate("() => [...document.images].filter((one) => !one.naturalWidth).map((one) => one.src)")
    assert broken == []
