"""Classes whose names a config gives twice, asked for in the shell; ids that come out of torch and NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from transformers import BertForSequenceClassification, GPT2LMHeadModel
from typer.testing import CliRunner

import normlens
from normlens.attribution import LogProbability
from normlens.cli.app import app
from normlens.errors import InvalidInput


def saved(folder: Path, tokenizer: Any, **tables: Any) -> Path:
    """A folder with a tiny classifier whose config.json has these tables."""
    config = tiny.configuration("bert")
    config.num_labels = 2
    BertForSequenceClassification._from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    whole = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**whole, **tables}))
    return folder


@pytest.mark.parametrize("target", [("-t", "POS"), ("-t", "1"), ()])
def test_labels_that_contradict_each_other_are_refused(tmp_path: Path, tokenizer: Any, target: tuple[str, ...]) -> None:
    folder = saved(tmp_path, tokenizer, id2label={"0": "NEG", "1": "POS"}, label2id={"POS": 0, "NEG": 1})
    result = CliRunner().invoke(app, ["attribute", str(folder), "the cat sat", *target])
    assert result.exit_code == 2
    assert "contradicts itself" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("label2id", [{"LABEL_0": 0, "LABEL_1": 1}, {}])
def test_labels_left_over_from_training_are_passed_over(tmp_path: Path, tokenizer: Any, label2id: Any) -> None:
    folder = saved(tmp_path, tokenizer, id2label={"0": "NEG", "1": "POS"}, label2id=label2id)
    result = CliRunner().invoke(app, ["attribute", str(folder), "the cat sat", "-t", "pos", "--json"])
    assert result.exit_code == 0, result.stderr
    assert "logit of POS" in result.stdout


IDS = [11, 12, 13, 14, 15]
SCALARS = [torch.tensor(1), torch.tensor(1, dtype=torch.int32), np.array(1), np.int64(1), np.uint8(1)]


def lens_on(kind: Any, model_type: str) -> normlens.Lens:
    """A lens on a tiny model with a head; its second class is called good."""
    config = tiny.configuration(model_type)
    config.id2label = {0: "bad", 1: "good", 2: "so-so"}
    config.label2id = {"bad": 0, "good": 1, "so-so": 2}
    torch.manual_seed(0)
    return normlens.load((kind._from_config(config).double().eval(), None))


@pytest.mark.parametrize("one", SCALARS, ids=lambda one: f"{type(one).__name__} {one.dtype}")
def test_ids_may_be_tensors_and_arrays_without_dimensions(one: Any) -> None:
    classifier, decoder = lens_on(BertForSequenceClassification, "bert"), lens_on(GPT2LMHeadModel, "gpt2")
    expected = classifier.attribute(IDS, target=1)
    for target in (one, [one], LogProbability(one), (one, 2)):
        of = [IDS] if isinstance(target, list) else IDS
        result = classifier.attribute(of, target=target)
        result = next(result) if isinstance(target, list) else result
        assert result.attrs["target"].startswith(("logit of good", "log-probability of good"))
    np.testing.assert_array_equal(classifier.attribute(IDS, target=one).values, expected.values)
    at = decoder.attribute(IDS, target=one, position=one)
    np.testing.assert_array_equal(at.values, decoder.attribute(IDS, target=1, position=1).values)


def test_the_class_that_argmax_picks_is_the_class_explained() -> None:
    lens = lens_on(BertForSequenceClassification, "bert")
    with torch.no_grad():
        logits = lens.model(torch.tensor([IDS])).logits
    result = lens.attribute(IDS, target=logits.argmax())
    assert result.attrs["value"] == pytest.approx(float(logits.max()), abs=1e-12)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            torch.tensor([1]),
            r"target is a tensor of shape \(1,\); expected one integer. Pick one entry, such as target\[0\]",
        ),
        (np.array([1, 2]), r"target is an array of shape \(2,\); expected one integer"),
        (torch.tensor(True), "target is a tensor of torch.bool; expected an integer"),
        (np.array(1.0), "target is an array of float64; expected an integer"),
        (torch.tensor(1.0), "target is a tensor of torch.float32; expected an integer"),
        (np.bool_(True), r"target=np.True_; expected a class \(its name or number\)"),
        (np.float64(1), r"target=np.float64\(1.0\); expected a class"),
        (True, "target=True; expected a class"),
        ((1, torch.tensor([2])), r"target is a tensor of shape \(1,\)"),
        (LogProbability(np.array([1])), r"target is an array of shape \(1,\)"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_single_id_is_refused(target: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens_on(BertForSequenceClassification, "bert").attribute(IDS, target=target)
