"""Texts, ids and chats as labelled tokens."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.encoding import encode_chat, encode_ids, encode_text, label_patches
from normlens.errors import InvalidInput

TEXT = "the unhappiness, here."


def test_every_position_of_a_text_is_labelled(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode_text(tokenizer, TEXT)
    assert tokens.labels.tolist() == ["[CLS]", "the", "un", "happi", "ness", ",", "here", ".", "[SEP]"]
    assert tokens.words.tolist() == [-1, 0, 1, 1, 1, 2, 3, 4, -1]
    assert tokens.special.tolist() == [True, *[False] * 7, True]
    assert tokens.categories.tolist() == [
        "special", *["other"] * 4, "punctuation", "other", "punctuation", "special",
    ]  # fmt: skip
    assert [TEXT[a:b] for a, b in tokens.offsets[1:-1]] == ["the", "un", "happi", "ness", ",", "here", "."]
    assert tokens.ids.tolist() == tokenizer(TEXT)["input_ids"]


def test_an_unknown_word_is_text_and_no_special_token(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode_text(tokenizer, "the zebra")
    assert tokens.ids[2] == tokenizer.unk_token_id
    assert (tokens.labels[2], tokens.special[2], tokens.categories[2]) == ("zebra", False, "other")


def test_a_special_token_spelled_out_in_the_text_is_special(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode_text(tokenizer, "the cat [SEP] the dog")
    assert tokens.special.tolist() == [True, False, False, True, False, False, True]
    assert tokens.words.tolist() == [-1, 0, 1, -1, 2, 3, -1]


def test_ids_are_labelled_with_a_tokenizer_and_without(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer(TEXT)["input_ids"]
    with_tokenizer, without = encode_ids(tokenizer, ids, 99), encode_ids(None, ids, 99)
    assert with_tokenizer.categories.tolist() == encode_text(tokenizer, TEXT).categories.tolist()
    assert without.labels.tolist() == [str(i) for i in ids]
    assert without.words.tolist() == list(range(len(ids)))
    assert not without.special.any()


@pytest.mark.parametrize(
    ("ids", "message"), [([], "No token ids"), ([99], "vocabulary has 99"), ([-1], "vocabulary has 99")]
)
def test_ids_outside_the_vocabulary_are_refused(ids: list[int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode_ids(None, ids, 99)


@pytest.mark.parametrize(("text", "message"), [("", "empty"), ("  \n", "empty"), ("[CLS][SEP]", "nothing else")])
def test_texts_without_a_word_are_refused(text: str, message: str, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InvalidInput, match=message):
        encode_text(tokenizer, text)


def test_a_chat_goes_through_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "sat here"}]
    with pytest.raises(InvalidInput, match="no chat template"):
        encode_chat(tokenizer, messages, 99)
    own = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, cls_token="[CLS]", sep_token="[SEP]")
    own.chat_template = "{% for m in messages %}[CLS] {{ m['content'] }} [SEP] {% endfor %}"
    tokens = encode_chat(own, messages, 99)
    assert tokens.labels[[1, 2, 5, 6]].tolist() == ["the", "cat", "sat", "here"]
    assert tokens.special.tolist() == [True, False, False, True] * 2
    own.chat_template = "{{ raise_exception('no') }}"
    with pytest.raises(InvalidInput, match="refused the messages"):
        encode_chat(own, messages, 99)


@pytest.mark.parametrize(
    ("positions", "first", "last"),
    [(17, ["[CLS]", "0,0"], "3,3"), (16, ["0,0", "0,1"], "3,3"), (18, ["[CLS]", "[extra 1]"], "3,3")],
)
def test_patches_are_labelled_by_row_and_column(positions: int, first: list[str], last: str) -> None:
    tokens = label_patches(positions)
    assert tokens.labels[:2].tolist() == first
    assert tokens.labels[-1] == last
    assert tokens.special.sum() == positions - 16
    assert tokens.words[~tokens.special].tolist() == list(range(16))


def test_positions_that_form_no_square_are_numbered() -> None:
    assert label_patches(7).labels.tolist() == [str(k) for k in range(7)]


def test_the_labels_are_the_coordinates_of_an_analysis(
    reader: normlens.Lens, tokenizer: PreTrainedTokenizerFast
) -> None:
    data, tokens = reader.analyze(TEXT)["encoder"].data, encode_text(tokenizer, TEXT)
    for side in ("source", "target"):
        assert data[f"{side}_token"].values.tolist() == tokens.labels.tolist()
        assert data[f"{side}_word"].values.tolist() == tokens.words.tolist()
        assert data[f"{side}_category"].values.tolist() == tokens.categories.tolist()
        assert data[f"{side}_id"].values.tolist() == tokens.ids.tolist()
        spans = np.stack([data[f"{side}_start"].values, data[f"{side}_end"].values], 1)
        assert spans.tolist() == tokens.offsets.tolist()
    assert data["layer_path"].values.tolist() == [f"encoder.layer.{k}.attention.self" for k in range(3)]
