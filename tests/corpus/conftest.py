"""A tiny model in a folder, and a small corpus with blank and unreadable lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from architectures import tiny
from transformers import PreTrainedTokenizerFast

WORDS = ("the", "cat", "sat", "here", "a", "dog", "ran", "is")


@pytest.fixture(scope="session")
def tiny_bert(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-bert")
    tiny.build("bert").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Twelve lines: one blank, one not UTF-8, one too long for the model, nine texts of different lengths."""
    texts = [" ".join(WORDS[(k + j) % 8] for j in range(3 + k % 4)) for k in range(9)]
    content = [*texts[:3], "", *texts[3:6], " ".join(["cat"] * 200), *texts[6:]]
    data = [text.encode() for text in content]
    data.insert(5, b"the c\xffat")
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\n".join(data) + b"\n")
    return path
