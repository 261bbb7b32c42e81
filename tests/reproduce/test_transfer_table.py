"""The study of transfer, on counting in three languages, with tiny models and a stand-in for eflomal."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import sacrebleu

from normlens.errors import NormLensError
from reproduce.transfer import family, measurements, table, translations

WORDS = {"un": ("eins", "one"), "deux": ("zwei", "two"), "trois": ("drei", "three"), "cinq": ("fünf", "five")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder like that of Multi30k: 256 captions to train on, and a few others."""
    folder = tmp_path / "data" / "multi30k"
    folder.mkdir(parents=True)
    sentences = [(a, b, c, d) for a in WORDS for b in WORDS for c in WORDS for d in WORDS]
    tests = ("val", "test_2016_flickr", "test_2017_flickr")
    for name, chosen in (("train", sentences), *((name, sentences[:6]) for name in tests)):
        for side, place in (("fr", None), ("de", 0), ("en", 1)):
            words = [[w if place is None else WORDS[w][place] for w in sentence] for sentence in chosen]
            text = "".join(f"{' '.join(sentence)}.\n" for sentence in words)
            (folder / f"{name}.{side}").write_text(text, encoding="utf-8")
    return folder.parent


def _straight(source: Path, target: Path, ahead: Path, back: Path) -> None:
    links = [" ".join(f"{k}-{k}" for k in range(len(line.split()))) for line in source.read_text().splitlines()]
    for path in (ahead, back):
        path.write_text("\n".join(links) + "\n")


def test_children_are_measured_in_every_setting_that_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "link_files", _straight)
    monkeypatch.setattr(measurements, "RESAMPLES", 20)
    monkeypatch.setattr(table, "RESAMPLES", 20)
    monkeypatch.setattr(
        family, "PARENT", {"width": 16, "layers": 1, "heads": 2, "pieces": 60, "epochs": 8, "positions": 200}
    )
    monkeypatch.setattr(family, "CHILD", {"pieces": 60, "epochs": 2, "positions": 200})
    command = ["--data", data, "--work", tmp_path / "work", "--output", tmp_path / "out", "--seeds", 1, "--settings"]
    assert table.main(list(map(str, [*command, "src+xattn", "src"]))) == 0
    path = tmp_path / "out/transfer/result.json"
    kept = json.loads(path.read_text())
    assert set(kept) == {"parent", "src+xattn, seed 1", "src, seed 1", "zero-shot, seed 1", "differences"}
    child, only = kept["src+xattn, seed 1"], kept["src, seed 1"]
    assert child["trained"] > only["trained"] and child["bytes"] > only["bytes"]
    assert only["forgotten"] == kept["parent"]["bleu"]  # nothing of the body was trained
    assert child["dictionary"]["csls"]["words"] == 4
    assert [(row["layer"], row["setting"], row["measure"]) for row in child["alignment"]] == [
        (0, "awo", "norm"), (0, "awo", "weight"), (0, "awi", "norm"), (0, "awi", "weight")
    ]  # fmt: skip
    assert set(kept["zero-shot, seed 1"]["rows"]) == {"src+xattn", "src"}
    compared = kept["differences"]["rows"]
    for kind, by in (("child", lambda row: row["bleu"]), ("forgotten", lambda row: row["forgotten"])):
        value, (low, high) = (compared[kind]["src"][name] for name in ("value", "interval"))
        assert value == pytest.approx(by(child) - by(only), abs=0.11)  # the scores are rounded to a tenth
        assert low <= value <= high
    halves = [(tmp_path / "work" / f"half{rest}.en").read_text().splitlines() for rest in (0, 1)]
    assert [len(half) for half in halves] == [128, 128] and not set(halves[0]) & set(halves[1])
    assert not list((tmp_path / "work").glob("complete-*"))
    page = (tmp_path / "out/transfer/page.md").read_text()
    assert "| src+xattn |" in page and "by chance" in page
    assert (tmp_path / "out/transfer/stored.svg").exists()
    before = path.read_text()
    assert table.main(list(map(str, [*command, "src+xattn", "src"]))) == 0  # what is kept isn't measured again
    assert path.read_text() == before


def test_noise_drops_and_moves_few_words() -> None:
    generator = random.Random(0)
    clean = " ".join(map(str, range(1000)))
    noisy = [int(word) for word in family.with_noise(clean, generator).split()]
    assert 850 < len(noisy) < 950 and len(set(noisy)) == len(noisy)
    left = sorted(noisy)
    assert max(abs(place - left.index(word)) for place, word in enumerate(noisy)) <= 3
    assert noisy != left
    assert family.with_noise("alone", random.Random(2)) == "alone"


def test_the_folder_of_models_must_be_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(NormLensError, match="--work"):
        list(table._measured(type("Options", (), {"work": None, "data": data})()))


def test_differences_of_bleu_are_those_of_sacrebleu() -> None:
    generator = random.Random(0)
    references = [
        " ".join(generator.choices(["a", "b", "c", "dog's", ",", "the"], k=generator.randint(4, 12))) for _ in range(40)
    ]
    worse, better = (
        [" ".join(w for w in one.split() if generator.random() < kept) or "a" for one in references]
        for kept in (0.7, 0.9)
    )
    of = [translations.counts(one, references) for one in (better, worse)]
    expected = [sacrebleu.corpus_bleu(one, [references]).score for one in (better, worse)]
    measured = translations.difference(of[:1], of[1:], resamples=200)
    assert measured["value"] == pytest.approx(expected[0] - expected[1], abs=1e-9)
    low, high = measured["interval"]
    assert 0 < low < measured["value"] < high
    assert translations.difference(of[:1] * 2, of[:1], resamples=20) == {"value": 0.0, "interval": [0.0, 0.0]}
