"""The ScoNe study on two made-up contrast sets: cues by scope, shares and effects against the model itself."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import tiny
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

import normlens
from normlens.errors import InvalidInput
from reproduce.data.contrast_sets import CELLS, CLASSES, REVERSED, read_scone
from reproduce.negation import scone, scone_page
from reproduce.negation.contrast_cues import cues_by_kind, marked

TEMPLATES = {
    "no_negation": "the {} ran here",
    "one_not_scoped": "the {} ran , not a cat",
    "two_not_scoped": "the {} not here ran , not a cat",
    "two_scoped": "it is not true that the man not here saw the {}",
    "one_scoped": "the man did not see the {}",
    "one_scoped_one_not_scoped": "the man not here did not see the {}",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two contrast sets for the test, and four of two groups for training, as the files of ScoNe have them."""
    folder = tmp_path / "data" / "scone"
    folder.mkdir(parents=True)
    for split, groups in (("test", "aa"), ("train", "bbcc")):
        for cell, template in TEMPLATES.items():
            edited = "" if cell == "one_scoped" else "_edited"
            names = [
                f"sentence1{edited}",
                f"sentence2{edited}",
                f"gold_label{edited}",
                "sentence1_lex",
                "sentence2_lex",
            ]
            with (folder / f"{split}.{cell}.csv").open("w", newline="", encoding="utf-8") as file:
                rows = csv.DictWriter(file, [*names, "group_index"])
                rows.writeheader()
                for number, group in enumerate(groups):
                    words = ("cat", "dog")[:: 1 - 2 * (number % 2)]
                    label = CLASSES[(number + (cell in REVERSED)) % 2]
                    values = [*(template.format(word) for word in words), label, *words]
                    rows.writerow({**dict(zip(names, values, strict=True)), "group_index": group})
    return tmp_path / "data"


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    """A tiny classifier of pairs, as a training leaves it."""
    folder = tmp_path / "model"
    torch.manual_seed(0)
    config = tiny.configuration("bert")
    config.id2label, config.label2id = dict(enumerate(CLASSES)), {name: k for k, name in enumerate(CLASSES)}
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    training = {
        "settings": {"seed": 1, "epochs": 4},
        "learning_rate": 1e-4,
        "test_accuracy": 0.5,
        "cpu_seconds": 60.0,
        "tried": [{"dev_by_epoch": [0.5]}],
    }
    (folder / "training.json").write_text(json.dumps(training))
    return folder


def test_sets_are_read_and_groups_kept_together(data: Path) -> None:
    splits = read_scone(data / "scone")
    assert {split: len(pairs) for split, pairs in splits.items()} == {"training": 0, "dev": 24, "test": 12}
    pair = next(pair for pair in splits["test"] if pair.cell == "one_scoped" and pair.contrast_set == 1)
    assert (pair.premise, pair.hypothesis) == ("the man did not see the dog", "the man did not see the cat")
    assert (pair.label, pair.words) == (0, ("dog", "cat"))


def test_bad_files_are_refused(data: Path) -> None:
    path = data / "scone" / "test.two_scoped.csv"
    text = path.read_text()
    path.write_text(text.replace("entailment", "contradiction"))
    with pytest.raises(InvalidInput, match=r"contrast set 1, counted from 0, has the label 'contradiction'"):
        read_scone(data / "scone")
    path.write_text("".join(text.splitlines(keepends=True)[:2]))
    with pytest.raises(InvalidInput, match="different numbers of rows"):
        read_scone(data / "scone")
    path.write_text(text.replace("sentence1_lex", "first"))
    with pytest.raises(InvalidInput, match="no column sentence1_lex"):
        read_scone(data / "scone")


