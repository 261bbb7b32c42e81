"""Negation in trees: the study runs on a made-up treebank, and its measures find what was written into models and labels."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from normlens.errors import NormLensError
from normlens.negation.sentiment_trees import (
    BagOfVectors,
    MatrixVectorNetwork,
    StructuredModel,
    TreeModel,
    WordNumbers,
    negated_phrases,
    parse_tree,
)
from reproduce.negation.resampling import Draws, groups_of_lines, interval, line_draws, mean_draws
from reproduce.negation.trees import cells, contestants, table
from reproduce.negation.trees.accuracies import accuracy_tables
from reproduce.negation.trees.contestants import CONTESTANTS, Contestant, parameter_counts
from reproduce.negation.trees.label_fits import label_fits, label_groups, twice_negated
from reproduce.negation.trees.learned_cues import cue_table, phrase_of, positions, repeated
from reproduce.negation.trees.phrases import Pairs, scores
from reproduce.negation.trees.table import beside
from reproduce.negation.trees.treebank import read_treebank
from reproduce.negation.trees.word_lists import gradable_words, polar_words

ADJECTIVES = {"good": 4, "fine": 3, "bad": 0, "dull": 1, "nice": 3, "poor": 1}


def sentence(subject: str, functor: str, word: str) -> str:
    label = ADJECTIVES[word]
    leaf = f"({label} {word})"
    phrase = {
        "": leaf,
        "very": f"({label} (2 very) {leaf})",
        "not": f"({(2 - label) // 2 + 2} (2 not) {leaf})",
        "not not": f"(2 (2 not) ({(2 - label) // 2 + 2} (2 not) {leaf}))",
    }[functor]
    return f"(2 (2 {subject}) {phrase})"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A treebank of made-up sentences."""
    folder = tmp_path / "data" / "sst"
    folder.mkdir(parents=True)
    for split, subjects in (("train", "abc"), ("dev", "d"), ("test", "e")):
        lines = [sentence(*words) for words in product(subjects, ("", "very", "not", "not not"), ADJECTIVES)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "data"


def test_the_study_runs_and_goes_on_where_it_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small: dict[str, Contestant] = {
        "structured": Contestant("domain, value, function", lambda words: StructuredModel(words, 3, 2), "small"),
        "matrix-vector": Contestant("matrix–vector", lambda words: MatrixVectorNetwork(words, 3, 1), "small"),
        "bag": Contestant("bag of vectors", lambda words: BagOfVectors(words, 4), "small"),
    }
    for name in set(CONTESTANTS) - set(small):
        monkeypatch.delitem(CONTESTANTS, name)  # type: ignore[arg-type]
    for name, contestant in small.items():
        monkeypatch.setitem(CONTESTANTS, name, contestant)  # type: ignore[arg-type]
    monkeypatch.setattr(contestants, "TOLERANCE", 3.0)
    monkeypatch.setattr(cells, "RATES", (0.05, 0.05))
    monkeypatch.setattr(cells, "DECAYS", (0.0,))
    monkeypatch.setattr(
        "reproduce.negation.trees.treebank.input_vectors", lambda words: {word: torch.randn(120) for word in words}
    )
    arguments = ["--data", str(data), "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "results"),
                 "--epochs", "2", "--seeds", "2", "--words", "50"]  # fmt: skip
    assert table.main(arguments) == 0
    shown = capsys.readouterr().out
    kept = json.loads((tmp_path / "results" / "negation" / "trees" / "result.json").read_text(encoding="utf-8"))
    assert sorted(kept) == sorted(table.PARTS)
    assert kept["models"]["train"] + kept["models"]["removed"] == 72
    assert (
        len(kept["models"]["held_out"]) == 2 and kept["models"]["removed"] == 12
    )  # three subjects, two functors, two words
    assert kept["accuracy"]["negated"]["accuracy"]["pairs"] == 18  # "not", and "not not" twice, of six words
    assert set(kept["accuracy"]["held_out"]["accuracy"]["models"]) == set(small)
    assert "| domain, value, function |" in shown and "![Words by domain and value](plane.svg)" in shown
    for figure in ("negations.svg", "plane.svg"):
        assert (tmp_path / "results" / "negation" / "trees" / figure).read_text(encoding="utf-8").count("<path") > 20

    monkeypatch.setattr(cells, "train_trees", None)  # nothing is trained twice
    assert table.main(arguments) == 0
    assert json.loads((tmp_path / "results" / "negation" / "trees" / "result.json").read_text(encoding="utf-8")) == kept


def test_missing_data_and_unequal_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NormLensError, match=r"sst is not there; expected the Stanford Sentiment Treebank"):
        read_treebank(tmp_path)
    with pytest.raises(NormLensError, match=r"has \d+ parameters, the structured model \d+; expected counts within 2%"):
        parameter_counts(100)


