"""JupyterLab on this machine, with a notebook of cells that run at once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

_TOKEN = "token-of-the-tests"
_OFF = ["--ServerApp.use_redirect_file=False", "--LabApp.news_url=", "--LabApp.extension_manager=readonly"]
_READY = """cells => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return panel?.content?.widgets?.length === cells && panel.sessionContext?.session?.kernel?.status === "idle";
}"""


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab that serves a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += [
        f"--IdentityProvider.token={_TOKEN}",
        f"--ServerApp.root_dir={folder}",
        "--expose-app-in-browser",
        *_OFF,
    ]
    with (folder / "log.txt").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status?token={_TOKEN}")
            yield f"http://127.0.0.1:{port}/lab"
        finally:
            server.terminate()


def run_notebook(page: Page, address: str, folder: Path, cells: list[str]) -> None:
    """Open a notebook of these cells, and run them all."""
    sources = [
        {"cell_type": "code", "source": one, "id": f"c{place}", "metadata": {}, "outputs": [], "execution_count": None}
        for place, one in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": sources, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "cells.ipynb").write_text(json.dumps(notebook))
    page.goto(f"{address}/tree/cells.ipynb?token={_TOKEN}&reset")
    page.wait_for_function(_READY, arg=len(cells))
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")


def _wait_for(address: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{address} doesn't answer.")
