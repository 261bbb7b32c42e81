"""Cues are found by a list of words, or by name, also as affixes; a text without one is refused."""

from __future__ import annotations

import pytest

from normlens.errors import InvalidInput
from normlens.negation import CUES, find_cues


@pytest.mark.parametrize("cue", CUES)
def test_every_cue_of_the_list_is_found(cue: str) -> None:
    text = "It isn't it" if cue == "n't" else f"It {cue.upper()} it"
    [found] = find_cues(text)
    assert found.text.lower() == cue and text[found.start : found.end] == found.text


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        (
            "He cannot, won't and didn\N{RIGHT SINGLE QUOTATION MARK}t.",
            ["not", "n't", "n\N{RIGHT SINGLE QUOTATION MARK}t"],
        ),
        ("not not bad", ["not", "not"]),
        ("do n't", ["n't"]),
        ("(no)", ["no"]),
    ],
)
def test_cues_as_they_are_written(text: str, cues: list[str]) -> None:
    assert [cue.text for cue in find_cues(text)] == cues


@pytest.mark.parametrize("text", ["A knot, another note: snow, anorak, nothingness and Cannes.", "", "None_such"])
def test_words_that_only_contain_a_cue_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="There is no cue of negation"):
        find_cues(text)


def test_a_cue_is_named() -> None:
    assert [(cue.start, cue.end) for cue in find_cues("By no  means, by NO means.", "by no means")] == [
        (0, 12),
        (14, 25),
    ]
    assert [cue.text for cue in find_cues("Unhappy but helpless", "un")] == ["Un"]
    assert [cue.start for cue in find_cues("helpless people want less", "less")] == [21]  # the whole word wins
    assert [cue.start for cue in find_cues("Unhappy but helpless", "less")] == [16]
    for cue in ("nit", "app", "  "):
        with pytest.raises(InvalidInput):
            find_cues("Unhappy but helpless", cue)
