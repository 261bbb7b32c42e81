"""Pairs as ids, batches of similar length, and masks."""

import numpy as np
import pytest
import torch
from transformers import MarianTokenizer

from normlens.translation.batches import IGNORED, Course, EncodedPairs, batches_of_like_length, encode, mask, padded
from normlens.translation.vocabulary import END, PADDING, UNKNOWN


def test_encoding_is_what_the_saved_tokenizer_does(from_english: MarianTokenizer) -> None:
    pairs = [("one two .", "eins zwei ."), ("Big three", "groß ☃ drei")]
    encoded = encode(pairs, from_english)
    assert encoded.source == from_english([en for en, _ in pairs])["input_ids"]
    assert encoded.target == from_english(text_target=[de for _, de in pairs])["input_ids"]
    assert UNKNOWN in encoded.target[1]
    assert from_english.decode(encoded.source[1], skip_special_tokens=True) == "big three"


def test_pairs_within_a_length_have_both_sides_within_it() -> None:
    pairs = EncodedPairs([[5, 6, END], [7, END], [7, END]], [[8, END], [9, 10, END], [9, END]])
    assert (pairs.within(2), pairs.within(3)) == ([2], [0, 1, 2])
    assert pairs.select([2]) == EncodedPairs([[7, END]], [[9, END]])


def random_pairs(count: int) -> EncodedPairs:
    generator = np.random.default_rng(0)
    sides = [
        [[*generator.integers(3, 60, size=generator.integers(1, 30)).tolist(), END] for _ in range(count)] for _ in "st"
    ]
    return EncodedPairs(*sides)


def test_batches_hold_every_pair_once_within_the_budget() -> None:
    pairs = random_pairs(500)
    batches = batches_of_like_length(pairs, 120, seed=3)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    longest = np.maximum(*pairs.lengths())
    assert all(len(batch) == 1 or len(batch) * longest[batch].max() <= 120 for batch in batches)
    lengths = pairs.lengths()[1]
    padding = sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum() - 1
    assert padding < 0.05


def test_batch_shifts_labels_and_pads() -> None:
    batch = padded(EncodedPairs([[5, 6, END], [7, END]], [[8, END], [9, 10, END]]), np.array([0, 1]))
    assert batch["input_ids"].tolist() == [[5, 6, END], [7, END, PADDING]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[8, END, IGNORED], [9, 10, END]]
    assert batch["decoder_input_ids"].tolist() == [[PADDING, 8, END], [PADDING, 9, 10]]


def test_mask_hides_its_share_of_the_input_but_neither_start_nor_padding() -> None:
    ids = torch.full((200, 51), 7)
    ids[:, 0] = ids[:, 41:] = PADDING
    hidden = mask(ids, 0.3, torch.Generator().manual_seed(0))
    assert (hidden[ids == PADDING] == PADDING).all()
    # 8,000 draws: the standard deviation of the share is 0.005
    assert (hidden[:, 1:41] == UNKNOWN).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert set(hidden.unique().tolist()) == {UNKNOWN, PADDING, 7}


def test_course_repeats_itself_and_masks_only_the_input() -> None:
    pairs = random_pairs(100)
    one, other = (Course(pairs, 1.5, 200, 0.5, plain=0, seed=4) for _ in range(2))
    clean = Course(pairs, 1.5, 200, 0.0, plain=0, seed=4)
    whole = len(batches_of_like_length(pairs, 200, 0))
    assert len(one) == whole + (whole + 1) // 2
    assert one.pairs_seen[whole] == 100
    for name, tensor in one[3].items():
        assert torch.equal(tensor, other[3][name])
        assert torch.equal(tensor, clean[3][name]) == (name != "decoder_input_ids")


def test_masking_begins_after_the_plain_share() -> None:
    pairs = random_pairs(100)
    course = Course(pairs, 2, 200, 0.5, plain=0.5, seed=4)
    clean = Course(pairs, 2, 200, 0.0, plain=0, seed=4)
    unmasked = [torch.equal(course[k]["decoder_input_ids"], clean[k]["decoder_input_ids"]) for k in range(len(course))]
    assert all(unmasked[: len(course) // 2])
    assert not any(unmasked[(len(course) + 1) // 2 :])
