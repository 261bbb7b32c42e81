"""The vocabulary of a child: pieces of its own for a new language, and the parent's tokenizer for the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.lens import Lens
from normlens.loading.languages import set_languages
from normlens.transfer.token_ids import special_ids
from normlens.translation.vocabulary import LONGEST_INPUT, sentence_pieces


class ChildVocabulary:
    """What a child reads and writes.

    Parameters
    ----------
    parent
        A lens on the parent.
    source, target
        Files of the vocabularies of new languages; None for what the parent's tokenizer reads or writes.

    Attributes
    ----------
    padding
        Id that fills a batch of sources.
    longest
        The most ids of a source.

    Raises
    ------
    InvalidInput
        If the parent has no tokenizer, a file can't be read, or a package is missing.
    """

    def __init__(self, parent: Lens, source: Path | None = None, target: Path | None = None) -> None:
        self._tokenizer = tokenizer_of(parent)
        self._special = special_ids(parent.model)
        self._source, self._target = (None if path is None else sentence_pieces(path) for path in (source, target))
        self.padding = int(self._tokenizer.pad_token_id or 0) if source is None else self._special.padding
        self.longest = _longest(self._tokenizer, parent.model)

    @property
    def rows(self) -> int | None:
        """Number of pieces of the new language; None without one."""
        own = self._source or self._target
        return None if own is None else len(own)

    def source_ids(self, sentences: Sequence[str], *, cut: bool = False) -> list[list[int]]:
        """Ids of sentences of the source language, each with its end."""
        if self._source is None:
            limit: dict[str, Any] = {"truncation": True, "max_length": self.longest} if cut else {}
            return self._parents(text=list(sentences), **limit)
        ids = [[*row, self._special.end] for row in self._source.encode(list(sentences))]
        return [[*row[: self.longest - 1], row[-1]] if cut and len(row) > self.longest else row for row in ids]

    def target_ids(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of sentences of the target language, as labels."""
        if self._target is None:
            return self._parents(text_target=list(sentences))
        begin = [] if self._special.begin is None else [self._special.begin]
        return [[*begin, *row, self._special.end] for row in self._target.encode(list(sentences))]

    def target_text(self, ids: Tensor) -> list[str]:
        """The sentences of generated ids, one per row."""
        if self._target is None:
            texts: list[str] = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
            return texts
        special = {self._special.end, self._special.padding, self._special.unknown, self._special.begin}
        return [self._target.decode([x for x in row if x not in special]) for row in ids.tolist()]

    def _parents(self, **text: Any) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(**text, verbose=False)["input_ids"]
        return ids


def tokenizer_of(parent: Lens) -> PreTrainedTokenizerBase:
    """The parent's tokenizer.

    Raises
    ------
    InvalidInput
        If it has none.
    """
    if parent.tokenizer is None:
        raise InvalidInput(
            f"{parent.name} has no tokenizer; expected a translation model with the tokenizer of its languages."
        )
    return parent.tokenizer


def set_parent_languages(parent: Lens, source: str | None, target: str | None) -> None:
    """Set the languages of a parent whose tokenizer has many; one that the child has its own vocabulary for is None."""
    tokenizer = tokenizer_of(parent)
    if hasattr(tokenizer, "src_lang"):
        set_languages(tokenizer, source, target)


def _longest(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> int:
    """The most ids that model and tokenizer read."""
    positions = getattr(model.config, "max_position_embeddings", None) or LONGEST_INPUT
    return int(min(tokenizer.model_max_length, positions))
