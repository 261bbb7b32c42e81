"""Class probabilities of many token sequences, in batches: all that measures of faithfulness need of a model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int

from normlens.analysis.padding import Batcher
from normlens.attribution.targets.classes import class_names
from normlens.engine.computation import computing
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.faithfulness.erasure.erasing import Replacement, replacement_of
from normlens.inputs.batch import check_sizes
from normlens.inputs.example import Example
from normlens.inputs.example_maker import ExampleMaker
from normlens.inputs.tokenization import is_pair
from normlens.inputs.tokens import Tokens
from normlens.lens import Lens
from normlens.loading.checkpoint_checks import require_evaluation
from normlens.loading.load import LoadedModel

Ids = Int[np.ndarray, " token"]


class Classifier(Protocol):
    """Anything that returns class probabilities for token ids."""

    def encode(self, text: str) -> Tokens:
        """Tokenize a text as the classifier reads it, special tokens included."""
        ...

    def probabilities(self, sequences: Sequence[Ids]) -> Float[np.ndarray, "sequence class"]:
        """Return the probability of each class for each sequence of ids; rows sum to one."""
        ...

    def replacement(self, token: str | None) -> Replacement:
        """Choose the token that replaces erased ones."""
        ...


class LensClassifier:
    """The classifier behind a lens.

    Sequences of similar length share a batch where padding doesn't change the model's outputs, and equal sequences run once.
    Memory is that of one batch.

    Parameters
    ----------
    lens
        A lens on a model with a sequence-classification head, and its tokenizer.
    batch_size
        Largest number of sequences in a batch.

    Attributes
    ----------
    classes
        Names of the classes.
    forwards
        Number of sequences that the model has read.

    Raises
    ------
    InvalidInput
        If the batch size isn't a positive integer, there is no tokenizer, or the model is in training mode.
    UnsupportedArchitecture
        If the model isn't a sequence classifier with at least two classes.
    """

    def __init__(self, lens: Lens, *, batch_size: int = 64) -> None:
        check_sizes(None, batch_size)
        if lens.tokenizer is None:
            raise InvalidInput(f"{lens!r} has no tokenizer; expected one. Load the model as (model, tokenizer).")
        config = lens.model.config
        kind = getattr(config, "problem_type", None)
        if "SequenceClassification" not in type(lens.model).__name__ or config.num_labels < 2 or kind == _MANY:
            raise UnsupportedArchitecture(
                f"{type(lens.model).__name__} doesn't choose one of several classes for a text ({config.num_labels} "
                f"outputs{f', {kind}' if kind else ''}); expected a sequence classifier. Load one, or fine-tune one first."
            )
        require_evaluation(lens.model)
        self._model, self._tokenizer, self._batch_size = lens.model, lens.tokenizer, batch_size
        self._maker = ExampleMaker(LoadedModel(lens.model, lens.tokenizer, None, lens.name, lens.revision))
        self._batcher = Batcher(lens.model, frozenset(inspect.signature(lens.model.forward).parameters))
        self.classes = list(class_names(config))
        self.forwards = 0

    def encode(self, text: str) -> Tokens:
        """Tokenize a text as the model reads it.

        Raises
        ------
        InvalidInput
            If the text is empty or too long, or the model has a decoder, which needs a second text.
        """
        if is_pair(text):
            raise InvalidInput(
                "Got a pair of texts; expected one text, since words are erased from a single text. Explain pairs with "
                "lens.attribute()."
            )
        tokens = self._maker.make(text).source
        if tokens is None:
            raise InvalidInput(f"Got {type(text).__name__}; expected a text.")
        return tokens

    def probabilities(self, sequences: Sequence[Ids]) -> Float[np.ndarray, "sequence class"]:
        """Return the probability of each class for each sequence.

        Parameters
        ----------
        sequences
            Token ids, special tokens included.

        Returns
        -------
        array, ``(sequence, class)``, float64
        """
        numbers: dict[bytes, int] = {}
        rows = [numbers.setdefault(np.asarray(ids, dtype=np.int64).tobytes(), len(numbers)) for ids in sequences]
        distinct = [np.frombuffer(content, dtype=np.int64) for content in numbers]
        results = np.empty((len(distinct), len(self.classes)))
        examples = [_example(ids) for ids in distinct]
        pads = getattr(self._model.config, "pad_token_id", None) is not None
        for batch in self._batcher.batches(examples, self._batch_size if pads else 1):
            results[batch] = self._forward([examples[k] for k in batch])
        self.forwards += len(distinct)
        return results[rows]

    def replacement(self, token: str | None) -> Replacement:
        """Choose the token that replaces erased ones, as :func:`replacement_of` does.

        Raises
        ------
        InvalidInput
            If it is the padding token of a model that reads the last token before its padding.
        """
        replacement = replacement_of(self._tokenizer, token)
        bidirectional = getattr(self._tokenizer, "mask_token", None) is not None
        if replacement.id == getattr(self._model.config, "pad_token_id", None) and not bidirectional:
            raise InvalidInput(
                f"Erased tokens would be replaced by {replacement.token!r}, the padding of {type(self._model).__name__}, "
                "which reads the last token before its padding. Pass another replacement=, or erase by deletion only."
            )
        return replacement

    @computing()
    @torch.no_grad()
    def _forward(self, batch: Sequence[Example]) -> Float[np.ndarray, "sequence class"]:
        inputs = self._batcher.inputs(batch)
        if not self.forwards:
            require_trained(self._model, lambda: self._model(**inputs).logits)
        logits = self._model(**inputs).logits
        if logits.shape[-1] != len(self.classes):
            raise InvalidInput(
                f"{type(self._model).__name__} returns {logits.shape[-1]} logits, but its config names {len(self.classes)} "
                "classes. Correct id2label."
            )
        return np.asarray(torch.softmax(logits.cpu().double(), dim=-1).numpy())


def _example(ids: Ids) -> Example:
    tensor = torch.tensor(ids)
    return Example({"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}, None, None, "")


_MANY = "multi_label_classification"
