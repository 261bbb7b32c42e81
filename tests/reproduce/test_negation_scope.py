"""The scope study on a made-up corpus: tables, thresholds and contrasts counted by hand, and a whole run in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import normlens
from normlens.errors import InvalidInput
from normlens.negation import AnnotatedNegation, AnnotatedSentence, MarkedWord, scope_counts
from reproduce.negation import scope
from reproduce.negation.annotated_cues import FILES, cue_spans, read_cues, table_of
from reproduce.negation.contrast import relative_difference, strata, within_strata_auc
from reproduce.negation.cue_readings import read_model
from reproduce.negation.detection import best_thresholds, difference, in_window, numbers, ruled, token_f1, window
from reproduce.negation.largest_source import cue_counts, f1, largest_is, scored_heads
from reproduce.negation.other_systems import scored_system

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
    monkeypatch.setattr(scope, "LARGEST", {"largest source minilm-l6": "minilm-l6"})
    system = f"gold={tmp_path / 'data' / 'cdsco' / FILES['test']}"
    command = ["--data", str(tmp_path / "data"), "--output", str(tmp_path), "--maps", "rollout", "--systems", system]
    assert scope.main(command) == 0
    numbers_kept = json.loads((tmp_path / scope.NAME / "result.json").read_text(encoding="utf-8"))
    assert set(numbers_kept) == {"scope rules", "scope minilm-l6", "scope largest source minilm-l6", "system gold"}
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


def test_other_systems_are_scored_if_they_were_told_the_same_cues(tmp_path: Path) -> None:
    corpus(tmp_path / "gold")
    file = tmp_path / "gold" / FILES["test"]
    table = read_cues(tmp_path / "gold", "test")
    assert scored_system(file, table) == {"token": [1.0] * 3, "scope": [1.0] * 3}
    text = file.read_text(encoding="utf-8")
    # "here" is left out of the scope of "not" in four of eight cues: 16 of 20 words are right, and the other four scopes.
    (tmp_path / "system.txt").write_text(text.replace("here\there\tNN\t*))\t_\there", "here\there\tNN\t*))\t_\t_"))
    scores = scored_system(tmp_path / "system.txt", table)
    assert (scores["token"][0], scores["scope"][0]) == pytest.approx((2 * 16 / 36, 2 * 4 / 12), abs=1e-4)
    for old, new, message in (
        ("\tcat\tcat\t", "\tcar\tcar\t", "not the 8 of the annotation"),
        ("here\there\tNN\t*))\t_\there", "here\there\tNN\t*))\there\t_", "other cues"),
    ):
        (tmp_path / "system.txt").write_text(text.replace(old, new))
        with pytest.raises(InvalidInput, match=message):
            scored_system(tmp_path / "system.txt", table)


def test_a_word_whose_largest_source_is_the_cue(reader: normlens.Lens) -> None:
    """By hand: three words, of which the second has two tokens, and a special token that counts as no source."""
    members = np.array([[0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]], dtype=bool)
    values = np.array(
        [
            [0.9, 0.1, 0.0, 0.0, 0.0],
            [0.5, 0.3, 0.05, 0.1, 0.05],
            [0.2, 0.3, 0.0, 0.3, 0.1],
            [0.2, 0.1, 0.3, 0.2, 0.2],
            [0.6, 0.1, 0.1, 0.1, 0.1],
        ]
    )
    # Word 0 takes 0.15 and 0.05 of the others, word 1 0.2 and 0.15, word 2 0.1 and 0.2.
    assert largest_is(values, members, np.array([0])).tolist() == [False, True, False]
    assert largest_is(values, members, np.array([1])).tolist() == [True, False, True]
    assert largest_is(values, members, np.array([2])).tolist() == [False, False, False]
    assert not largest_is(np.eye(5), members, np.array([0])).any()  # nothing arrives
    data = reader.analyze({"words": list(SENTENCE.words)})["encoder"].data
    counts = cue_counts(data, SENTENCE.negations[0])
    members = data["source_word"].values == np.arange(9)[:, None]
    by_weight = largest_is(data["weight"].values, members, np.array([3])).reshape(-1, 9)
    np.testing.assert_array_equal(counts[0, :, 0], by_weight[:, [1, 2, 4]].sum(axis=1))
    np.testing.assert_array_equal(counts[0, :, 1], by_weight[:, [0, 1, 2, 4, 5, 6, 7, 8]].sum(axis=1))
    assert (counts[..., 2] == 3).all()
    norm = data["weight"].values * data["vector_norm"].values[:, :, None, :]
    by_norm = largest_is(norm, members, np.array([3])).reshape(-1, 9)
    np.testing.assert_array_equal(counts[1, :, 1], by_norm.sum(axis=1))
    two = AnnotatedNegation((MarkedWord(3, "not"), MarkedWord(4, "here")), (MarkedWord(1, "cat"),))
    reached = largest_is(data["weight"].values, members, np.array([3, 4])).reshape(-1, 9)
    assert reached[:, [3, 4]].any()  # the words of a cue are sources of each other, but in no scope
    np.testing.assert_array_equal(cue_counts(data, two)[0, :, 1], np.delete(reached, [3, 4], axis=1).sum(axis=1))
    scores = scored_heads(reader, {"test": TABLE})
    assert (scores["sentences"], scores["cues"]) == (1, 1)  # "un" is no word
    assert scores["weight"]["mean"][0] == pytest.approx(f1(counts[0]).mean(), abs=1e-4)
    assert scores["norm"]["best"][0] == pytest.approx(f1(counts[1]).max(), abs=1e-4)
    assert scores["difference"][0] == pytest.approx(f1(counts[1]).mean() - f1(counts[0]).mean(), abs=1e-4)
