"""The pictures of the explorer's page in the docs: the explorer itself in Chromium, on the bundled models."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

TEXT = "The capital of France is Paris, and everyone who has been there remembers the river."
QUESTION = "The capital of France is Paris, and the capital of Germany is"
PAIR = ("Ich habe das Buch gestern gekauft .", "Yesterday I bought the book .")
FOLDER = Path(__file__).parents[2] / "docs" / "images"
_PATIENCE = 300_000  # milliseconds, for loading a model on a busy machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the explorer, look at it as a reader of the page would, and write six pictures to docs/images."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("error: There is no Chromium here. Install it, as in: apt-get install chromium", file=sys.stderr)
        return 2
    command = [
        sys.executable,
        "-m",
        "normlens",
        "view",
        "minilm-l6",
        "smollm2-135m",
        "de-en",
        "--no-browser",
        "--text",
        TEXT,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        try:
            assert server.stderr is not None
            address = re.search(r"http://\S+", server.stderr.readline())
            assert address is not None
            with playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]) as chromium:
                page = chromium.new_page(viewport={"width": 1280, "height": 860})
                page.set_default_timeout(_PATIENCE)
                page.goto(address[0])
                _pictures(page)
        finally:
            server.terminate()
    return 0


def _pictures(page: Page) -> None:
    """The scatter, the emptiest head with a pinned token and without sinks, a flow, what a decoder says, words aligned."""
    page.locator(".scatter circle").first.wait_for()
    _save(page, "scatter")
    print(" ".join(page.locator(".finding p").inner_text().split()))
    page.get_by_role("button", name="Show the emptiest head").click()
    page.locator(".targets button", has_text="Paris").click()
    page.locator(".row-table table").wait_for()
    _save(page, "head")
    page.keyboard.press("x")
    page.locator(".source.out").first.wait_for()
    _save(page, "without")
    page.keyboard.press("f")
    page.locator(".edge").first.wait_for(state="attached")
    _save(page, "flow")
    page.get_by_role("button", name="Heads", exact=True).click()
    page.locator(".model select").select_option("smollm2-135m")
    page.get_by_label("Text to look at").fill(QUESTION)
    page.get_by_role("button", name="Look").click()
    page.locator(".finding", has_text="The first token").wait_for()
    page.get_by_role("button", name="What it says").click()
    page.get_by_label("rather than").fill(" Paris")
    page.get_by_role("button", name="Split").click()
    page.locator(".answer strong", has_text="Berlin' − ' Paris'").first.wait_for()
    _save(page, "answer")
    page.locator(".model select").select_option("de-en")
    page.get_by_role("alert").wait_for()  # it asks for the second text
    page.get_by_label("Text to look at").fill(PAIR[0])
    page.get_by_label("Second text").fill(PAIR[1])
    page.get_by_role("button", name="Look").click()
    page.get_by_role("button", name="Alignment").click()
    page.locator(".link").first.wait_for(state="attached")
    _save(page, "alignment")


def _save(page: Page, name: str) -> None:
    path = FOLDER / f"explorer_{name}.png"
    page.screenshot(path=path)
    print(f"{path} ({path.stat().st_size // 1000} kB)")