def test_all_models_have_the_same_number_of_parameters() -> None:
    counts = parameter_counts(8001)
    assert set(counts) == set(CONTESTANTS) and max(counts.values()) / min(counts.values()) < 1.02


def test_held_out_words_are_never_negated_in_training(data: Path) -> None:
    treebank = read_treebank(data, words=50, share=0.5)
    words = treebank.held_out.words
    assert len(words) == 3
    spans = [treebank.kept.trees[p.tree].span(p.scope) for p in negated_phrases(treebank.kept.trees)]
    assert spans and all(words.isdisjoint(span) for span in spans)
    assert all(any(word in tree.words for tree in treebank.kept.trees) for word in words)
    assert all(not words.isdisjoint(tree.words) for tree in treebank.removed.trees)


NUMBERS = WordNumbers({word: k for k, word in enumerate(["not", "very", "the", *ADJECTIVES], start=1)})
WORDS = list(ADJECTIVES)


def written_model(mu: float, bias: float) -> TreeModel:
    """A structured model whose sentiment is its single value, nearly, and whose "not" is a negation."""
    torch.manual_seed(0)
    model = StructuredModel(len(NUMBERS), 4, 1).double()
    with torch.no_grad():
        for parameter in (model.domain_gains, model.value_maps, model.domain_to_value, model.values):
            parameter.zero_()
        for word in ("not", "very", "the"):
            model.domains[NUMBERS.numbers[word]] = 0
            model.functorness[NUMBERS.numbers[word]] = 1e9
        model.value_maps[NUMBERS.numbers["not"]] = -1 - mu
        model.value_maps[NUMBERS.numbers["very"]] = 0.5
        model.values[NUMBERS.numbers["not"]] = bias
        for word, label in ADJECTIVES.items():
            model.values[NUMBERS.numbers[word]] = (label - 2) / 50
        # small logits: the expected label is 2 + Σ (k − 2) w_k v / 5 to first order, hence 2 + v
        model.readout.weight.copy_((torch.arange(5.0).double() - 2).unsqueeze(1) / 2)
        model.readout.bias.zero_()
    return model


def test_what_is_written_into_a_model_is_measured() -> None:
    models = [written_model(0.4, -0.01)] * 2
    made = cue_table(models, NUMBERS, WORDS, {"all": np.ones(len(WORDS), dtype=bool)})
    for name, slope, intercept in (("not", -0.4, -0.01), ("very", 1.5, 0.0), ("the", 1.0, 0.0)):
        assert made[name]["sentiment"]["slope"]["value"] == pytest.approx(slope, abs=2e-3)
        assert made[name]["sentiment"]["intercept"]["value"] == pytest.approx(intercept, abs=1e-4)
        assert made[name]["values"]["mu"] == pytest.approx([-slope] * 2)
        assert made[name]["values"]["explained"] == pytest.approx([1, 1])
        domain = {key: made[name]["domain"][key]["value"] for key in ("cosine", "moved", "nearest")}
        assert domain == pytest.approx({"cosine": 1, "moved": 0, "nearest": 1})
        assert made[name]["groups"]["all"] == made[name]["sentiment"]
    double = repeated(models, NUMBERS, WORDS, np.array([1, 1, -1, -1, 1, -1]))["double"]
    assert double["slope"]["value"] == pytest.approx(0.16, abs=2e-3)
    assert double["intercept"]["value"] == pytest.approx(-0.01 * (1 - 0.4), abs=1e-4)


def test_other_models_are_split_by_their_readout() -> None:
    torch.manual_seed(0)
    model = MatrixVectorNetwork(len(NUMBERS), 7, 1).double()
    place = positions(model, NUMBERS, [phrase_of("n't", "good"), "(2 bad)"])
    assert place.domain.shape == (2, 7) and place.value.shape == (2, 4)
    weight = model.readout.weight.detach().numpy()
    np.testing.assert_allclose(place.domain @ (weight - weight.mean(0)).T, 0, atol=1e-12)
    lengths = (place.domain**2).sum(1) + (place.value**2).sum(1)
    table_row = model.table[NUMBERS.numbers["bad"]].detach().numpy()
    assert lengths[1] == pytest.approx((table_row**2).sum())


def test_pairs_are_scored_by_hand() -> None:
    certain = lambda *labels: np.eye(5)[list(labels)]  # noqa: E731
    before, after = np.array([2, 1, -1, 0]), np.array([-1, 1, 1, 0])
    made = scores(before, after, certain(4, 3, 1, 2), certain(1, 2, 0, 2))
    np.testing.assert_array_equal(made["accuracy"], [1, 0, 0, 1])
    np.testing.assert_array_equal(made["polarity"], [1, 0, 0, np.nan])
    np.testing.assert_array_equal(made["direction"], [1, np.nan, 0, np.nan])
    np.testing.assert_array_equal(made["flips"], [1, np.nan, 0, np.nan])


