"""Questions of XQuAD whose paragraph has several sentences, with the sentence that holds the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from normlens.words.text_spans import text_spans

FEWEST = 3
"""Fewest sentences of a paragraph."""


@dataclass(frozen=True)
class ContextQuestion:
    """A question about a paragraph.

    Attributes
    ----------
    name
        Its id in the data.
    context, question, answer
        The texts.
    sentences
        Number of sentences.
    gold
        Number of the sentence that holds the answer.
    """

    name: str
    context: str
    question: str
    answer: str
    sentences: int
    gold: int

    @property
    def prompt(self) -> dict[str, Any]:
        """The input of :meth:`normlens.Lens.attribute`."""
        return {"context": [self.context], "question": self.question}


def questions(data: Path, count: int) -> list[ContextQuestion]:
    """The first question of each paragraph, then the second of each, and so on, at most ``count``.

    Parameters
    ----------
    data
        The folder of the data sets.
    count
        Number of questions.
    """
    articles = json.loads((data / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [list(_of_paragraph(paragraph)) for article in articles for paragraph in article["paragraphs"]]
    in_turn = (one for several in zip_longest(*paragraphs) for one in several if one is not None)
    return [one for one, _ in zip(in_turn, range(count), strict=False)]


def _of_paragraph(paragraph: Any) -> Iterator[ContextQuestion]:
    """The questions of a paragraph whose answer lies in one sentence."""
    context = paragraph["context"].strip()
    shift = len(paragraph["context"]) - len(paragraph["context"].lstrip())
    spans = text_spans(context, "sentences")
    if len(spans) < FEWEST:
        return
    for one in paragraph["qas"]:
        answer = one["answers"][0]
        start = int(answer["answer_start"]) - shift
        stop = start + len(answer["text"])
        holding = np.flatnonzero((spans[:, 0] <= start) & (stop <= spans[:, 1]))
        if len(holding) == 1:
            yield ContextQuestion(one["id"], context, one["question"], answer["text"], len(spans), int(holding[0]))
