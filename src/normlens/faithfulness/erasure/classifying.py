"""Class probabilities of many token sequences, batched: what every measure of faithfulness asks of a model."""

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
    """Anything that reads token ids and says how probable each class is."""

    def encode(self, text: str) -> Tokens:
        """Tokenize a text as the classifier reads it, special tokens included."""
        ...

    def probabilities(self, sequences: Sequence[Ids]) -> Float[np.ndarray, "sequence class"]:
        """Give the probability of each class for each sequence of ids; rows add up to one."""
        ...

    def replacement(self, token: str | None) -> Replacement:
        """Choose the token that stands for an erased one."""
        ...


class LensClassifier:
    """The classifier behind a lens.

    Sequences of similar length run together where padding doesn't change the model's numbers, and equal ones run once;
    memory is that of one batch.

    Parameters
    ----------
    lens
        A lens on a model with a sequence-classification head, and its tokenizer.
    batch_size
        Sequences that run together at most.

    Attributes
    ----------
    classes
        Names of the classes.
    forwards
        Sequences that went through the model so far.

    Raises
    ------
    InvalidInput
        If the batch size is not a number from 1, there is no tokenizer, or the model is in training mode.
    UnsupportedArchitecture
        If the model is no classifier of sequences with two classes or more.
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
            If the text is empty or too long, or the model has a decoder, which would need a second one.
        """
        if is_pair(text):
            raise InvalidInput(
                "Two texts that are read together were given; expected one: erasing would have to know to which a word "
                "belongs. Explain pairs with lens.attribute()."
            )
        tokens = self._maker.make(text).source
        if tokens is None:
            raise InvalidInput(f"{type(text).__name__} was given; expected a text.")
        return tokens

    def probabilities(self, sequences: Sequence[Ids]) -> Float[np.ndarray, "sequence class"]:
        """Give the probability of each class for each sequence.

        Parameters
        ----------
        sequences
            Token ids, special tokens included.

        Returns
        -------
        array, ``(sequence, class)``, float64
        """
        numbers: dict[bytes, int] = {}
        places = [numbers.setdefault(np.asarray(ids, dtype=np.int64).tobytes(), len(numbers)) for ids in sequences]
        distinct = [np.frombuffer(content, dtype=np.int64) for content in numbers]
        found = np.empty((len(distinct), len(self.classes)))
        examples = [_example(ids) for ids in distinct]
        pads = getattr(self._model.config, "pad_token_id", None) is not None
        for batch in self._batcher.batches(examples, self._batch_size if pads else 1):
            found[batch] = self._forward([examples[k] for k in batch])
        self.forwards += len(distinct)
        return found[places]

    def replacement(self, token: str | None) -> Replacement:
        """Choose the token that stands for an erased one, as :func:`replacement_of` does.

        Raises
        ------
        InvalidInput
            If the model takes it for padding, in front of which it would read.
        """
        found = replacement_of(self._tokenizer, token)
        bidirectional = getattr(self._tokenizer, "mask_token", None) is not None
        if found.id == getattr(self._model.config, "pad_token_id", None) and not bidirectional:
            raise InvalidInput(
                f"{found.token!r} would stand for an erased token, and {type(self._model).__name__} reads the last token "
                "before its padding, which is the same one. Name another with replacement=, or erase by deletion only."
            )
        return found

    @computing()
    @torch.no_grad()
    def _forward(self, batch: Sequence[Example]) -> Float[np.ndarray, "sequence class"]:
        inputs = self._batcher.inputs(batch)
        if not self.forwards:
            require_trained(self._model, lambda: self._model(**inputs).logits)
        logits = self._model(**inputs).logits
        if logits.shape[-1] != len(self.classes):
            raise InvalidInput(
                f"{type(self._model).__name__} gives {logits.shape[-1]} logits, but its config names {len(self.classes)} "
                "classes. Correct id2label."
            )
        return np.asarray(torch.softmax(logits.cpu().double(), dim=-1).numpy())


def _example(ids: Ids) -> Example:
    tensor = torch.tensor(ids)
    return Example({"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}, None, None, "")


_MANY = "multi_label_classification"
