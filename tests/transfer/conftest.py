"""Counting in three languages, and a tiny parent from French to English."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import normlens
from normlens.translation import TrainingText
from normlens.translation import train as train_translation

NUMBERS = {
    "fr": ["un", "deux", "trois", "quatre", "cinq", "six", "grand"],
    "de": ["eins", "zwei", "drei", "vier", "fünf", "sechs", "groß"],
    "en": ["one", "two", "three", "four", "five", "six", "big"],
}
TINY: dict[str, Any] = {
    "epochs": 60, "positions": 200, "pieces": 60, "width": 32, "layers": 2, "heads": 2, "warmup": 10, "dropout": 0.1,
}  # fmt: skip


@pytest.fixture(scope="session")
def counting_between(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], TrainingText]:
    """343 sentences of three numbers, as the text of any pair of the three languages."""
    folder = tmp_path_factory.mktemp("counting")
    for language, words in NUMBERS.items():
        lines = [f"{a} {b} {c} .\n" for a in words for b in words for c in words]
        (folder / f"text.{language}").write_text("".join(lines), encoding="utf-8")

    def text(source: str, target: str) -> TrainingText:
        files = (folder / f"text.{source}", folder / f"text.{target}")
        return TrainingText([files], source, target, held_out=10)

    return text


@pytest.fixture(scope="session")
def parent_folder(
    counting_between: Callable[[str, str], TrainingText], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model that has learned to count from French to English."""
    return train_translation(counting_between("fr", "en"), tmp_path_factory.mktemp("parent"), **TINY).forward


@pytest.fixture
def parent(parent_folder: Path) -> normlens.Lens:
    return normlens.load(str(parent_folder))
