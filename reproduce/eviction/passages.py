"""Passages to be copied, from three corpora in turn, and texts with a needle: lines of keys and values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from normlens import Lens
from normlens.errors import InvalidInput

CORPORA = ("xquad", "cdsco", "ud_pud")
"""English Wikipedia paragraphs, stories of Conan Doyle, news and Wikipedia sentences."""

_NAMES = (
    "Alice", "Bruno", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Irene", "Jacob", "Karen", "Louis", "Maria",
    "Nina", "Oscar", "Paula", "Quentin", "Rosa", "Simon", "Tina", "Victor", "Wanda",
)  # fmt: skip
_LINES = 16
_ASKED = 4


@dataclass(frozen=True, eq=False)
class Passage:
    """A text, and what follows it.

    Attributes
    ----------
    name
        Corpus and number.
    ids, following
        Token ids of the text, and of what follows.
    counted
        True for the tokens of ``following`` whose loss counts; the first never does.
    """

    name: str
    ids: Int[Tensor, " token"]
    following: Int[Tensor, " following"]
    counted: list[bool]


def copied_passages(lens: Lens, data: Path, count: int, tokens: int, copied: int) -> Iterator[Passage]:
    """Passages of a corpus each in turn; after each, its own middle follows, which no score keeps by its position.

    Parameters
    ----------
    lens
        The model.
    data
        The folder of the data sets.
    count
        Number of passages.
    tokens, copied
        Tokens of a passage, and of its copy.
    """
    pieces = {corpus: list(_pieces(lens, _text(data, corpus), tokens, -(-count // len(CORPORA)))) for corpus in CORPORA}
    for k in range(count):
        corpus = CORPORA[k % len(CORPORA)]
        ids = pieces[corpus][k // len(CORPORA)]
        start = (tokens - copied) // 2
        following = ids[start : start + copied]
        yield Passage(f"{corpus} {k // len(CORPORA)}", ids, following, [False] + [True] * (copied - 1))


def needle_texts(lens: Lens, count: int) -> Iterator[Passage]:
    """Lines that give everyone a number; then a few of them again, and only the numbers count."""
    for k in range(count):
        draw = np.random.default_rng(k)
        names = draw.permutation(_NAMES)[:_LINES].tolist()
        numbers = draw.integers(1000, 10_000, size=_LINES).tolist()
        text = "".join(f"The number of {name} is {number}.\n" for name, number in zip(names, numbers, strict=True))
        following: list[int] = []
        counted: list[bool] = []
        for asked in draw.permutation(_LINES)[:_ASKED].tolist():
            for piece, counts in (
                (f"The number of {names[asked]} is", False),
                (f" {numbers[asked]}", True),
                (".\n", False),
            ):
                ids = _ids(lens, piece)
                following += ids
                counted += [counts] * len(ids)
        yield Passage(f"needle {k}", torch.tensor(_ids(lens, text)), torch.tensor(following), counted)


def _pieces(lens: Lens, text: str, tokens: int, count: int) -> Iterator[Int[Tensor, " token"]]:
    """Pieces of a text, spread evenly over it."""
    ids = torch.tensor(_ids(lens, text))
    whole = len(ids) // tokens
    if whole < count:
        raise InvalidInput(f"The corpus has {whole} passages of {tokens} tokens; expected at least {count}.")
    for k in range(count):
        yield ids[(k * whole // count) * tokens :][:tokens]


def _ids(lens: Lens, text: str) -> list[int]:
    assert lens.tokenizer is not None
    return list(lens.tokenizer(text, add_special_tokens=False)["input_ids"])


def _text(data: Path, corpus: str) -> str:
    """The running text of a corpus."""
    folder = data / corpus
    if corpus == "xquad":
        articles = json.loads((folder / "xquad.en.json").read_text(encoding="utf-8"))["data"]
        return "\n".join(paragraph["context"] for article in articles for paragraph in article["paragraphs"])
    if corpus == "ud_pud":
        lines = (folder / "en_pud-ud-test.conllu").read_text(encoding="utf-8").splitlines()
        return " ".join(line.removeprefix("# text = ") for line in lines if line.startswith("# text = "))
    [file] = folder.glob("*dev*.txt")
    sentences = file.read_text(encoding="utf-8").split("\n\n")
    return " ".join(_sentence(block.splitlines()) for block in sentences if block.strip())


def _sentence(rows: list[str]) -> str:
    """The words of a sentence in columns, with spaces as in print."""
    text = " ".join(row.split("\t")[3] for row in rows if row.count("\t") > 3)
    for mark in (".", ",", ";", "?", "!", "'s", "n't", ":"):
        text = text.replace(f" {mark}", mark)
    return text.replace("`` ", '"').replace(" ''", '"')
