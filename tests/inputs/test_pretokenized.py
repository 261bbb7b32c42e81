"""Texts as lists of words: tokens as in the joined text, words as in the list, or a refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from architectures import tiny
from tokenizer_kinds import KINDS, lens_on, tokenizer_of
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from normlens.inputs.pretokenized import encode_words
from normlens.words import merge_shares

WORDS = ["x", "sufficient", "f.", "ofx.", "東京", "กำน้ำ", "x"]


def words_of(data: Any, side: str = "source") -> list[str]:
    ordinary = data[f"{side}_category"].values != "special"
    return [str(label).partition(" ")[0] for label in data[f"{side}_token"].values[ordinary]]


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_those_that_were_given(kind: str) -> None:
    lens = lens_on(kind)
    analysis = lens.analyze({"words": WORDS})
    data = analysis.words()["encoder"].data
    assert words_of(data) == WORDS
    assert data["source_word"].values[data["source_category"].values != "special"].tolist() == list(range(len(WORDS)))
    assert words_of(analysis.words(split_punctuation=False)["encoder"].data) == WORDS
    joined = lens.analyze(" ".join(WORDS))["encoder"].data  # read as this text is
    assert analysis["encoder"].source_id.values.tolist() == joined["source_id"].values.tolist()
    np.testing.assert_allclose(analysis["encoder"].norm, joined["norm"], atol=1e-6)
    assert words_of(merge_shares(lens.attribute({"words": WORDS}, method="rollout").isel(target=0))) == WORDS


@pytest.mark.parametrize("kind", ["BERT", "XLM-R", "CamemBERT", "T5", "XLNet", "mBART", "prefixed"])
def test_words_are_cut_as_the_tokenizer_cuts_a_list(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    expected = tokenizer(WORDS, is_split_into_words=True)
    encoded = encode_words(tokenizer, WORDS)
    assert encoded.ids.tolist() == expected["input_ids"]
    assert encoded.words.tolist() == [-1 if word is None else word for word in expected.word_ids()]


def test_a_list_of_lists_of_strings_is_several_texts_and_a_list_of_strings_too(reader: normlens.Lens) -> None:
    sentences = [["un", "happiness"], ["the", "cat", "'s", "here"]]
    for words, result in zip(sentences, reader.analyze(sentences, progress=False), strict=True):
        assert words_of(result.words()["encoder"].data) == [w if w != "'s" else "'s" for w in words]
        assert result.attrs["text"] == " ".join(words)
    for words, result in zip(sentences, reader.attribute(iter(sentences)), strict=True):
        alone = reader.attribute({"words": words})
        np.testing.assert_allclose(result.values, alone.values, atol=1e-5)
    texts = list(reader.analyze(["the cat", "here"], progress=False))
    assert [result.attrs["text"] for result in texts] == ["the cat", "here"]
    assert [len(one) for one in (list(reader.analyze([{"words": ["a", "cat"]}, "the dog"], progress=False)),)] == [2]


def test_words_keep_spaces_inside_and_marks_stand_alone(reader: normlens.Lens) -> None:
    data = reader.analyze({"words": ["the cat", "[SEP]", "sat"]})["encoder"].data
    assert data["source_word"].values.tolist() == [-1, 0, 0, -1, 2, -1]


def test_both_texts_of_a_translation_may_be_words() -> None:
    lens = normlens.load("de-en")  # its tokenizer says nothing of places
    source, target = ["Das", "ist", "unbegreiflich", "gut."], ["That", "is", "incomprehensibly", "good."]
    cross = lens.analyze({"words": source}, {"words": target}).words()["cross"].data
    assert words_of(cross) == source and words_of(cross, "target") == target
    (again,) = lens.analyze([source], [target], progress=False)
    assert words_of(again.words()["cross"].data, "target") == target


def test_a_token_of_two_words_is_refused() -> None:
    core = Tokenizer(WordLevel({"New York": 0, "New": 1, "<unk>": 2}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    with pytest.raises(InvalidInput, match=r"'New␣York' spans 'New' and 'York'.*Join these words"):
        encode_words(tokenizer, ["New", "York"])
    assert encode_words(tokenizer, ["New York"]).words.tolist() == [0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "at least one"), ("the cat", "expected a list of words"), (["the", ""], "Word 1.*is ''"),
        (["the", " cat"], "' cat'"),
        (["x", 5], "Word 1.*is 5"), (["x", "\u200b"], "gives word 1, counted from 0"),
    ],
)  # fmt: skip
def test_what_is_no_word_is_refused(words: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens_on("BERT").analyze({"words": words})


def test_a_text_of_words_is_not_continued(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((tiny.build("gpt2"), tokenizer))
    with pytest.raises(InvalidInput, match="generate= continues a text, but the input is a list of words"):
        lens.analyze({"words": ["the", "cat"]}, generate=2)