def test_pairs_of_held_out_words_come_from_test_and_from_removed_trees() -> None:
    trees = {"test": [parse_tree("(1 (2 not) (4 good))"), parse_tree("(3 (2 not) (0 bad))")],
             "removed": [parse_tree("(1 (2 never) (4 good))")]}  # fmt: skip
    right = {split: [np.eye(5)[tree.labels] for tree in own] for split, own in trees.items()}
    wrong = {split: [np.eye(5)[(tree.labels + 1) % 5] for tree in own] for split, own in trees.items()}
    predictions = {"structured": [right, right], "matrix-vector": [wrong, right]}
    made = accuracy_tables(predictions, trees, frozenset({"good"}), frequent=1)
    assert [made[name]["accuracy"]["pairs"] for name in ("negated", "held_out", "held_out_short")] == [2, 2, 2]
    assert made["held_out"]["accuracy"]["models"]["matrix-vector"]["value"] == 0.5
    assert made["held_out"]["accuracy"]["less_reference"]["structured"]["value"] == 0.5
    line = made["negated"]["lines"]["structured"]  # labels 4 and 0 become 1 and 3
    assert line == made["negated"]["lines"]["labels"] and line["slope"]["value"] == -0.5
    assert made["held_out"]["baseline"] == 1.0 and made["negated"]["baseline"] == 0.5
    assert Pairs.of(trees["test"], frozenset({"bad"})).held_out.tolist() == [False, True]


def test_labels_are_fitted_as_written() -> None:
    trees = [parse_tree(sentence("a", "not", word)) for word in ("good", "bad")]  # 4 becomes 1, 0 becomes 3
    fit = label_fits(trees)["five cues"]
    assert (fit["pairs"], fit["slope"]["value"], fit["intercept"]["value"]) == (2, -0.5, 0.0)
    assert fit["means"] == {"-2": 1.0, "-1": None, "+0": None, "+1": None, "+2": -1.0}
    kinds = {"gradable": frozenset({"good", "bad", "nice"}), "not gradable": frozenset({"dull"})}
    lines = label_groups([*trees, *[parse_tree(sentence("a", "not", word)) for word in ("nice", "dull")]], kinds)
    assert {name: line["pairs"] for name, line in lines.items()} == {"gradable": 3}  # one pair makes no line
    twice = twice_negated([parse_tree(sentence("a", "not not", "good"))])
    assert twice["positive"] == {"phrases": 1, "once": -1.0, "twice": 0.0}


def test_intervals_draw_phrases_and_seeds() -> None:
    values = np.random.default_rng(0).normal(size=(5, 200))
    by_phrase = np.repeat(values[:1], 5, axis=0)  # seeds agree: the interval is that of a mean of 200
    by_seed = np.repeat(values[:, :1], 200, axis=1)  # phrases agree: that of a mean of 5
    for same, count in ((by_phrase, 200), (by_seed, 5)):
        made = interval(mean_draws(same))
        assert made["value"] == pytest.approx(same.mean())
        assert made["high"] - made["low"] == pytest.approx(2 * 1.96 * same.std() / np.sqrt(count), rel=0.15)
    np.testing.assert_allclose(
        mean_draws(by_phrase), mean_draws(by_phrase, stream=3)
    )  # every stream has the same phrases
    halves = {"low": np.arange(200) < 100, "high": np.arange(200) >= 100}
    lines = groups_of_lines(values, np.where(halves["low"], 2 * values, 1 - values), halves)
    assert lines["low less high"]["slope"] == pytest.approx({"value": 3, "low": 3, "high": 3})
    assert lines["low less high"]["intercept"] == pytest.approx({"value": -1, "low": -1, "high": -1})
    assert Draws.of(5, 200).seeds[1:].sum(axis=1).tolist() == [5.0] * 1000
    line = line_draws(values, 0.3 - 0.2 * values).estimates()
    for name, expected in (("slope", -0.2), ("intercept", 0.3), ("explained", 1.0)):
        assert line[name] == pytest.approx({"value": expected, "low": expected, "high": expected})


def test_words_have_degrees_if_an_adverb_says_so() -> None:
    trees = [parse_tree("(3 (2 very) (4 good))"), parse_tree("(2 (2 the) (1 dead))"), *[parse_tree("(1 dead)")] * 4]
    assert gradable_words(trees) == {"good"}
    assert polar_words(trees) == {"dead": -1.0}  # "good" occurs once


def test_a_model_that_is_measured_again_stands_beside_the_others() -> None:
    before = {"words": 9, "models": {"a": {"dev": [1, 2]}, "b": {"dev": [3]}}}
    assert beside(before, {"words": 9, "models": {"b": {"dev": [4]}}}) == {
        "words": 9,
        "models": {"a": {"dev": [1, 2]}, "b": {"dev": [4]}},
    }
    assert before["models"]["b"] == {"dev": [3]}
    with pytest.raises(NormLensError, match="kept numbers are of words = 9, these of 8"):
        beside(before, {"words": 8})
