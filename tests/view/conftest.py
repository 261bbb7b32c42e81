"""The explorer served for real, and a browser to open it in."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from served_page import TEXT, served

import normlens
from normlens.view import OfferedModel, ViewService


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        reason = "No Chromium here, so the explorer's page is NOT tested. Install it: apt-get install chromium"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of an explorer on minilm-l6 and others, without a fragment."""
    opened = {name: partial(normlens.load, name) for name in ("minilm-l6", "smollm2-135m", "de-en")}  # when chosen
    models = [*(OfferedModel(name, one) for name, one in opened.items()), OfferedModel("refused", _refuse)]
    with served(ViewService(models, text=TEXT)) as here:
        yield here


def _refuse() -> normlens.Lens:
    raise normlens.NormLensError("This model is refused. Choose another.")


@pytest.fixture
def console() -> list[str]:
    """Errors of the page, and what its console says."""
    return []


@pytest.fixture
def page(browser: Browser, console: list[str]) -> Iterator[Page]:
    """A new page, which must leave its console empty."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    one = context.new_page()
    one.set_default_timeout(120_000)  # a busy machine loads the model slowly
    one.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    one.on("pageerror", lambda error: console.append(f"error: {error}"))
    yield one
    context.close()
