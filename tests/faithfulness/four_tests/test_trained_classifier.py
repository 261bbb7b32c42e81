"""A classifier of one's own is tested as it is: nothing trains it, and every other cell relates to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_texts import experiment
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.cell_work import workplace
from normlens.faithfulness.four_tests.cells import Cell, base_cell, trained_cells
from normlens.faithfulness.four_tests.schedule import run_cells
from normlens.faithfulness.four_tests.written_run import write_run

QUICK = {"epochs": 6, "batch_size": 8, "learning_rate": 0.005, "weight_decay": 0.0, "warmup": 0.1}
TESTS = {"seeds": 2, "strengths": [0.3], "guides": 1, "shuffled": 1, "permutations": 2, "distributions": 1,
         "instances": 2, "explanations": ["weight", "norm"]}  # fmt: skip


@pytest.fixture(scope="module")
def own(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that somebody fine-tuned: random, with named classes in the order of the labels."""
    folder = tmp_path_factory.mktemp("own")
    labels = {"id2label": {0: "neg", 1: "pos"}, "label2id": {"neg": 0, "pos": 1}}
    torch.manual_seed(7)
    BertForSequenceClassification(BertConfig.from_pretrained(checkpoint, **labels)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    return folder


def of(folder: Path, count: int = 24, **classifier: Any) -> Any:
    """An experiment with a Transformer."""
    return experiment(folder, count, classifier={"kind": "transformer", **classifier}, training=QUICK, tests=TESTS)


def probabilities_of(own: Path, texts: tuple[str, ...]) -> np.ndarray:
    """What transformers says itself, text by text."""
    model, tokenizer = BertForSequenceClassification.from_pretrained(own).eval(), AutoTokenizer.from_pretrained(own)
    with torch.no_grad():
        return np.concatenate([model(**tokenizer(x, return_tensors="pt")).logits.softmax(-1).numpy() for x in texts])


def test_the_base_model_is_the_checkpoint_and_without_a_start_no_seeds_are_compared(own: Path, tmp_path: Path) -> None:
    place, outcomes = run_cells(of(tmp_path, model=str(own), trained=True), tmp_path / "cells", progress=False)
    base = outcomes[base_cell()]
    expected = probabilities_of(own, place.data.splits["test"].texts)
    np.testing.assert_allclose(base.probabilities["test"], expected, atol=1e-6)
    assert len(base.history) == 1  # what it comes to on dev, and no epoch of training
    assert {(cell.role, cell.seed) for cell in outcomes if cell.role not in ("diagnostic", "adversary")} == {
        ("learned", 0),
        ("uniform", 0),
        ("uniform", 1),
    }
    numbers = write_run(place, outcomes, tmp_path, "Own")
    assert numbers["seeds"] is None and numbers["verdict"]["outside"] is None and not numbers["seed_points"]
    assert "stability" not in numbers["norms"]["norm"] and "moved" in numbers["norms"]["norm"]
    page = " ".join((tmp_path / "results.md").read_text(encoding="utf-8").split())
    assert "no `start` was named" in page and "| other seeds |" not in page and "was not trained here" in page
    assert not (tmp_path / "seeds.svg").exists() and json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))


def test_with_a_start_other_models_are_fine_tuned_from_it(own: Path, checkpoint: Path, tmp_path: Path) -> None:
    made = of(tmp_path, model=str(own), trained=True, start=str(checkpoint))
    roles = [(cell.role, cell.seed) for cell in trained_cells(made)]
    assert ("learned", 1) in roles and ("shuffled", 0) in roles
    family = workplace(made).family
    started = BertForSequenceClassification.from_pretrained(checkpoint).bert.state_dict()
    other, tested = family.new(1).model, family.tested().model
    for name, value in other.bert.state_dict().items():
        if "pooler" not in name:
            torch.testing.assert_close(value, started[name])
    own_state = BertForSequenceClassification.from_pretrained(own).state_dict()
    assert all(torch.equal(value, own_state[name]) for name, value in tested.state_dict().items())
    assert not torch.equal(family.new(1).model.classifier.weight, family.new(2).model.classifier.weight)


