"""Texts as token ids, with the tokens that attention may weigh, and batches of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from normlens.faithfulness.four_tests.labeled_texts import LabeledTexts

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_SORTED_TOGETHER = 20  # batches whose texts are sorted by length together
PADDING, UNKNOWN, START, END = range(4)


@dataclass(frozen=True)
class Batch:
    """Texts that run together, padded on the right.

    Attributes
    ----------
    rows
        Their numbers among the encoded texts.
    ids, lengths, readable, labels
        As the classifiers take them.
    """

    rows: Int[np.ndarray, " text"]
    ids: Int[Tensor, "text token"]
    lengths: Int[Tensor, " text"]
    readable: Bool[Tensor, "text token"]
    labels: Int[Tensor, " text"]

    def table(self, values: Sequence[Float[np.ndarray, " token"]]) -> Float[Tensor, "text token"]:
        """The rows of this batch among values of all texts, padded with zeros."""
        table = np.zeros(self.ids.shape, dtype=np.float32)
        for place, row in enumerate(self.rows):
            table[place, : len(values[row])] = values[row]
        return torch.from_numpy(table).to(self.ids.device)


@dataclass(frozen=True)
class EncodedTexts:
    """The texts of one split as ids.

    Attributes
    ----------
    ids
        Token ids of each text, special ones included.
    readable
        Which of them attention may weigh.
    tokens
        How each token is written.
    labels
        Number of each text's class.
    padding
        The id that fills up shorter texts of a batch.
    """

    ids: list[Int[np.ndarray, " token"]]
    readable: list[Bool[np.ndarray, " token"]]
    tokens: list[list[str]]
    labels: Int[np.ndarray, " text"]
    padding: int = PADDING

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self) -> Int[np.ndarray, " text"]:
        """Number of tokens of each text that attention may weigh."""
        return np.array([mask.sum() for mask in self.readable])

    def batches(
        self, size: int, *, generator: np.random.Generator | None = None, device: torch.device | str = "cpu"
    ) -> Iterator[Batch]:
        """All texts in batches of similar length; in random order if there is a generator.

        Parameters
        ----------
        size
            Texts in a batch, at most.
        generator
            Draws the order.
        device
            Where the tensors are.
        """
        lengths = np.array([len(ids) for ids in self.ids])
        order = np.arange(len(self)) if generator is None else generator.permutation(len(self))
        window = len(self) if generator is None else size * _SORTED_TOGETHER
        chunks = []
        for start in range(0, len(self), window):
            rows = order[start : start + window]
            rows = rows[np.argsort(lengths[rows], kind="stable")]
            chunks += [rows[at : at + size] for at in range(0, len(rows), size)]
        if generator is not None:
            chunks = [chunks[k] for k in generator.permutation(len(chunks))]
        for rows in chunks:
            yield self._batch(rows, device)

    def _batch(self, rows: Int[np.ndarray, " text"], device: torch.device | str) -> Batch:
        longest = max(len(self.ids[row]) for row in rows)
        ids = np.full((len(rows), longest), self.padding, dtype=np.int64)
        readable = np.zeros((len(rows), longest), dtype=bool)
        for place, row in enumerate(rows):
            ids[place, : len(self.ids[row])] = self.ids[row]
            readable[place, : len(self.ids[row])] = self.readable[row]
        lengths = np.array([len(self.ids[row]) for row in rows])
        tensors = [torch.from_numpy(x).to(device) for x in (ids, lengths, readable, self.labels[rows])]
        return Batch(rows, *tensors)


class TextEncoder(Protocol):
    """Turns texts into ids."""

    @property
    def size(self) -> int:
        """Number of ids."""
        ...

    def encode(self, labeled: LabeledTexts) -> EncodedTexts:
        """Encode the texts of a split."""
        ...


class Vocabulary:
    """The words of the training texts; each text begins and ends with a mark that attention may not weigh.

    Words are runs of letters and digits in lower case, and single punctuation marks.

    Parameters
    ----------
    texts
        The training texts.
    min_count
        Rarer words share the id of the unknown word.
    """

    def __init__(self, texts: Sequence[str], min_count: int = 1) -> None:
        counts = Counter(word for text in texts for word in _words(text))
        frequent = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        self.words = ["", "[unknown]", "[start]", "[end]", *frequent]
        self._numbers = {word: number for number, word in enumerate(self.words) if number > END}

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self.words)

    def encode(self, labeled: LabeledTexts) -> EncodedTexts:
        """Encode the texts of a split."""
        words = [_words(text) for text in labeled.texts]
        ids = [np.array([START, *(self._numbers.get(word, UNKNOWN) for word in row), END]) for row in words]
        readable = [np.array([False, *[True] * len(row), False]) for row in words]
        return EncodedTexts(ids, readable, [["[start]", *row, "[end]"] for row in words], labeled.labels)


class TokenizerEncoder:
    """The tokens of a Hugging Face tokenizer; attention on special tokens is left out of explanations.

    Parameters
    ----------
    tokenizer
        The model's.
    padding
        The id that fills up shorter texts.
    longest
        Texts are cut to this many tokens. Default: never.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, padding: int, longest: int | None = None) -> None:
        self._tokenizer, self._padding, self._longest = tokenizer, padding, longest

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self._tokenizer)

    def encode(self, labeled: LabeledTexts) -> EncodedTexts:
        """Encode the texts of a split."""
        encoded = self._tokenizer(
            list(labeled.texts), truncation=self._longest is not None, max_length=self._longest,
            return_special_tokens_mask=True, return_attention_mask=False, verbose=False,
        )  # fmt: skip
        ids = [np.array(row, dtype=np.int64) for row in encoded["input_ids"]]
        special = set(self._tokenizer.all_special_ids) - {self._tokenizer.unk_token_id}
        readable = [
            np.array([not mask and token not in special for mask, token in zip(masks, row, strict=True)], dtype=bool)
            for masks, row in zip(encoded["special_tokens_mask"], encoded["input_ids"], strict=True)
        ]
        tokens = [self._tokenizer.convert_ids_to_tokens(row) for row in encoded["input_ids"]]
        return EncodedTexts(ids, readable, tokens, labeled.labels, self._padding)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
