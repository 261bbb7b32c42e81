"""Tiny models in folders, and the command line run inside the test process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import tiny
from invocation import Run
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from normlens.cli import app


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder; whatever it raises but an exit is a failure of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def invoke(*arguments: object, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def _saved(model_type: str, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    tiny.build(model_type).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT."""
    return _saved("bert", tokenizer, tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def marian(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny encoder–decoder."""
    return _saved("marian", tokenizer, tmp_path_factory.mktemp("marian"))


@pytest.fixture(scope="session")
def decoder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny decoder that predicts tokens."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("decoder")
    LlamaForCausalLM(tiny.configuration("llama")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A file with a short text that repeats itself."""
    path = tmp_path / "page.txt"
    path.write_text("the cat sat here. a dog ran here, the dog is here. the cat is a cat, a dog is a dog. the cat ran.")
    return path


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports whose numbers alone are looked at, and which are written in no time."""
    monkeypatch.setattr("normlens.statistics.report.writing.report_figures", lambda table: {})
    monkeypatch.setattr("normlens.statistics.report.writing._example_figures", lambda numbers, examples: {})
