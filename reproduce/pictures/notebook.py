"""The picture of the explorer in a notebook: JupyterLab in Chromium, on a bundled model."""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PATH = Path(__file__).parents[2] / "docs" / "images" / "explorer_notebook.png"
CELL = """import normlens

lens = normlens.load("minilm-l6")
explorer = lens.view("The capital of France is Paris.")
explorer"""
_PATIENCE = 300_000  # milliseconds, for loading a model on a busy machine
_OPTIONS = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--expose-app-in-browser", "--LabApp.news_url="]
_READY = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.content?.widgets?.length === 1 && panel.sessionContext?.session?.kernel?.status === "idle";
}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a notebook of one cell, open a head, pin a token, and write the picture to docs/images."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("error: There is no Chromium here. Install it, as in: apt-get install chromium", file=sys.stderr)
        return 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "explorer.ipynb").write_text(json.dumps(_notebook()))
        command = [sys.executable, "-m", "jupyterlab", *_OPTIONS, f"--port={port}", f"--ServerApp.root_dir={folder}"]
        command.append(f"--IdentityProvider.token={token}")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}")
                with sync_playwright() as playwright:
                    chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
                    page = chromium.new_page(viewport={"width": 1280, "height": 860})
                    page.set_default_timeout(_PATIENCE)
                    page.goto(f"http://127.0.0.1:{port}/lab/tree/explorer.ipynb?token={token}&reset")
                    _draw(page)
                    chromium.close()
            finally:
                server.terminate()
    print(f"{PATH} ({PATH.stat().st_size // 1000} kB)")
    return 0


def _draw(page: Page) -> None:
    page.wait_for_function(_READY)
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    cell = page.locator(".jp-OutputArea .explorer")
    cell.get_by_role("button", name="Show the emptiest head").click()
    cell.locator(".targets button", has_text="Paris").click()
    cell.locator(".row-table table").wait_for()
    page.locator(".jp-Cell").first.evaluate("one => one.scrollIntoView()")
    page.add_style_tag(content=".Toastify { display: none; }")  # JupyterLab offers its news
    page.wait_for_timeout(1000)
    page.screenshot(path=PATH)


def _notebook() -> dict[str, object]:
    cell: dict[str, object] = {
        "cell_type": "code", "source": CELL, "id": "c", "metadata": {}, "outputs": [], "execution_count": None,
    }  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def _wait_for(address: str) -> None:
    for _ in range(1200):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{address} doesn't answer.")
