"""Names of classes: the two tables of a config, agreeing, half empty, and against each other."""

from __future__ import annotations

from typing import Any

import pytest
from architectures import tiny
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

import normlens
from normlens.attribution import Predicted
from normlens.attribution.targets.classes import class_names, class_number
from normlens.errors import InvalidInput
from normlens.faithfulness import LensClassifier

IDS = [21, 22, 23, 24]
REAL = {0: "NEG", 1: "POS"}
DEFAULT = {0: "LABEL_0", 1: "LABEL_1"}


def config_of(id2label: Any, label2id: Any) -> BertConfig:
    config = BertConfig(num_labels=2)
    config.id2label, config.label2id = id2label, label2id
    return config


@pytest.mark.parametrize(
    ("id2label", "label2id", "names"),
    [
        (REAL, None, ("NEG", "POS")),
        (REAL, {}, ("NEG", "POS")),
        (REAL, {"NEG": 0, "POS": 1}, ("NEG", "POS")),
        (REAL, {"neg": 0, "pos": "1"}, ("NEG", "POS")),
        (REAL, {"POS": 1}, ("NEG", "POS")),
        (REAL, {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}, ("NEG", "POS")),  # left over, and says nothing else
        ({"0": "NEG", "1": "POS"}, None, ("NEG", "POS")),
        (DEFAULT, {"LABEL_0": 0, "LABEL_1": 1}, ("LABEL_0", "LABEL_1")),
        (DEFAULT, {"NEG": 0, "POS": 1}, ("NEG", "POS")),  # the only table that names anything
        ({0: "LABEL_0", 1: "POS"}, {"NEG": 0, "POS": 1}, ("NEG", "POS")),
        ({0: "crane", 1: "crane"}, {"crane": 1}, ("crane", "crane")),  # as in ImageNet
    ],
)
def test_names_are_those_of_the_table_that_gives_them(id2label: Any, label2id: Any, names: tuple[str, ...]) -> None:
    assert class_names(config_of(id2label, label2id)) == names


@pytest.mark.parametrize(
    ("id2label", "label2id"),
    [
        (REAL, {"POS": 0, "NEG": 1}),
        (REAL, {"POS": 0}),
        (REAL, {"positive": 0, "negative": 1}),
        (REAL, {"NEG": 0, "POS": 1, "NEU": 2}),
        ({0: "LABEL_1", 1: "LABEL_0"}, {"LABEL_0": 0, "LABEL_1": 1}),  # defaults that would answer wrongly
        (DEFAULT, {"LABEL_0": 1, "LABEL_1": 0}),
        (DEFAULT, {"NEG": 0, "negative": 0}),
        ({0: "LABEL_0", 1: "POS"}, {"POS": 0}),
    ],
)
def test_tables_that_contradict_each_other_are_refused(id2label: Any, label2id: Any) -> None:
    with pytest.raises(InvalidInput, match="contradicts itself"):
        class_names(config_of(id2label, label2id))


@pytest.mark.parametrize(
    ("id2label", "label2id", "message"),
    [
        ({0: "NEG", 5: "POS"}, None, "a class 5 .'POS'., but the model has 2 classes"),
        ({0: "NEG", -1: "POS"}, None, "a class -1"),
        (REAL, {"NEG": "first"}, "label2id holds 'first'"),
    ],
)
def test_tables_that_number_no_classes_are_refused(id2label: Any, label2id: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        class_names(config_of(id2label, label2id))


def test_a_name_that_is_not_one_class_is_refused() -> None:
    twice = config_of({0: "crane", 1: "crane"}, {"crane": 1})
    with pytest.raises(InvalidInput, match=r"2 classes of Birds are called 'crane': 0, 1. Use the class's number"):
        class_number(twice, "crane", "Birds")
    assert class_number(twice, 1, "Birds") == 1
    cases = config_of({0: "it", 1: "IT"}, None)
    assert [class_number(cases, name, "Tags") for name in ("it", "IT")] == [0, 1]
    with pytest.raises(InvalidInput, match="2 classes of Tags"):
        class_number(cases, "It", "Tags")


def asked(task: type, id2label: Any, label2id: Any, **options: Any) -> Any:
    config = tiny.configuration("bert")
    config.id2label, config.label2id = id2label, label2id
    return normlens.load((task._from_config(config).eval(), None)).attribute(IDS, **options)


def test_the_class_that_is_named_is_the_class_that_is_explained() -> None:
    for table in (None, {"LABEL_0": 0, "LABEL_1": 1}, {"NEG": 0, "POS": 1}):
        lens = normlens.load((tiny_classifier(table), None))
        results = {name: lens.attribute(IDS, target=name) for name in ("NEG", "POS", 0, 1)}
        assert {results[name].attrs["target"] for name in ("POS", 1)} == {"logit of POS"}
        values = {name: result.attrs["value"] for name, result in results.items()}
        logits = lens.model(input_ids=lens.model.dummy_inputs["input_ids"].new_tensor([IDS])).logits[0].tolist()
        assert [values["NEG"], values["POS"]] == pytest.approx(logits, abs=1e-6)
        assert [values[0], values[1]] == [values["NEG"], values["POS"]]


def tiny_classifier(label2id: Any) -> BertForSequenceClassification:
    config = tiny.configuration("bert")
    config.id2label, config.label2id = REAL, label2id
    return BertForSequenceClassification._from_config(config).eval()


@pytest.mark.parametrize("target", ["POS", 1, Predicted(), "logprob:POS", ("POS", "NEG")])
@pytest.mark.parametrize("task", [BertForSequenceClassification, BertForTokenClassification])
def test_a_contradiction_is_refused_however_a_class_is_asked_for(task: type, target: Any) -> None:
    position = 1 if task is BertForTokenClassification else None
    with pytest.raises(InvalidInput, match="contradicts itself"):
        asked(task, REAL, {"POS": 0, "NEG": 1}, target=target, position=position)


def test_more_classes_than_logits_are_refused() -> None:
    model = tiny_classifier(None)
    model.config.id2label = {0: "NEG", 1: "POS", 2: "NEU"}
    with pytest.raises(InvalidInput, match="Entry 2 of the model's logits doesn't exist: there are 2"):
        normlens.load((model, None)).attribute(IDS, target="NEU")


def test_a_classifier_whose_labels_contradict_is_not_tested_for_faithfulness(tokenizer: Any) -> None:
    lens = normlens.load((tiny_classifier({"POS": 0, "NEG": 1}), tokenizer))
    with pytest.raises(InvalidInput, match="contradicts itself"):
        LensClassifier(lens)
    assert LensClassifier(normlens.load((tiny_classifier(None), tokenizer))).classes == ["NEG", "POS"]
