"""The study of another language pair, on counting in three languages and a stand-in for eflomal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from normlens.errors import NormLensError
from normlens.translation import guidance, training_run
from reproduce.alignment import blind_reading, language_pair, language_pair_page

WORDS = {"un": ("eins", "one"), "deux": ("zwei", "two"), "trois": ("drei", "three"), "cinq": ("fünf", "five")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder like that of Multi30k: 256 captions to train on, and a few others."""
    folder = tmp_path / "data" / "multi30k"
    folder.mkdir(parents=True)
    sentences = [(a, b, c, d) for a in WORDS for b in WORDS for c in WORDS for d in WORDS]
    for name, chosen in (
        ("train", sentences),
        ("val", sentences[:3]),
        *((f"test_{y}_flickr", sentences[:2]) for y in (2016, 2017)),
    ):
        for side, place in (("fr", None), ("de", 0), ("en", 1)):
            words = [[w if place is None else WORDS[w][place] for w in sentence] for sentence in chosen]
            text = "".join(f"{' '.join(sentence)}.\n" for sentence in words)
            (folder / f"{name}.{side}").write_text(text, encoding="utf-8")
    return folder.parent


def _straight(source: Path, target: Path, ahead: Path, back: Path) -> None:
    links = [" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in source.read_text().splitlines()]
    for path in (ahead, back):
        path.write_text("\n".join(links) + "\n")


def test_both_aligners_are_compared_with_both_references(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (language_pair, guidance):
        monkeypatch.setattr(module, "link_files", _straight)
    monkeypatch.setattr(training_run, "eflomal_program", lambda: "eflomal-align")
    monkeypatch.setattr(language_pair, "RESAMPLES", 20)
    monkeypatch.setattr(language_pair, "COMPARED", 30)
    original = language_pair.train

    def tiny(*arguments: Any, **options: Any) -> Any:
        return original(*arguments, **options, width=16, layers=1, heads=2, pieces=60, epochs=0.5, positions=200)

    monkeypatch.setattr(language_pair, "train", tiny)
    command = ["--data", data, "--work", tmp_path / "work", "--output", tmp_path / "out", "--pairs", 200, 250]
    assert language_pair.main(list(map(str, command))) == 0
    kept = json.loads((tmp_path / "out/language_pair/result.json").read_text())
    assert set(kept) == {"pairs 200", "pairs 250"}
    statistical, *fitted = kept["pairs 250"]["rows"]
    # the stand-in links word k with word k, in every text, also over English
    assert statistical["consensus"]["aer"] == statistical["pivot"]["aer"] == 0
    assert [(row["aligner"], row["balance"]) for row in fitted] == [
        ("norm", "0"), ("norm", "0.5"), ("weight", "0"), ("weight", "0.5"),
    ]  # fmt: skip
    for row in fitted:
        assert row["pivot"]["minus_eflomal"][0] == row["pivot"]["aer"]
    assert (tmp_path / "work" / "all.en").read_text().count("\n") == 256 + 3 + 2 + 2
    assert "| 200 | eflomal |" in (tmp_path / "out/language_pair/page.md").read_text()
    assert (tmp_path / "out/language_pair/curve.svg").exists()


def test_what_a_reader_judges_is_counted_for_the_aligner_that_gave_it() -> None:
    words = [["a", "b"]] * 40
    statistical, fitted = [{(0, 0), (1, 1)}] * 40, [{(0, 0), (0, 1)}] * 39 + [{(0, 0), (1, 1)}]
    chosen = blind_reading.drawn(statistical, fitted)
    assert list(chosen) == list(range(39)) and 10 < sum(chosen.values()) < 29
    shown = blind_reading.sheet(chosen, [words, words], statistical, fitted)
    lines = []
    for number, a, b in zip(*[iter(shown.splitlines())] * 3, strict=True):
        k = int(number.split("|")[0])
        assert {a.strip(), b.strip()} == {"A: a~b" if chosen[k] else "A: b~b", "B: b~b" if chosen[k] else "B: a~b"}
        lines.append(f"{k} 1 0 0 1" if "a~b" in a else f"{k} 0 1 1 0")  # the models are always right
    counts = blind_reading.judged("\n".join(reversed(lines)), chosen)
    assert counts == {"eflomal": [[0, 1]] * 39, "models": [[1, 0]] * 39}
    row = language_pair_page._reading({"read": 5000, "counts": counts})
    assert row == ["5,000", "39", "0 of 39", "39 of 39", "39", "0", "0"]
    with pytest.raises(NormLensError, match="1 sentences were judged; expected the 39"):
        blind_reading.judged(lines[0], chosen)
