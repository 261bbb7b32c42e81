"""Merging of sub-words into words by the tokenizer's character offsets, and categories of tokens.

Words are separated by whitespace; every punctuation mark and every CJK ideograph is a separate word (as in BERT's
pre-tokenization). Words don't depend on the tokenizer's own spelling (``##ing``, ``Ġthe``, ``▁the``), so every tokenizer
with offsets is treated alike. The word number of special tokens is -1.
"""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of

if TYPE_CHECKING:
    from normlens.words.labels import merge_shares, merged_labels, text_of
    from normlens.words.merging import groups, merge_map, merge_sources, merge_spans, merge_targets
    from normlens.words.numbering import SPECIAL, whitespace_words, word_numbers
    from normlens.words.piece_offsets import corrected_offsets
    from normlens.words.surface import (
        CATEGORIES,
        SOURCE_CATEGORIES,
        categories,
        is_punctuation,
        joined_tokens,
        readable_tokens,
        sources_by_category,
    )
    from normlens.words.word_lists import joined_words

__all__ = [
    "CATEGORIES",
    "SOURCE_CATEGORIES",
    "SPECIAL",
    "categories",
    "corrected_offsets",
    "groups",
    "is_punctuation",
    "joined_tokens",
    "joined_words",
    "merge_map",
    "merge_shares",
    "merge_sources",
    "merge_spans",
    "merge_targets",
    "merged_labels",
    "readable_tokens",
    "sources_by_category",
    "text_of",
    "whitespace_words",
    "word_numbers",
]
_HOMES = {
    **dict.fromkeys(("merge_shares", "merged_labels", "text_of"), "normlens.words.labels"),
    **dict.fromkeys(("groups", "merge_map", "merge_sources", "merge_spans", "merge_targets"), "normlens.words.merging"),
    **dict.fromkeys(("SPECIAL", "whitespace_words", "word_numbers"), "normlens.words.numbering"),
    "corrected_offsets": "normlens.words.piece_offsets",
    **dict.fromkeys(
        (
            "CATEGORIES",
            "SOURCE_CATEGORIES",
            "categories",
            "is_punctuation",
            "joined_tokens",
            "readable_tokens",
            "sources_by_category",
        ),
        "normlens.words.surface",
    ),
    "joined_words": "normlens.words.word_lists",
}
__getattr__ = attribute_of(__name__, _HOMES)