def test_negations_by_their_scope() -> None:
    starts = {
        cell: {
            kind: [cue.start for cue in cues] for kind, cues in cues_by_kind(text.format("dog"), "dog", cell).items()
        }
        for cell, text in TEMPLATES.items()
    }
    assert starts == {
        "no_negation": {},
        "one_not_scoped": {"not scoped": [14]},
        "two_not_scoped": {"not scoped": [8, 23]},
        "two_scoped": {"inner": [28], "outer": [6]},
        "one_scoped": {"scoped": [12]},
        "one_scoped_one_not_scoped": {"scoped": [21], "not scoped": [8]},
    }
    denial = cues_by_kind("It is false that he is not here with a dog.", "dog", "two_scoped")
    assert [cue.text for kind in ("inner", "outer") for cue in denial[kind]] == ["not", "false"]


def test_shares_and_effects_are_those_of_the_model(data: Path, model: Path) -> None:
    lens, pairs = normlens.load(model), read_scone(data / "scone")["test"]
    rows = scone.measured(lens, pairs)["pairs"]
    number = next(k for k, pair in enumerate(pairs) if pair.cell == "one_scoped" and pair.contrast_set == 1)
    pair, row = pairs[number], rows[number]
    one = marked(lens, pair)
    cue = one.kinds["scoped"]
    assert len(cue) == 2  # one token in each sentence

    def margin(places: list[int]) -> float:
        ids = torch.tensor([[one.ids[k] for k in places]])
        types = torch.tensor([[one.types[k] for k in places]])
        with torch.no_grad():
            neutral, entailment = lens.model(input_ids=ids, token_type_ids=types).logits[0].tolist()
        return float(entailment - neutral)

    every = list(range(len(one.ids)))
    whole, without = margin(every), margin([k for k in every if k not in cue])
    assert row["margin"] == pytest.approx(whole, abs=1e-3)
    assert row["effects"]["scoped"] == pytest.approx(whole - without, abs=2e-3)  # set 1 is entailment without negation
    assert row["right"] == (whole < 0)
    share = lens.attribute(
        {"text": pair.premise, "text_pair": pair.hypothesis}, method="decompx", target=scone.TARGET
    ).values
    assert row["shares"]["scoped"] == pytest.approx(float(share[cue].sum() / np.abs(share).sum()), abs=1e-3)
    first = next(k for k, other in enumerate(pairs) if other.cell == "one_scoped" and other.contrast_set == 0)
    assert rows[first]["effects"].keys() == {"scoped", "deciding word", "other word"}


def test_the_whole_study(data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scone.main(["--data", str(data), "--output", str(tmp_path), "--models", str(model)]) == 0
    assert (tmp_path / scone.NAME / "shares.svg").exists()
    page = (tmp_path / scone.NAME / "page.md").read_text(encoding="utf-8")
    assert all(cell in page for cell in CELLS) and page.strip() in capsys.readouterr().out
    assert scone.main(["--data", str(data), "--output", str(tmp_path)]) == 2
    assert "No model is named" in capsys.readouterr().err


def test_intervals_draw_seeds_as_well_as_sets() -> None:
    """Seeds that differ and sets that don't: the interval reaches from one seed to the other; and the other way round."""
    rows = lambda right: [{"cell": "one_scoped", "set": k, "right": right(k)} for k in range(40)]  # noqa: E731
    seeds = {"seed 1": rows(lambda k: True), "seed 2": rows(lambda k: False)}
    assert scone_page._accuracy(seeds, "one_scoped")[2:] == ["0.500 (0.000 to 1.000)", "1.000", "0.000"]
    same = {name: rows(lambda k: k % 4 < 2) for name in ("seed 1", "seed 2")}
    value, low, high = scone_page._estimate(scone_page._by_set(same, lambda of: float(of[0]["right"])))
    assert value == 0.5 and high - low == pytest.approx(2 * 1.96 * 0.5 / 20**0.5, rel=0.15)
    missing = np.array([[1.0, np.nan, 0.0], [np.nan, np.nan, np.nan]])
    assert scone_page._estimate(missing)[0] == 0.5
