"""The pages in ``reproduce/results`` are what the scripts make of the numbers that are kept beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import alignment_page
import alignment_table
import attribution_alternatives
import attribution_page
import attribution_table
import clustering_page
import clustering_tables
import evidence_page
import evidence_table
import pytest
import topk_page
import topk_table
from finding import RESULTS

PAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    alignment_table.NAME: alignment_page.page,
    attribution_alternatives.NAME: attribution_alternatives.page,
    attribution_table.NAME: attribution_page.page,
    clustering_tables.NAME: clustering_page.page,
    evidence_table.NAME: evidence_page.page,
    topk_table.NAME: topk_page.page,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_drawn_from_the_numbers_that_are_kept(name: str) -> None:
    kept = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    shown = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert shown.strip() == PAGES[name](kept).strip()
