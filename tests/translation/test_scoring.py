"""Scores by sacrebleu, and a test set translated by a tiny model."""

import json
from pathlib import Path

import pytest
import torch

from normlens.errors import InvalidInput
from normlens.translation import evaluate, recipe_for, score
from normlens.translation.marian import new_model


def test_a_perfect_translation_scores_100_and_the_signature_says_how() -> None:
    scores = score(["the house is small ."], ["the house is small ."])
    assert (scores.bleu, scores.chrf, scores.sentences) == (100.0, 100.0, 1)
    assert "tok:13a" in scores.bleu_signature and "case:mixed" in scores.bleu_signature


def test_bleu_by_hand() -> None:
    # precisions 4/5, 3/4, 2/3, 1/2 and no brevity penalty: the fourth root of their product, 0.2
    scores = score(["a b c d x"], ["a b c d e"], tokenized=True)
    assert scores.bleu == round(100 * 0.2**0.25, 1)
    assert "tok:none" in scores.bleu_signature


def test_case_is_ignored_where_the_model_folds_it() -> None:
    assert score(["das haus ist klein"], ["Das Haus ist klein"], lowercase=True).bleu == 100.0
    assert score(["das haus ist klein"], ["Das Haus ist klein"]).bleu < 100.0


def test_as_many_references_as_translations() -> None:
    with pytest.raises(InvalidInput, match="2 translations and 1 references"):
        score(["a", "b"], ["a"])
    with pytest.raises(InvalidInput, match="0 sentences and 0 references"):
        evaluate("nowhere", [], [])


@pytest.fixture
def untrained(from_english, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """A model with random weights that was, as it says, trained on words of raw text."""
    torch.manual_seed(0)
    folder = tmp_path / "model"
    new_model(recipe_for(1, width=16, layers=1, heads=2), len(from_english)).save_pretrained(folder)
    from_english.save_pretrained(folder)
    facts = {"source": "en", "target": "de", "tokenize": True, "lowercase": True}
    (folder / "training.json").write_text(json.dumps(facts))
    return folder


def test_sentences_are_split_for_the_model_and_its_translations_joined(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def generate(model, input_ids, **options):  # type: ignore[no-untyped-def]
        from transformers import MarianTokenizer

        tokenizer = MarianTokenizer.from_pretrained(untrained)
        seen.extend(tokenizer.batch_decode(input_ids, skip_special_tokens=True))
        return tokenizer(text_target=["eins zwei ."] * len(input_ids), return_tensors="pt")["input_ids"]

    monkeypatch.setattr("transformers.MarianMTModel.generate", generate)
    done: list[int] = []
    result = evaluate(
        str(untrained), ["One two three.", "One."], ["Eins, zwei.", "Eins!"], batch_size=1, progress=done.append
    )
    assert seen == ["one .", "one two three ."]  # the shortest first, words by Moses' rules
    assert done == [1, 1]
    assert result.translations == ["eins zwei.", "eins zwei."]
    assert "case:lc" in result.scores.bleu_signature


def test_a_model_translates_in_order_and_twice_the_same(untrained: Path) -> None:
    source, target = ["one two .", "three", "big big big ."], ["eins", "drei", "groß"]
    one, other = (evaluate(str(untrained), source, target, batch_size=size, beams=2) for size in (1, 3))
    assert one.translations == other.translations
    assert one.scores == other.scores
