"""Text to train on: what is left out, and what is held out."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from normlens.errors import InvalidInput
from normlens.translation import Preparation, TrainingText
from normlens.translation.preparation import described, prepare, split


@pytest.fixture
def extended(counting: TrainingText, tmp_path: Path) -> TrainingText:
    """The counting text, with further lines and sentences to be left out."""
    special = (
        "Das stimmt nicht.\tNot so !\n \ta\neins eins eins .\tone one one .\nEins Eins eins .\tOne one one .\nno tab\n"
    )
    (tmp_path / "more.tsv").write_text(special, encoding="utf-8")
    (tmp_path / "test.de").write_text("das stimmt nicht !\ngross gross eins .\n", encoding="utf-8")
    (tmp_path / "test.en").write_text("five six five\n", encoding="utf-8")
    files = [*counting.files, (tmp_path / "more.tsv", None)]
    return replace(counting, files=files, exclude=[tmp_path / "test.de", tmp_path / "test.en"])


def test_every_line_is_counted_once(extended: TrainingText) -> None:
    text = prepare(extended)
    counts = text.counts
    # of the excluded sentences one is in the small file; "groß groß eins" and "five six five" are in the large one
    assert (counts.read, counts.unreadable, counts.empty, counts.excluded, counts.repeated) == (348, 1, 1, 3, 2)
    assert counts.training + counts.held_out + counts.near_held_out == 348 - 1 - 1 - 3 - 2
    everything = [*text.training, *text.held_out]
    assert ("groß groß eins .", "big big one .") not in everything
    assert ("eins zwei drei .", "one two three .") in everything


def test_case_is_kept_unless_it_is_folded(extended: TrainingText) -> None:
    text = prepare(replace(extended, lowercase=False))
    assert text.counts.repeated == 1
    assert ("Eins Eins eins .", "One one one .") in [*text.training, *text.held_out]


def test_raw_text_is_split_by_the_rules_of_its_languages(counting: TrainingText, tmp_path: Path) -> None:
    (tmp_path / "raw.tsv").write_text("Nein, danke!\tNo, thanks!\n" * 2)
    text = prepare(replace(counting, files=[*counting.files, (tmp_path / "raw.tsv", None)], tokenize=True))
    assert ("nein , danke !", "no , thanks !") in [*text.training, *text.held_out]


def test_held_out_pairs_share_no_sentence_with_the_others() -> None:
    pairs = [(f"a{k // 2}", f"b{k}") for k in range(100)]
    training, held = split(pairs, 20)
    assert len(held) == 20
    assert {de for de, _ in training}.isdisjoint(de for de, _ in held)
    assert len(training) == 100 - 2 * len({de for de, _ in held})
    assert split(pairs, 20) == (training, held)


def test_by_default_every_fiftieth_pair_is_held_out(counting: TrainingText) -> None:
    assert prepare(replace(counting, held_out=None)).counts.held_out == 343 // 50


def test_what_cannot_be_trained_on_is_refused(counting: TrainingText, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"93 pairs are left to train on, of 343 lines \(250 held out\)"):
        prepare(replace(counting, held_out=250))
    with pytest.raises(InvalidInput, match="names of two languages"):
        replace(counting, target="de")
    with pytest.raises(InvalidInput, match="can't name a language"):
        replace(counting, target="../en")
    with pytest.raises(InvalidInput, match=r"missing\.de can't be read"):
        replace(counting, exclude=[tmp_path / "missing.de"]).facts()
    short = tmp_path / "short.en"
    short.write_text("one\n")
    with pytest.raises(InvalidInput, match="has 343 lines and"):
        prepare(replace(counting, files=[(counting.files[0][0], short)]))


def test_facts_change_with_the_text(counting: TrainingText, extended: TrainingText) -> None:
    assert counting.facts() == replace(counting).facts()
    assert counting.facts()["text"] != extended.facts()["text"]
    assert counting.facts()["exclude"] != extended.facts()["exclude"]


def test_counts_are_described_without_zeros() -> None:
    counts = Preparation(348, 0, 1, 0, 2, 0, 10, 335)
    assert described(asdict(counts)) == "348 lines read, 1 empty, 2 repeated, 10 held out, 335 to train on"
