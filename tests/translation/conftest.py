"""Counting in two languages: a text that a tiny model learns in seconds."""

from __future__ import annotations

import pytest
from transformers import MarianTokenizer

from normlens.translation import TrainingText
from normlens.translation.preparation import prepare
from normlens.translation.vocabulary import learn_pieces, tokenizer_for

NUMBERS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five", "sechs": "six", "groß": "big"}


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory) -> TrainingText:
    """343 sentences of three numbers."""
    folder = tmp_path_factory.mktemp("counting")
    words = [(a, b, c) for a in NUMBERS for b in NUMBERS for c in NUMBERS]
    (folder / "text.de").write_text("".join(f"{' '.join(three)} .\n" for three in words), encoding="utf-8")
    english = "".join(f"{' '.join(NUMBERS[w] for w in three)} .\n" for three in words)
    (folder / "text.en").write_text(english, encoding="utf-8")
    return TrainingText([(folder / "text.de", folder / "text.en")], "de", "en", lowercase=True, held_out=10)


@pytest.fixture(scope="session")
def from_english(counting: TrainingText, tmp_path_factory: pytest.TempPathFactory) -> MarianTokenizer:
    """A tokenizer from English to German."""
    folder = tmp_path_factory.mktemp("tokenizer")
    sentences = [sentence for pair in prepare(counting).training for sentence in pair]
    learn_pieces(sentences, folder / "pieces.spm", 60, fold_case=True)
    return tokenizer_for(folder / "pieces.spm", folder / "tokenizer", "en", "de")
