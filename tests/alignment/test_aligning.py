"""A text aligned as a stream: a result for each line, in order, whatever the line holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sentences import SOURCES, TARGETS

from normlens.alignment import Aligner, Extractor, Line, Reading, with_layers
from normlens.errors import InvalidInput


def _lines(repeat: int = 1) -> list[Line]:
    return [Line(k, *pair) for k, pair in enumerate(list(zip(SOURCES, TARGETS, strict=True)) * repeat, start=1)]


def test_every_line_has_its_result_in_order(marian: Extractor) -> None:
    lines = [
        *_lines(),
        Line(7, "", "x"),
        Line(8, "haus", "house"),
        Line(9, "haus " * 99, "house"),
        Line(10, "", "", "it is broken"),
    ]

    alignments = list(Aligner(marian, Reading(1)).align(lines))

    assert [alignment.line for alignment in alignments] == list(range(1, 11))
    assert [alignment.skipped for alignment in alignments[:6]] == [None] * 6
    assert alignments[6].skipped == "source: the sentence is empty"
    assert alignments[7].skipped is None
    assert "100 tokens" in str(alignments[8].skipped)
    assert alignments[9].skipped == "it is broken"
    for alignment, one, other in zip(alignments, SOURCES, TARGETS, strict=False):
        assert (alignment.source, alignment.target) == (one.split(), other.split())
        (soft,) = marian.soft([marian.pair(one, other)], Reading(1))
        assert [link[:2] for link in alignment.links] == [link[:2] for link in soft.links()]


def test_nothing_is_read_far_ahead(marian: Extractor) -> None:
    read = 0

    def endless() -> Iterator[Line]:
        nonlocal read
        while True:
            read += 1
            yield Line(read, "haus", "house")

    small = Extractor(marian.lens, batch_size=2)
    alignments = Aligner(small, Reading(0)).align(endless())
    for _ in range(100):
        next(alignments)

    assert read <= 100 + 16 * 2


def test_two_models_and_both_ways_of_one(marian: Extractor, reverse_marian: Extractor) -> None:
    both = list(Aligner(marian, Reading(1), reverse_marian, Reading(2), symmetrize="union").align(_lines()))
    ahead = list(Aligner(marian, Reading(1)).align(_lines()))
    exchanged = [Line(line.number, line.target, line.source) for line in _lines()]
    back = list(Aligner(reverse_marian, Reading(2)).align(exchanged))

    for joint, one, other in zip(both, ahead, back, strict=True):
        cells = {link[:2] for link in one.links} | {(link.target, link.source) for link in other.links}
        assert {link[:2] for link in joint.links} == cells
    alone = next(Aligner(marian, Reading(1), symmetrize="intersection").align(_lines()))
    assert {link[:2] for link in alone.links} <= {link[:2] for link in ahead[0].links}


def test_layers_are_chosen_by_the_first_lines_and_no_line_is_lost(marian: Extractor, reverse_marian: Extractor) -> None:
    lines = [Line(1, "", "x"), *_lines(40)]

    (choice,), again = with_layers(lines, marian, Reading(0), rule="coverage")
    choices, _ = with_layers(lines, marian, Reading(0), reverse_marian, rule="agreement")

    assert list(again) == lines
    assert choice.reading.layer in range(3)
    assert len(choices) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [({"symmetrize": "grow"}, "no symmetrization"), ({"threshold": 1.5}, "threshold"), ({"balance": -1.0}, "balance")],
)
def test_options_out_of_range_are_refused(marian: Extractor, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Aligner(marian, Reading(0), **options)  # type: ignore[arg-type]


def test_two_models_without_a_way_to_join_them_are_refused(marian: Extractor) -> None:
    with pytest.raises(InvalidInput, match="symmetrize="):
        Aligner(marian, Reading(0), marian)


def test_a_layer_that_is_not_there_is_refused_at_once(marian: Extractor) -> None:
    with pytest.raises(InvalidInput, match="no layer 9"):
        Aligner(marian, Reading(9))
