"""Pages of bertviz: its head view and model view of a text, written as files that open without a network.

Run in a process of its own, because its memory grows with layers × heads × n²:
``python -m benchmarks.bertviz_pages VIEW MODEL TEXT FOLDER``.
"""

from __future__ import annotations

import importlib
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from playwright.sync_api import Route

import normlens

MEMORY = 8 * 2**30
"""Bytes that the process may take."""
LIBRARIES = {"d3.min.js": "d3@5.7.0", "jquery.min.js": "jquery@2.1.0", "require.min.js": "requirejs@2.3.6"}
"""What bertviz' pages load from cdnjs.com, and the npm packages with the same files."""
_FILES = {
    "d3.min.js": "d3/dist/d3.min.js",
    "jquery.min.js": "jquery/dist/jquery.min.js",
    "require.min.js": "requirejs/require.js",
}


def is_installed() -> bool:
    """Whether bertviz and npm, which fetches what its pages load, are here."""
    return importlib.util.find_spec("bertviz") is not None and shutil.which("npm") is not None


def fetch_libraries(folder: Path) -> None:
    """Install with npm what the pages load."""
    subprocess.run(["npm", "install", "--silent", "--prefix", folder, *LIBRARIES.values()], check=True)


def answer(route: Route, folder: Path) -> None:
    """Answer a page's request to cdnjs.com from the installed packages."""
    name = route.request.url.rpartition("/")[2]
    name = name if name.endswith(".js") else f"{name}.js"
    route.fulfill(path=folder / "node_modules" / _FILES[name], content_type="text/javascript")


def write(view: str, model: str, text: str, path: Path) -> dict[str, float]:
    """Write a page; return the seconds of the forward pass and of making the page, and its size in bytes."""
    bertviz = importlib.import_module("bertviz")
    lens = normlens.load(model)
    assert lens.tokenizer is not None
    lens.model.set_attn_implementation("eager")
    encoded = lens.tokenizer(text, return_tensors="pt")
    start = time.perf_counter()
    with torch.no_grad():
        attentions = lens.model(**encoded, output_attentions=True).attentions
    after = time.perf_counter()
    tokens = lens.tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    page = getattr(bertviz, view)(attentions, tokens, html_action="return").data
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{page}', encoding="utf-8")
    return {"forward": after - start, "page": time.perf_counter() - after, "bytes": path.stat().st_size}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    view, model, source, target = sys.argv[1:]
    print(json.dumps(write(view, model, Path(source).read_text(encoding="utf-8"), Path(target))))
