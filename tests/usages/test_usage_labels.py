"""Classes whose names a config gives twice, asked for in the shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from architectures import tiny
from transformers import BertForSequenceClassification
from typer.testing import CliRunner

from normlens.cli.app import app


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
