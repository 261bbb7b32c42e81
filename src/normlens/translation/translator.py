"""A translation model with what turns sentences into its ids and ids into sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.bitext.raw_text import moses_joiner, moses_rules
from normlens.errors import InvalidInput
from normlens.translation.scoring import TranslationScores, score


@dataclass(frozen=True)
class TranslatedText:
    """Translations of a text with their scores.

    Attributes
    ----------
    translations
        Sentence by sentence.
    scores
        BLEU and chrF against the references.
    truncated
        Number of sentences that were too long for the model, whose ends were cut off.
    """

    translations: list[str]
    scores: TranslationScores
    truncated: int


class TranslationVocabulary(Protocol):
    """What a model's source and target are written in."""

    @property
    def padding(self) -> int:
        """Id that fills a batch of sources."""

    @property
    def longest(self) -> int:
        """The most ids of a source."""

    def source_ids(self, sentences: Sequence[str], *, cut: bool = False) -> list[list[int]]:
        """Ids of sentences of the source language; those of long ones are cut to `longest` if asked for."""

    def target_text(self, ids: Tensor) -> list[str]:
        """The sentences of generated ids, one per row."""


class TokenizerVocabulary:
    """The vocabulary of a tokenizer, which reads the source and writes the target.

    Parameters
    ----------
    tokenizer
        Of a model from one language to another, such as Marian's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.padding = int(tokenizer.pad_token_id or 0)
        self.longest = int(tokenizer.model_max_length)

    def source_ids(self, sentences: Sequence[str], *, cut: bool = False) -> list[list[int]]:
        """Ids of sentences of the source language."""
        ids: list[list[int]] = self._tokenizer(list(sentences), verbose=False, truncation=cut)["input_ids"]
        return ids

    def target_text(self, ids: Tensor) -> list[str]:
        """The sentences of generated ids."""
        texts: list[str] = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts


@dataclass(frozen=True)
class Translator:
    """Translates sentences.

    Attributes
    ----------
    model
        An encoder–decoder that generates text, in evaluation mode.
    vocabulary
        Of its source and its target.
    training
        What the model says about the text that it was trained on, as in ``training.json``: languages, whether it was split
        into words, whether case was folded. Empty for models from elsewhere.
    generation
        Options of every generation, such as the id that begins a target.
    """

    model: PreTrainedModel
    vocabulary: TranslationVocabulary
    training: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)

    def translate(
        self,
        sentences: Sequence[str],
        *,
        beams: int | None = None,
        batch_size: int = 32,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[list[str], int]:
        """Translate sentences; an empty one stays empty.

        Parameters
        ----------
        sentences
            Raw text, if the model was trained on raw text; else words separated by spaces.
        beams
            Width of the beam search. None: as the model's generation settings say.
        batch_size
            Sentences per batch.
        progress
            Called with the number of sentences after each batch.

        Returns
        -------
        tuple
            The translations, and the number of sentences that were too long, whose ends were cut off.
        """
        split, join = self._rules()
        texts, translations = [split(sentence) for sentence in sentences], [""] * len(sentences)
        lengths = [len(ids) for ids in self.vocabulary.source_ids(texts)]
        options = {
            "max_new_tokens": longest_translation(self.model, max(lengths, default=0)),
            "max_length": None,
            **self.generation,
            **({"num_beams": beams} if beams else {}),
        }
        order = sorted((k for k, text in enumerate(texts) if text), key=lengths.__getitem__)
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            rows = [torch.tensor(ids) for ids in self.vocabulary.source_ids([texts[k] for k in chosen], cut=True)]
            batch = {
                "input_ids": pad_sequence(rows, batch_first=True, padding_value=self.vocabulary.padding),
                "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
            }
            with torch.no_grad():
                ids = self.model.generate(**{k: x.to(self.model.device) for k, x in batch.items()}, **options)
            for place, text in zip(chosen, self.vocabulary.target_text(ids), strict=True):
                translations[place] = join(text)
            if progress is not None:
                progress(len(chosen))
        return translations, sum(length > self.vocabulary.longest for length in lengths)

    def evaluate(
        self, source: Sequence[str], target: Sequence[str], *, tokenized: bool = False, **options: Any
    ) -> TranslatedText:
        """Translate sentences and score the translations; case is ignored if the model folds it.

        Parameters
        ----------
        source, target
            Sentences and their reference translations.
        tokenized
            Whether both are split into words already, so that BLEU doesn't split them again.
        **options
            As :meth:`translate`.

        Raises
        ------
        InvalidInput
            If the two differ in length or are empty.
        """
        require_references(source, target)
        translations, truncated = self.translate(source, **options)
        scores = score(translations, target, tokenized=tokenized, lowercase=bool(self.training.get("lowercase")))
        return TranslatedText(translations, scores, truncated)

    def _rules(self) -> tuple[Callable[[str], str], Callable[[str], str]]:
        """How a sentence is split into words for the model, and its translation joined."""
        if not self.training.get("tokenize"):
            return str.strip, str.strip
        source, target = self.training["source"], self.training["target"]
        split, _ = moses_rules(f"{source}-{target}")
        return lambda sentence: " ".join(split(sentence)), moses_joiner(target)


def require_references(source: Sequence[str], target: Sequence[str]) -> None:
    """Refuse sentences without a reference each.

    Raises
    ------
    InvalidInput
        With both numbers.
    """
    if len(source) != len(target) or not source:
        raise InvalidInput(
            f"There are {len(source)} sentences and {len(target)} references; expected one reference for each, and at least "
            "one sentence."
        )


def longest_translation(model: Any, longest: int) -> int:
    """The most tokens of a translation: the same for every batch, so that results don't depend on its size."""
    return int(min(2 * longest + 10, getattr(model.config, "max_position_embeddings", None) or 1024) - 1)
