"""What is erased at once, and what is left."""

from __future__ import annotations

import numpy as np
import pytest

import normlens
from normlens.errors import InvalidInput
from normlens.faithfulness import Design, LensClassifier, leave_one_out, replacement_of, tokens_of, words_of
from normlens.faithfulness.erasure.erasing import counts_of_shares, erase, order_of

TEXT = "the unhappiness."


@pytest.fixture
def tokens(classifier: normlens.Lens):
    return LensClassifier(classifier).encode(TEXT)  # [CLS] the un ##happi ##ness . [SEP]


def test_units_are_words_or_tokens_and_never_special(tokens):
    assert words_of(tokens).of_token.tolist() == [-1, 0, 1, 1, 1, 2, -1]
    assert words_of(tokens).lengths.tolist() == [3, 11, 1]
    assert tokens_of(tokens).of_token.tolist() == [-1, 0, 1, 2, 3, 4, -1]
    assert tokens_of(tokens).lengths.tolist() == [3, 2, 5, 4, 1]
    assert words_of(tokens).tokens(np.array([False, True, False])).tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_scores_add_up_over_the_pieces_of_a_word(tokens):
    by_token = [9.0, 1.0, 2.0, -3.0, 0.5, 4.0, 9.0]
    assert words_of(tokens).scores(by_token).tolist() == [1.0, -0.5, 4.0]
    assert words_of(tokens).scores([9.0, 1.0, -0.5, 4.0, 9.0]).tolist() == [1.0, -0.5, 4.0]  # words and special tokens
    assert words_of(tokens).scores([1.0, -0.5, 4.0]).tolist() == [1.0, -0.5, 4.0]
    assert tokens_of(tokens).scores(by_token).tolist() == [1.0, 2.0, -3.0, 0.5, 4.0]


@pytest.mark.parametrize("scores", [[1.0, 2.0], [1.0, np.nan, 2.0], np.zeros((3, 3))])
def test_scores_that_do_not_fit_are_refused(tokens, scores):
    with pytest.raises(InvalidInput, match="expected"):
        words_of(tokens).scores(scores)


def test_erasing_masks_in_place_or_shortens():
    ids, erased = np.array([1, 5, 6, 2]), np.array([False, True, True, False])
    assert erase(ids, erased, "mask", 9).tolist() == [1, 9, 9, 2]
    assert erase(ids, erased, "delete", 9).tolist() == [1, 2]
    assert erase(ids, np.ones(4, dtype=bool), "delete", 9).tolist() == [9]
    with pytest.raises(InvalidInput, match="mask, delete"):
        erase(ids, erased, "blur", 9)


def test_shares_are_rounded_up_but_not_by_rounding_errors():
    assert counts_of_shares([0.01, 0.05, 0.1, 0.2, 0.5, 1.0], 10).tolist() == [1, 1, 1, 2, 5, 10]
    assert counts_of_shares([0.1, 0.2, 0.3, 0.7], 30).tolist() == [3, 6, 9, 21]
    assert counts_of_shares([0.07, 0.14], 100).tolist() == [7, 14]  # 0.07 · 100 is 7.000000000000001
    assert counts_of_shares([0.3, 1.0], 1).tolist() == [1, 1]
    assert Design(counts=(1, 3, 9)).erased_at_steps(4).tolist() == [1, 3, 4]


def test_order_is_descending_and_ties_favor_no_position():
    assert order_of(np.array([0.1, 3.0, -2.0]), np.random.default_rng(0)).tolist() == [1, 0, 2]
    generator = np.random.default_rng(0)
    firsts = [int(order_of(np.zeros(4), generator)[0]) for _ in range(400)]
    assert min(np.bincount(firsts, minlength=4)) > 60  # 100 expected; 60 is 4.6 standard deviations away


def test_replacement_is_the_first_that_says_nothing(tokenizer):
    assert replacement_of(tokenizer).token == "[UNK]"  # this tokenizer has no mask token
    assert replacement_of(tokenizer, "pad").id == tokenizer.pad_token_id
    assert replacement_of(tokenizer, "cat").token == "cat"
    with pytest.raises(InvalidInput, match=r"unk \(\[UNK\]\)"):
        replacement_of(tokenizer, "mask")
    with pytest.raises(InvalidInput, match="without a tokenizer"):
        replacement_of(None)


def test_leave_one_out_of_added_weights_gives_the_weights(adding):
    assert leave_one_out(adding, "good the two bad").tolist() == pytest.approx([0.2, 0.0, 0.1, -0.1])
    by_token = leave_one_out(adding, "good the two bad", by="token", erasure="delete")
    assert by_token.tolist() == pytest.approx([0.2, 0.0, 0.05, 0.05, -0.1])
    # Where class 0 is predicted, its probability rises without a word that speaks for class 1.
    assert leave_one_out(adding, "bad bad fine").tolist() == pytest.approx([0.1, 0.1, -0.1])
