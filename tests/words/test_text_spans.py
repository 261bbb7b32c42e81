"""Spans of a text: sentences, lines, paragraphs, patterns; and the tokens in them."""

from __future__ import annotations

import pytest

from normlens.errors import InvalidInput
from normlens.words.text_spans import REST, spans_of_tokens, text_spans


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("Dr. No left. Who stayed? I did!", "sentences", ["Dr. No left.", "Who stayed?", "I did!"]),
        ("It cost 3.5, e.g. in the U.S. alone. Why?", "sentences", ["It cost 3.5, e.g. in the U.S. alone.", "Why?"]),
        ('He said "Go." Then he left.', "sentences", ['He said "Go."', "Then he left."]),
        ("No full stop\nA new line", "sentences", ["No full stop", "A new line"]),
        ("これは本です。それも本です。", "sentences", ["これは本です。", "それも本です。"]),
        ("one\n\n two \nthree", "lines", ["one", " two", "three"]),
        ("one\ntwo\n\nthree", "paragraphs", ["one\ntwo", "three"]),
        ("a=1; b=22", r"\w=\d+", ["a=1", "b=22"]),
    ],
)  # fmt: skip
def test_spans_by_kind(text: str, kind: str, expected: list[str]) -> None:
    assert [text[start:stop] for start, stop in text_spans(text, kind)] == expected


def test_a_token_lies_in_the_span_of_its_letters() -> None:
    text = "ab cd. ef"
    spans = text_spans(text, [(0, 6), (7, 9)])
    offsets = [[0, 0], [0, 2], [2, 5], [5, 6], [6, 9]]
    assert spans_of_tokens(text, offsets, spans).tolist() == [REST, 0, 0, 0, 1]
    with pytest.raises(InvalidInput, match="No token lies in the span from 7"):
        spans_of_tokens(text, offsets[:4], spans)
    with pytest.raises(InvalidInput, match="lies in two spans"):
        spans_of_tokens(text, [[4, 8]], spans)
