"""What the tests of the explorer's page share."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import uvicorn
from playwright.sync_api import Page, expect

from normlens.view import ViewService
from normlens.view.server import application
from normlens.view.serving import listening

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
TEXT = "The capital of France is Paris."
TOKEN = "token-of-the-tests"
_LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

expect.set_options(timeout=120_000)  # a busy machine loads the model slowly


@contextmanager
def served(service: ViewService) -> Iterator[str]:
    """The address of a service's explorer, without a fragment."""
    with listening(None) as listener:
        config = uvicorn.Config(application(service, TOKEN), log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)
    service.close()


def check_accessibility(page: Page, part: str | None = None) -> None:
    """No violations in the page, or in what is inside elements of a part, if axe is here."""
    if AXE.is_file():
        assert violations(page, part) == []
    else:
        warnings.warn("axe-core isn't here, so accessibility is NOT tested. Run `npm ci` in web/.", stacklevel=1)


def violations(page: Page, part: str | None = None) -> list[str]:
    """What axe objects to, at levels A and AA; a part is in the shadow of elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    choice = """([tags, part]) => {
        const hosts = [...document.querySelectorAll("*")].filter((one) => one.shadowRoot?.querySelector(part));
        return axe.run(part ? hosts : document, { runOnly: tags });
    }"""
    objections = page.evaluate(choice, [_LEVELS, part])["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in objections]


def opened(page: Page, address: str, /, **fields: str) -> None:
    """Open the explorer, and wait for its heads."""
    fragment = "&".join(f"{name}={quote(value)}" for name, value in {"token": TOKEN, **fields}.items())
    page.goto(f"{address}#{fragment}")
    expect(page.locator(".scatter circle, .thumbnail, .answer, .flow, .alignment, .comparison").first).to_be_visible()
