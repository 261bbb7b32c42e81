"""The pictures of the explorer's page in the docs: the explorer itself in Chromium, on the bundled models."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from normlens.loading import sentences

TEXT = "The capital of France is Paris, and everyone who has been there remembers the river."
OTHER = "The capital of Spain is not Paris, and everyone who has been there forgets the river."
QUESTION = "The capital of France is Paris, and the capital of Germany is"
PAIR = ("Ich habe das Buch gestern gekauft .", "Yesterday I bought the book .")
FOLDER = Path(__file__).parents[2] / "docs" / "images"
_NORMLENS = [sys.executable, "-m", "normlens"]
_PATIENCE = 300_000  # milliseconds, for loading a model on a busy machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the explorer, look at it as a reader of the page would, and write eight pictures to docs/images."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("error: There is no Chromium here. Install it, as in: apt-get install chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        _serve(browser, _clusters(Path(folder)))
    return 0


def _clusters(folder: Path) -> Path:
    """A file of the clusters of MiniLM's heads on forty sentences."""
    texts, labels = folder / "sentences.txt", folder / "clusters.json"
    texts.write_text("\n".join(sentences()[:40]), encoding="utf-8")
    subprocess.run([*_NORMLENS, "cluster", "heads", "minilm-l6", texts, "-o", labels], check=True)
    return labels


def _serve(browser: str, clusters: Path) -> None:
    """Start the explorer, and draw its pictures."""
    models = ["minilm-l6", "smollm2-135m", "de-en"]
    command = [*_NORMLENS, "view", *models, "--no-browser", "--text", TEXT, "--clusters", str(clusters)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        try:
            assert server.stderr is not None
            address = re.search(r"http://\S+", server.stderr.readline())
            assert address is not None
            with playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]) as chromium:
                page = chromium.new_page(viewport={"width": 1280, "height": 860})
                page.set_default_timeout(_PATIENCE)
                page.goto(f"{address[0]}&color=layer")
                _pictures(page)
        finally:
            server.terminate()


def _pictures(page: Page) -> None:
    """The scatter, by layer and by cluster, heads, a flow, two texts, what a decoder says, words aligned."""
    page.locator(".scatter circle").first.wait_for()
    _save(page, "scatter")
    page.get_by_label("color").select_option("cluster")
    _save(page, "clusters")
    page.get_by_label("color").select_option("layer")
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
    page.keyboard.press("c")
    page.get_by_label("beside").select_option("minilm-l6")
    page.get_by_label("Text to compare with").fill(OTHER)
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("table", name="What Paris receives in both").wait_for()
    page.get_by_label("leave out").uncheck()
    page.get_by_role("button", name="Unpin").click()
    page.locator(".comparison .panel").nth(5).wait_for()
    _save(page, "comparison")
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
