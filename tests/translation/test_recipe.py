"""Recipes: sizes by the amount of text, and values out of range."""

import re
from pathlib import Path
from typing import Any

import pytest

from normlens.errors import InvalidInput
from normlens.translation import Recipe, recipe_for
from normlens.translation.recipe import LARGEST, SIZES


def test_sizes_grow_with_the_text() -> None:
    amounts = [below - 1 for below, _ in SIZES] + [10**7]
    recipes = [recipe_for(pairs) for pairs in amounts]
    for name in ("width", "pieces", "layers"):
        values = [getattr(recipe, name) for recipe in recipes]
        assert values == sorted(values)
    assert [recipe.epochs for recipe in recipes] == sorted((recipe.epochs for recipe in recipes), reverse=True)
    assert recipes[-1] == Recipe(**LARGEST)


def test_the_table_in_the_docs_is_that_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "translation.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"^\| (?:below ([\d,]+)|more) \| (\d+) \| ([\d,]+) \| (\d) \+ \d \| (\d+) \| ([\d.]+) \|$", page, flags=re.M
    )
    sizes = [(str(below), recipe_for(below - 1)) for below, _ in SIZES] + [("", recipe_for(10**7))]
    assert [[cell.replace(",", "") for cell in row] for row in shown] == [
        [below, *(f"{getattr(recipe, name):g}" for name in ("epochs", "pieces", "layers", "width", "dropout"))]
        for below, recipe in sizes
    ]


def test_what_is_set_is_kept_and_none_is_the_default() -> None:
    assert recipe_for(200_000, epochs=2.5, width=None) == Recipe(epochs=2.5, pieces=6000, width=192)


@pytest.mark.parametrize("wrong", [{"masking": 1.5}, {"epochs": 0}, {"dropout": 1.0}])
def test_shares_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="expected shares from 0 to 1"):
        recipe_for(1000, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 10}, "multiple of twice the heads"),
        ({"layers": 0}, "expected at least 1 each"),
        ({"guide": "giza"}, "guide is 'giza'; expected one of none, eflomal"),
        ({"precision": "half"}, "expected one of float32, bfloat16"),
        ({"epoch": 3}, "Did you mean 'epochs'"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        recipe_for(1000, **wrong)
