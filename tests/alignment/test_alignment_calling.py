"""``normlens.align``: two sentences or many, and the same links as the rooms behind it give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sentences import SOURCES, TARGETS
from typer.testing import Result

import normlens
from normlens.alignment import Aligner, Extractor, Line, Reading
from normlens.errors import InvalidInput


@pytest.fixture(scope="module")
def lens(marian_folder: Path) -> normlens.Lens:
    return normlens.load(str(marian_folder))


def test_links_are_those_of_the_aligner(lens: normlens.Lens) -> None:
    lines = [Line(k, *pair) for k, pair in enumerate(zip(SOURCES, TARGETS, strict=True), start=1)]
    expected = [alignment.links for alignment in Aligner(Extractor(lens), Reading(1), threshold=0.1).align(lines)]
    alignments = normlens.align(SOURCES, TARGETS, model=lens, layer=1, threshold=0.1)
    assert [one.links for one in alignments] == expected
    one = normlens.align(SOURCES[0], TARGETS[0], model=lens, layer=1, threshold=0.1)
    assert [link[:2] for link in one.links] == [link[:2] for link in expected[0]]
    assert list(one.source) == SOURCES[0].split()
    assert one.word_pairs == [(one.source[link.source], one.target[link.target]) for link in one.links]


def test_the_layer_is_chosen_and_two_models_are_made_one(marian_folder: Path, reverse_folder: Path) -> None:
    alignments = normlens.align(SOURCES, TARGETS, model=str(marian_folder), reverse_model=str(reverse_folder))
    assert len(alignments) == len(SOURCES)
    with pytest.raises(InvalidInput, match="Pass only one of them"):
        normlens.align("a", "b", model=str(marian_folder), layer=0, rule="norm")


def test_words_may_be_given(lens: normlens.Lens) -> None:
    words = [sentence.split() for sentence in SOURCES]
    alignments, expected = (normlens.align(sources, TARGETS, model=lens, layer=0) for sources in (words, SOURCES))
    assert [one.links for one in alignments] == [one.links for one in expected]


def test_raw_text_is_cut_into_words_by_the_rules_of_its_language(
    lens: normlens.Lens, marian_folder: Path, run: Callable[..., Result], tmp_path: Path
) -> None:
    source, target = "Das ist gut, z.B. heute.", "It's good, e.g. today."
    alignment = normlens.align(source, target, model=lens, layer=0, tokenize="de-en")
    assert list(alignment.source) == ["Das", "ist", "gut", ",", "z.B.", "heute", "."]  # "z.B." is no end of a sentence
    assert list(alignment.target) == ["It", "'s", "good", ",", "e.g.", "today", "."]
    (tmp_path / "raw.tsv").write_text(f"{source}\t{target}\n")
    arguments = [
        "align",
        "raw.tsv",
        "--model",
        marian_folder,
        "--layer",
        "0",
        "--format",
        "json",
        "--tokenize",
        "de-en",
    ]
    record = json.loads(run(*arguments).stdout)
    assert (record["source"], record["target"]) == (alignment.source, alignment.target)
    assert [tuple(link[:2]) for link in record["links"]] == [link[:2] for link in alignment.links]


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        ("a", ["b"], {}, "One side is a sentence"),
        (["a", "b"], ["b"], {}, "There are 2 sentences and 1 translations"),
        ([["a b"]], ["c"], {}, "'a b' is among the words"),
        ([["a", 3]], ["c"], {}, "3 is among the words"),
        (" ", "b", {}, "source: the sentence is empty"),
        (["a", ""], ["b", "c"], {}, "Pair 1 \\(counted from 0\\): source: the sentence is empty"),
        ("a", "b", {"tokenize": "de"}, "such as de-en"),
        ("a", "b", {"tokenize": "de-ja"}, "such as de-en"),
        ("a", "b", {"setting": "both"}, "must be one of awi, awo"),
        ("a", "b", {"device": "cpu"}, "is a lens"),
    ],
)
def test_what_cannot_be_aligned_is_refused(
    source: object, target: object, options: dict[str, object], message: str, lens: normlens.Lens
) -> None:
    with pytest.raises(InvalidInput, match=message):
        normlens.align(source, target, model=lens, layer=0, **options)  # type: ignore[call-overload]


def test_bad_pairs_may_be_skipped(lens: normlens.Lens) -> None:
    good, bad = normlens.align(["a", ""], ["b", "c"], model=lens, layer=0, skip_bad=True)
    assert good.skipped is None
    assert (bad.links, bad.skipped) == ([], "source: the sentence is empty")


def test_german_and_english_need_no_model() -> None:
    alignment = normlens.align("das haus ist gut .", "the house is good .")
    assert alignment.word_pairs == [("das", "the"), ("haus", "house"), ("ist", "is"), ("gut", "good"), (".", ".")]
