"""The explorer in cells of a real JupyterLab: two at once, keys, what is remembered, and nothing left behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jupyter_page import jupyterlab, run_notebook
from playwright.sync_api import Page, expect
from served_page import TEXT, check_accessibility

pytest.importorskip("jupyterlab")
pytest.importorskip("ipykernel")
pytestmark = pytest.mark.real_model

CELLS = [
    "import normlens, threading\nlens = normlens.load('minilm-l6')",
    f"first = lens.view({TEXT!r})\nfirst",
    "second = lens.view('The dog ran, and the cat slept.')\nsecond",
]
_THREADS = "print('threads', sum(one.name.startswith('normlens-') for one in threading.enumerate()), first.shown)"


def test_two_explorers_in_one_notebook(page: Page, console: list[str], tmp_path: Path) -> None:
    with jupyterlab(tmp_path) as address:
        run_notebook(page, address, tmp_path, CELLS)
        cells = page.locator(".jp-OutputArea .explorer")
        expect(cells).to_have_count(2)
        first, second = cells.nth(0), cells.nth(1)
        expect(first.locator(".finding")).to_contain_text(re.compile(r"get\s+\d+ % of the attention weight"))
        expect(second.locator(".scatter circle")).to_have_count(72)
        console.clear()  # what JupyterLab itself says at its start

        first.get_by_role("button", name="Show the emptiest head").click()
        expect(first.get_by_role("heading", name="Layer 4, head 2")).to_be_visible()
        expect(second.locator(".head-view")).to_have_count(0)
        first.locator(".targets button", has_text="Paris").click()
        expect(first.get_by_role("table", name=re.compile("The exact row of Paris"))).to_be_visible()
        page.keyboard.press("ArrowRight")  # on a token: the next token
        page.keyboard.press("x")  # in JupyterLab's own hands it cuts the cell
        expect(first.get_by_role("checkbox")).to_be_checked()
        expect(second.locator("input[type=checkbox]:checked")).to_have_count(0)
        expect(cells).to_have_count(2)
        page.keyboard.press("Escape")
        expect(first.get_by_role("table")).to_have_count(0)
        check_accessibility(page, ".explorer")
        assert [line for line in console if "explorer" in line or line.startswith("error")] == []
        assert "#" not in page.url.removesuffix("#")

        run_last(page, _THREADS)
        expect(page.locator(".jp-OutputArea-output", has_text="threads")).to_contain_text("layer=4")
        page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        expect(page.locator(".explorer")).to_have_count(0)
        run_last(page, "import time; time.sleep(1); " + _THREADS)
        expect(page.locator(".jp-OutputArea-output", has_text="threads")).to_contain_text("threads 0")


def run_last(page: Page, source: str) -> None:
    """Run a new cell below the others."""
    page.evaluate(
        f"""async () => {{
            const {{ content }} = jupyterapp.shell.currentWidget;
            content.activeCellIndex = content.widgets.length - 1;
            await jupyterapp.commands.execute("notebook:insert-cell-below");
            content.activeCell.model.sharedModel.setSource({json.dumps(source)});
            await jupyterapp.commands.execute("notebook:run-cell");
        }}"""
    )