def test_without_a_start_others_begin_with_the_body_of_the_model_and_a_new_head(own: Path, tmp_path: Path) -> None:
    family = workplace(of(tmp_path, model=str(own), trained=True)).family
    own_state = BertForSequenceClassification.from_pretrained(own).state_dict()
    for seed in (0, 1):
        for name, value in family.new(seed).model.state_dict().items():
            assert torch.equal(value, own_state[name]) == name.startswith("bert") or name == "classifier.bias"


def test_a_changed_checkpoint_in_the_same_folder_is_another_cell(own: Path, tmp_path: Path) -> None:
    made = of(tmp_path, model=str(own), trained=True)
    before = base_cell().key(made, workplace(made).fingerprint)
    assert before == base_cell().key(made, workplace(made).fingerprint)
    state = (own / "model.safetensors").read_bytes()
    model = BertForSequenceClassification.from_pretrained(own)
    with torch.no_grad():
        model.classifier.bias.add_(1)
    try:
        model.save_pretrained(own)
        assert base_cell().key(made, workplace(made).fingerprint) != before
    finally:
        (own / "model.safetensors").write_bytes(state)


def test_the_training_of_others_plays_no_part_in_the_cell_of_a_trained_model(own: Path, tmp_path: Path) -> None:
    made = of(tmp_path, model=str(own), trained=True)
    other = experiment(
        tmp_path, 24, classifier={"kind": "transformer", "model": str(own), "trained": True},
        training={**QUICK, "epochs": 1}, tests=TESTS,
    )  # fmt: skip
    assert base_cell().key(made, "texts") == base_cell().key(other, "texts")
    assert Cell("uniform", 0).key(made, "texts") != Cell("uniform", 0).key(other, "texts")


def test_cells_of_runs_before_the_option_keep_their_names(tmp_path: Path) -> None:
    made = experiment(tmp_path)
    assert "trained" not in str(base_cell()._settings(made, "texts")["classifier"])
    settings = {**made.as_data()["classifier"]}
    assert settings["trained"] is False and settings["start"] is None


def distilbert(checkpoint: Path, folder: Path) -> str:
    config = DistilBertConfig(vocab_size=20, dim=24, hidden_dim=32, n_layers=2, n_heads=2)
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    return str(folder)


def unnamed(checkpoint: Path, folder: Path) -> str:
    BertForSequenceClassification(BertConfig.from_pretrained(checkpoint)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    return str(folder)


def swapped(checkpoint: Path, folder: Path) -> str:
    labels = {"id2label": {0: "pos", 1: "neg"}, "label2id": {"pos": 0, "neg": 1}}
    BertForSequenceClassification(BertConfig.from_pretrained(checkpoint, **labels)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("untrained", r"head of .* is not trained \(classifier.bias is in no checkpoint.*leave out trained = true"),
        ("unnamed", r"have no names \(LABEL_0, LABEL_1\).*Set classes in \[data\]"),
        ("swapped", r"classes pos, neg, the texts neg, pos"),
        ("trained start", "whose head is trained; expected the checkpoint before fine-tuning"),
        ("other start", "another kind or vocabulary"),
    ],
)
def test_what_cant_be_tested_as_it_is_is_refused_before_training(
    own: Path, checkpoint: Path, tmp_path: Path, case: str, message: str
) -> None:
    folder = tmp_path / "model"
    classifier = {
        "untrained": lambda: {"model": str(checkpoint)},
        "unnamed": lambda: {"model": unnamed(checkpoint, folder)},
        "swapped": lambda: {"model": swapped(checkpoint, folder)},
        "trained start": lambda: {"model": str(own), "start": str(own)},
        "other start": lambda: {"model": str(own), "start": distilbert(checkpoint, folder)},
    }[case]()
    with pytest.raises(InvalidInput, match=message):
        run_cells(of(tmp_path, **classifier, trained=True), tmp_path / "cells", progress=False)
    assert not (tmp_path / "cells").exists()


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        ({"kind": "recurrent", "trained": True}, "always trained here"),
        ({"kind": "transformer", "start": "minilm-l6"}, "trained is not true"),
        ({"kind": "transformer", "trianed": True}, "Did you mean 'trained'"),
    ],
)
def test_options_that_contradict_are_refused(tmp_path: Path, classifier: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        experiment(tmp_path, classifier=classifier)
