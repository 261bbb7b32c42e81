"""Whatever reads an analysis reads every scope: recorder, reductions, statistics, pictures, pages, rollout, commands."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
import xarray as xr

import normlens
from normlens.analysis.group_arrays import DIMENSIONS
from normlens.analysis.reductions import REDUCTIONS
from normlens.attribution.methods.norm_rollout import METHOD
from normlens.cli import choices
from normlens.engine.tracing.scopes import ATTENTION_SCOPES, NORM_VARIABLES, OWN_VARIABLES, SCOPES, TEXTS, norm_variable
from normlens.figures import heat_maps, html_view
from normlens.figures.explorer_page.binary_message import decoded
from normlens.statistics import text_numbers
from normlens.statistics.report.definitions import DEFINITIONS


@pytest.fixture(scope="module")
def analysis(lens_of: Callable[[str], normlens.Lens]) -> normlens.Analysis:
    result: normlens.Analysis = lens_of("bert").analyze([5, 6, 7, 8], through="block")
    return result


def test_a_post_norm_encoder_has_all_of_them(analysis: normlens.Analysis) -> None:
    data = analysis["encoder"].data
    assert set(NORM_VARIABLES) <= set(data.data_vars) <= set(DIMENSIONS)
    assert set(OWN_VARIABLES) <= set(DIMENSIONS)
    assert data["scope"].values.tolist() == list(SCOPES)


def test_each_has_its_words() -> None:
    assert tuple(TEXTS) == SCOPES
    assert len({text.title for text in TEXTS.values()}) == len({text.label for text in TEXTS.values()}) == len(SCOPES)


def test_commands_offer_them() -> None:
    assert [scope.value for scope in choices.LAYER_SCOPES] == list(SCOPES)
    assert [scope.value for scope in choices.ATTENTION_SCOPES] == list(ATTENTION_SCOPES)
    assert {scope.value for scope in choices.Scope} == {*SCOPES, "encoder"}  # norm_rollout's own


def test_norm_rollout_takes_them() -> None:
    assert METHOD.scopes == ("encoder", *SCOPES)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_keep_them(analysis: normlens.Analysis, name: str) -> None:
    reduced = REDUCTIONS[name](analysis["encoder"].data.isel(layer=0))
    for scope in SCOPES:
        assert any(str(variable).startswith(norm_variable(scope)) for variable in reduced.data_vars), scope


def test_statistics_count_them_and_the_report_defines_them(analysis: normlens.Analysis) -> None:
    numbers = text_numbers(analysis["encoder"].data)
    defined = " ".join(definition.name for definition in DEFINITIONS)
    for variable in NORM_VARIABLES:
        shares = [
            numbers[f"{variable}_share", category] for category in ("special", "punctuation", "other", "first token")
        ]
        assert sum(shares) == pytest.approx(1.0)
        assert f"{variable}_share" in defined


@pytest.mark.parametrize("scope", SCOPES)
def test_heat_maps_draw_them(analysis: normlens.Analysis, scope: str) -> None:
    _, norm = heat_maps(analysis["encoder"].data, 0, scope=scope)
    assert TEXTS[scope].title in norm.get_title()


def test_the_page_holds_them(analysis: normlens.Analysis) -> None:
    page = html_view(xr.DataTree(children={"encoder": xr.DataTree(analysis["encoder"].data)}), "title")
    encoded = dict(re.findall(r'data-message="([^"]*)">([^<]*)</script>', page))
    facts, _ = decoded(base64.b64decode(encoded["overview"]))
    assert [scope["name"] for scope in facts["groups"][0]["scopes"]] == list(SCOPES)
    _, arrays = decoded(base64.b64decode(encoded["map/encoder/0/all/norm"]))
    assert {f"norm/{scope}" for scope in SCOPES} <= set(arrays)
