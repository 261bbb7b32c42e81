"""The pages in ``reproduce/results`` are what the scripts make of the numbers that are kept beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from reproduce.alignment import language_pair, language_pair_page
from reproduce.alignment import page as alignment_page
from reproduce.alignment import table as alignment_table
from reproduce.attribution import alternatives as attribution_alternatives
from reproduce.attribution import page as attribution_page
from reproduce.attribution import table as attribution_table
from reproduce.clustering import page as clustering_page
from reproduce.clustering import table as clustering_tables
from reproduce.contexts import page as contexts_page
from reproduce.contexts import table as contexts_table
from reproduce.eviction import page as eviction_page
from reproduce.eviction import table as eviction_table
from reproduce.evidence import page as evidence_page
from reproduce.evidence import table as evidence_table
from reproduce.four_tests import page as four_tests_page
from reproduce.four_tests import table as four_tests_table
from reproduce.heads import idle, idle_page
from reproduce.negation import displacement as negation_displacement
from reproduce.negation import displacement_page as negation_displacement_page
from reproduce.negation import scone as negation_scone
from reproduce.negation import scone_page as negation_scone_page
from reproduce.negation import scope as negation_scope
from reproduce.negation import scope_page as negation_scope_page
from reproduce.negation.trees import page as negation_trees_page
from reproduce.negation.trees import table as negation_trees_table
from reproduce.norms import dispersion, frequency, mixing_ratio, special_tokens
from reproduce.study import run
from reproduce.study.kept import RESULTS, numbers_of
from reproduce.topk import page as topk_page
from reproduce.topk import table as topk_table
from reproduce.transfer import page as transfer_page
from reproduce.transfer import table as transfer_table

PAGES: dict[str, Callable[[dict[str, Any]], str]] = {
    alignment_table.NAME: alignment_page.page,
    attribution_alternatives.NAME: attribution_alternatives.page,
    attribution_table.NAME: attribution_page.page,
    clustering_tables.NAME: clustering_page.page,
    contexts_table.NAME: contexts_page.page,
    eviction_table.NAME: eviction_page.page,
    evidence_table.NAME: evidence_page.page,
    idle.NAME: idle_page.page,
    language_pair.NAME: language_pair_page.page,
    four_tests_table.NAME: four_tests_page.page,
    negation_displacement.NAME: negation_displacement_page.page,
    negation_scone.NAME: negation_scone_page.page,
    negation_scope.NAME: negation_scope_page.page,
    negation_trees_table.NAME: negation_trees_page.page,
    transfer_table.NAME: transfer_page.page,
    topk_table.NAME: topk_page.page,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_drawn_from_the_numbers_that_are_kept(name: str) -> None:
    kept = json.loads(numbers_of(name, RESULTS).read_text(encoding="utf-8"))
    shown = (RESULTS / name / "page.md").read_text(encoding="utf-8")
    assert shown == PAGES[name](kept) + "\n"


@pytest.mark.parametrize("study", [dispersion, frequency, mixing_ratio, special_tokens])
def test_a_findings_page_is_drawn_from_the_numbers_that_are_kept(study: Any) -> None:
    shown = (RESULTS / study.FINDING.name / "page.md").read_text(encoding="utf-8")
    assert shown == run.page(study.FINDING, run.entries_of(study.FINDING, RESULTS)) + "\n"
