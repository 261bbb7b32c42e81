"""The scope study on a made-up corpus: tables, thresholds and contrasts counted by hand, and a whole run in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import normlens
from normlens.negation import AnnotatedNegation, AnnotatedSentence, MarkedWord, scope_counts
from reproduce.negation import scope
from reproduce.negation.annotated_cues import FILES, cue_spans, table_of
from reproduce.negation.contrast import relative_difference, strata, within_strata_auc
from reproduce.negation.cue_readings import read_model
from reproduce.negation.detection import best_thresholds, difference, in_window, numbers, ruled, token_f1, window

PARSE = ("(S(NP*", "*)", "(VP*", "*", "*))", "*", "(S(NP*)", "(VP*))", "*")
SENTENCE = AnnotatedSentence(
    ("the", "cat", "is", "not", "here", ",", "dogs", "ran", "."),
    (
        AnnotatedNegation(
            (MarkedWord(3, "not"),), tuple(MarkedWord(k, w) for k, w in ((1, "cat"), (2, "is"), (4, "here")))
        ),
    ),
    parse=PARSE,
)
UNHAPPY = AnnotatedSentence(
    ("a", "cat", "is", "unhappiness"),
    (AnnotatedNegation((MarkedWord(3, "un"),), (MarkedWord(1, "cat"), MarkedWord(3, "happiness"))),),
    parse=("(S(NP*", "*)", "(VP*", "*))"),
)
TABLE = table_of([SENTENCE, UNHAPPY])


def test_the_rows_of_a_table() -> None:
    assert TABLE.word.tolist() == [0, 1, 2, 4, 6, 7, 0, 1, 2]
    assert TABLE.distance.tolist() == [-3, -2, -1, 1, 3, 4, -3, -2, -1]
    assert TABLE.inside.tolist() == [False, True, True, True, False, False, False, True, False]
    assert TABLE.same_clause.tolist() == [True] * 4 + [False] * 2 + [True] * 3
    assert TABLE.base[1].tolist() == [1, 0, 1, 0, 1, 1, 0]  # "happiness" is always in the scope of "un"
    assert cue_spans(UNHAPPY, UNHAPPY.negations[0]) == [(9, 11)]


def test_counts_of_many_systems_are_those_of_the_scorer() -> None:
    random = np.random.default_rng(0).random((len(TABLE.cue), 20)) < 0.5
    counts = TABLE.counts(random)
    for system in range(20):
        for cue, (number, negation) in enumerate(TABLE.cues):
            rows = (TABLE.cue == cue) & random[:, system]
            words = [*TABLE.word[rows].tolist(), *(mark.word for mark in negation.cue)]
            expected = scope_counts(TABLE.sentences[number], negation, words)
            assert counts[cue, system].tolist() == expected.tolist()


def test_rules_by_hand() -> None:
    rules = {name: TABLE.word[rows].tolist() for name, rows in ruled(TABLE).items()}
    assert rules["to the next punctuation mark"] == [4]
    assert rules["between punctuation marks"] == [0, 1, 2, 4, 0, 1, 2]
    assert rules["smallest clause of the parse"] == [0, 1, 2, 4, 0, 1, 2]
    ends = window(TABLE)
    assert ends == (-2, 1)
    assert token_f1(TABLE.counts(in_window(TABLE, ends)).sum(axis=0)) == pytest.approx(2 * 5 / 11)


def test_the_best_threshold_is_that_of_a_search_over_all() -> None:
    random = np.random.default_rng(1)
    scores = np.round(random.random((len(TABLE.cue), 30)), 1)  # with ties
    scores[0] = -np.inf
    thresholds, f1 = best_thresholds(scores, TABLE)
    reached = token_f1(TABLE.counts(scores > thresholds).sum(axis=0))
    np.testing.assert_allclose(f1, reached)
    for place in range(30):
        every = [token_f1(TABLE.counts(scores[:, place] > cut).sum(axis=0)) for cut in np.arange(-0.05, 1.0, 0.1)]
        assert f1[place] == pytest.approx(max(every))


def test_directions_and_scales() -> None:
    values = np.full((len(TABLE.cue), 2, 1), np.nan)
    values[:6, 0, 0], values[6:, 1, 0] = [1, 2, 3, 4, 5, 3], [1, np.nan, 3]
    either = numbers(values, TABLE, "either", "plain")[:, 0]
    assert either.tolist() == [1, 2, 3, 4, 5, 3, 1, -np.inf, 3]
    relative = numbers(values, TABLE, "either", "relative")[:, 0]
    np.testing.assert_allclose(relative[:6], np.array([1, 2, 3, 4, 5, 3]) / 3)
    np.testing.assert_allclose(relative[6:], [0.5, -np.inf, 1.5])


def test_a_contrast_within_strata() -> None:
    stratum = np.array([0, 0, 0, 1, 1, 1, 0, 0, 2])
    values = np.array([[1.0], [2.0], [3.0], [9.0], [1.0], [2.0], [2.0], [2.0], [100.0]])
    # Stratum 0: inside 2, 3, 2 against outside 1, 2: wins 5 of 6 with ties as halves. Stratum 1: 9 against 1, 2: 2 of 2.
    assert within_strata_auc(values, TABLE.inside, stratum)[0] == pytest.approx((1 + 1 + 1 + 1 + 0.5 + 0.5 + 2) / 8)
    [gap], _, _ = relative_difference(values, TABLE, stratum)
    inside, outside = (3 * 7 / 3 + 9) / 4, (3 * 1.5 + 1.5) / 4
    assert gap == pytest.approx(2 * (inside - outside) / (inside + outside))
    assert strata(TABLE, syntax=True).tolist() == (2 * TABLE.band + TABLE.same_clause).tolist()


def test_a_system_differs_from_itself_by_nothing() -> None:
    counts = TABLE.counts(TABLE.same_clause)
    assert difference(counts, counts, TABLE) == {"token": [0.0, 0.0, 0.0], "scope": [0.0, 0.0, 0.0]}


def test_readings_are_those_of_an_analysis_and_are_cached(reader: normlens.Lens, tmp_path: Path) -> None:
    readings = read_model(reader, TABLE, cache=tmp_path)
    data = reader.analyze({"words": list(SENTENCE.words)})["encoder"].data
    weight = data["weight"].values
    np.testing.assert_allclose(readings.values["weight"][1, 0], weight[:, :, 2, 4].ravel(), rtol=1e-5)  # [CLS] is first
    np.testing.assert_allclose(readings.values["weight"][1, 1], weight[:, :, 4, 2].ravel(), rtol=1e-5)
    rollout = reader.attribute({"words": list(SENTENCE.words)}, method="rollout").values
    np.testing.assert_allclose(readings.values["rollout"][1, :, 0], [rollout[2, 4], rollout[4, 2]], rtol=1e-5)
    [kept] = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    again = read_model(reader, TABLE, cache=tmp_path)
    assert kept.stat().st_mtime_ns == before and (again.layers, again.heads) == (readings.layers, readings.heads)
    assert all(np.array_equal(again.values[name], values) for name, values in readings.values.items())


def corpus(folder: Path) -> None:
    """The two sentences many times over, in the format of the shared task."""
    folder.mkdir(parents=True)
    blocks = []
    for number, sentence in enumerate([SENTENCE, UNHAPPY] * 4):
        [negation] = sentence.negations
        cue, inside = ({mark.word: mark.text for mark in marks} for marks in (negation.cue, negation.scope))
        blocks.append(
            "\n".join(
                "\t".join(["c", str(number), str(k), w, w, "NN", bit, cue.get(k, "_"), inside.get(k, "_"), "_"])
                for k, (w, bit) in enumerate(zip(sentence.words, sentence.parse, strict=True))
            )
        )
    for file in FILES.values():
        (folder / file).write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def test_the_whole_study(
    reader: normlens.Lens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus(tmp_path / "data" / "cdsco")
    monkeypatch.setattr(scope, "MODELS", {"minilm-l6": lambda: reader})
    command = ["--data", str(tmp_path / "data"), "--output", str(tmp_path), "--maps", "rollout"]
    assert scope.main(command) == 0
    numbers_kept = json.loads((tmp_path / scope.NAME / "result.json").read_text(encoding="utf-8"))
    assert set(numbers_kept) == {"scope rules", "scope minilm-l6"}
    measured = numbers_kept["scope minilm-l6"]
    # Train, dev and test are the same: the head that is chosen on dev scores the same on test.
    assert measured["chosen"]["weight"]["token"][0] == pytest.approx(measured["chosen"]["weight"]["dev_f1"], abs=1e-3)
    assert numbers_kept["scope rules"]["scores"]["whole sentence"]["token"][0] == pytest.approx(2 * 5 / 15, abs=1e-3)
    assert (tmp_path / scope.NAME / "heads.svg").exists() and (tmp_path / scope.NAME / "inside.svg").exists()
    page = (tmp_path / scope.NAME / "page.md").read_text(encoding="utf-8")
    assert "NegBERT" in page and page.strip() in capsys.readouterr().out
    assert scope.main(["--redraw", "--output", str(tmp_path)]) == 0


def test_missing_data_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scope.main(["--data", str(tmp_path), "--output", str(tmp_path), "--parts", "rules"]) == 2
    assert "There is no" in capsys.readouterr().err
