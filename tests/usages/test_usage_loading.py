"""Usages: a checkpoint is asked for what it doesn't hold, or says something else of itself than it holds."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import normlens
from normlens.cli.app import app
from normlens.errors import InvalidInput

TEXT = "A film of rare grace."
QUESTIONS = {
    "sequence-classification": {"target": 0},
    "token-classification": {"target": 0, "position": 1},
    "question-answering": {"target": "start"},
    "masked-lm": {"target": "grace", "position": 5},
}


@pytest.mark.real_model
@pytest.mark.parametrize("task", QUESTIONS)
def test_a_head_that_the_checkpoint_lacks_is_not_explained(task: str) -> None:
    lens = normlens.load("minilm-l6", task=task)
    with pytest.raises(InvalidInput, match=r"has no (classifier|qa_outputs|cls)\.\S+ and .* random numbers"):
        lens.attribute(TEXT, **QUESTIONS[task])
    lens.analyze(TEXT)


@pytest.mark.real_model
def test_the_command_refuses_it_too() -> None:
    result = CliRunner().invoke(app, ["attribute", "minilm-l6", TEXT, "--task", "sequence-classification"])
    assert result.exit_code == 2
    assert "random numbers" in result.stderr
    assert "0." not in result.stdout
