"""What the tests of the explorer's page share."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
TEXT = "The capital of France is Paris."
TOKEN = "token-of-the-tests"
_LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def violations(page: Page) -> list[str]:
    """What axe objects to, at levels A and AA."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    objections = page.evaluate("tags => axe.run({ runOnly: tags })", _LEVELS)["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in objections]
