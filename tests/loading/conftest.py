"""A folder with a small model and its tokenizer."""

from pathlib import Path

import pytest
from small_checkpoints import bert, tokenizer_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bert().save_pretrained(tmp_path / "bert")
    tokenizer_of(50).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"
