"""Texts as ids: the vocabulary, batches, and word vectors from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.encoded_texts import END, START, UNKNOWN, TokenizerEncoder, Vocabulary
from normlens.faithfulness.four_tests.labeled_texts import LabeledTexts
from normlens.faithfulness.four_tests.word_vectors import read_vectors

LABELED = LabeledTexts(("The cat sat.", "a dog", "The The zebra ran here"), np.array([0, 1, 0]))


def test_words_are_numbered_by_frequency_and_marks_are_not_read() -> None:
    vocabulary = Vocabulary(("the the cat", "The cat sat"))
    encoded = vocabulary.encode(LABELED)
    assert vocabulary.words[4:] == ["the", "cat", "sat"]
    assert encoded.ids[0].tolist() == [START, 4, 5, 6, UNKNOWN, END]
    assert encoded.readable[0].tolist() == [False, True, True, True, True, False]
    assert encoded.tokens[1] == ["[start]", "a", "dog", "[end]"]
    assert Vocabulary(("the the cat", "The cat sat"), min_count=2).words[4:] == ["the", "cat"]


def test_special_tokens_are_not_read(tokenizer: PreTrainedTokenizerFast) -> None:
    encoded = TokenizerEncoder(tokenizer, tokenizer.pad_token_id).encode(LABELED)
    assert encoded.tokens[1] == ["[CLS]", "a", "dog", "[SEP]"]
    assert encoded.readable[1].tolist() == [False, True, True, False]
    assert encoded.readable[2].sum() == 5  # an unknown word is read


@pytest.mark.parametrize("seed", [None, 3])
def test_batches_hold_every_text_once_and_pad_on_the_right(seed: int | None) -> None:
    encoded = Vocabulary(LABELED.texts).encode(LABELED)
    generator = None if seed is None else np.random.default_rng(seed)
    batches = list(encoded.batches(2, generator=generator))
    assert sorted(row for batch in batches for row in batch.rows) == [0, 1, 2]
    for batch in batches:
        for place, row in enumerate(batch.rows):
            length = len(encoded.ids[row])
            assert batch.ids[place, :length].tolist() == encoded.ids[row].tolist()
            assert batch.readable[place, :length].tolist() == encoded.readable[row].tolist()
            assert not batch.ids[place, length:].any() and not batch.readable[place, length:].any()
        values = [np.arange(len(ids), dtype=float) for ids in encoded.ids]
        assert batch.table(values)[0, 1] == 1


def test_word_vectors_are_read_and_others_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("3 2\nthe 1 2\ncat 3 4\nunused 5 6\n", encoding="utf-8")
    words = ["", "[unknown]", "[start]", "[end]", "the", "cat", "zebra"]
    vectors, coverage = read_vectors(path, words, seed=0)
    assert vectors[4].tolist() == [1, 2] and vectors[5].tolist() == [3, 4]
    assert not vectors[0].any() and vectors[6].any()
    assert coverage == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2\ncat 3\n", "Line 2 of .* has 1 numbers; expected 2"),
        ("dog 1 2\n", "holds none of the 2 words"),
        ("the 1 x\n", "can't be read as word vectors"),
        ("the 1 inf\n", "not finite"),
    ],
)
def test_broken_vectors_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=message):
        read_vectors(path, ["", "[unknown]", "[start]", "[end]", "the", "cat"], seed=0)
