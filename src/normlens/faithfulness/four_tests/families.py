"""The two kinds of classifier under test: how each is made, read, and explained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from normlens.errors import InvalidInput, did_you_mean
from normlens.faithfulness.four_tests.encoded_texts import Batch, EncodedTexts, TextEncoder, Vocabulary
from normlens.faithfulness.four_tests.experiment import ClassifierOptions
from normlens.faithfulness.four_tests.held_layers import frozen
from normlens.faithfulness.four_tests.labeled_texts import LabeledData
from normlens.faithfulness.four_tests.models import Prediction, RecurrentClassifier
from normlens.faithfulness.four_tests.permutations import Answer
from normlens.faithfulness.four_tests.uniform import uniform_attention
from normlens.faithfulness.four_tests.word_vectors import random_vectors, read_vectors

Scores = list[Float[np.ndarray, " token"]]
"""For each text a score of each token, 0 for tokens that may not be read."""


class Family(Protocol):
    """Classifiers that differ in their seed and their attention only.

    Attributes
    ----------
    encoder
        Turns texts into ids.
    coverage
        Share of the vocabulary that has word vectors from a file, from 0 to 1; None where none were read.
    """

    encoder: TextEncoder
    coverage: float | None

    def contents(self) -> Iterable[bytes]:
        """What the models start from, where the settings don't say it all."""
        ...

    def tested(self) -> nn.Module | None:
        """The trained model that is tested as it is; None where it is trained here."""
        ...

    def new(self, seed: int, *, uniform: bool = False) -> nn.Module:
        """A model that has not seen the training texts."""
        ...

    def read(self, model: nn.Module, batch: Batch, *, uniform: bool = False) -> Prediction:
        """What a model says of a batch."""
        ...

    def answering(self, model: nn.Module, batch: Batch) -> AbstractContextManager[Answer]:
        """What a model says of a batch with attention of the caller's, as long as the context lasts."""
        ...

    def embedding(self, model: nn.Module) -> nn.Module:
        """The embedding of tokens."""
        ...

    def vectors(self, seed: int) -> Float[Tensor, "word size"]:
        """Vectors of the tokens for a model that reads each alone."""
        ...

    def occurring(self, splits: Iterable[EncodedTexts]) -> Int[Tensor, " id"] | None:
        """The ids that occur in the texts, ascending; None where nearly all of the encoder's do."""
        ...

    def check(self, explanations: Sequence[str]) -> None:
        """Refuse explanations that these models don't have."""
        ...

    def explain(self, model: nn.Module, encoded: EncodedTexts, explanations: Sequence[str]) -> dict[str, Scores]:
        """Scores of all tokens by explanation."""
        ...


class RecurrentFamily:
    """The paper's BiLSTM with additive attention.

    Parameters
    ----------
    options
        Sizes, and the file of word vectors.
    data
        The texts; those for training give the vocabulary.
    device
        Where models run.
    """

    EXPLANATIONS = ("weight", "norm", "contribution")

    def __init__(self, options: ClassifierOptions, data: LabeledData, device: torch.device | str = "cpu") -> None:
        vocabulary = Vocabulary(data.splits["train"].texts, options.min_count)
        self.encoder: TextEncoder = vocabulary
        self.coverage: float | None = None
        self._options, self._classes, self._device = options, len(data.classes), device
        self._read: Tensor | None = None
        if options.vectors is not None:
            self._read, self.coverage = read_vectors(options.vectors, vocabulary.words, seed=0)

    def vectors(self, seed: int) -> Float[Tensor, "word size"]:
        """Word vectors of the file, or random ones."""
        return random_vectors(self.encoder.size, self._options.vector_size, seed) if self._read is None else self._read

    def contents(self) -> Iterable[bytes]:
        """The word vectors of a file."""
        return [] if self.coverage is None else [self.vectors(0).numpy().tobytes()]

    def tested(self) -> None:
        """It is always trained here."""

    def occurring(self, splits: Iterable[EncodedTexts]) -> None:
        """The vocabulary is that of the training texts."""

    def new(self, seed: int, *, uniform: bool = False) -> nn.Module:
        """A model with random parameters."""
        torch.manual_seed(seed)
        model = RecurrentClassifier(self.vectors(seed), self._classes, hidden=self._options.hidden)
        return model.to(self._device)

    def read(self, model: nn.Module, batch: Batch, *, uniform: bool = False) -> Prediction:
        """What a model says of a batch."""
        attention = uniform_attention(batch.readable) if uniform else None
        prediction: Prediction = model(batch.ids, batch.lengths, batch.readable, attention)
        return prediction

    @contextmanager
    def answering(self, model: nn.Module, batch: Batch) -> Iterator[Answer]:
        """The states of a batch, read with attention of the caller's."""
        with torch.no_grad():
            states = self.read(model, batch).states
        assert states is not None

        def answer(attention: Tensor) -> Tensor:
            logits = model.get_submodule("head")(torch.einsum("bt,btd->bd", attention, states))
            return Prediction(logits, attention).probabilities

        with frozen(model):
            yield answer

    def embedding(self, model: nn.Module) -> nn.Module:
        """The embedding of words."""
        embedding: nn.Module = model.get_submodule("embedding")
        return embedding

    def check(self, explanations: Sequence[str]) -> None:
        """Refuse explanations that these models don't have.

        Raises
        ------
        InvalidInput
            Naming the nearest.
        """
        for name in explanations:
            if name not in self.EXPLANATIONS:
                raise InvalidInput(
                    f"A recurrent classifier has no explanation {name!r}; expected some of {', '.join(self.EXPLANATIONS)}."
                    f"{did_you_mean(name, self.EXPLANATIONS)}"
                )

    def explain(self, model: nn.Module, encoded: EncodedTexts, explanations: Sequence[str]) -> dict[str, Scores]:
        """α, α‖h‖, and α times the logit of h for the predicted class, above the mean of all classes."""
        scores: dict[str, dict[int, Float[np.ndarray, " token"]]] = {name: {} for name in explanations}
        with torch.no_grad():
            for batch in encoded.batches(64, device=self._device):
                prediction = self.read(model, batch)
                for name in explanations:
                    table = _score(name, model, prediction).double().cpu().numpy()
                    for row, values in zip(batch.rows, table, strict=True):
                        scores[name][row] = values[: len(encoded.ids[row])]
        return {name: [rows[k] for k in range(len(encoded))] for name, rows in scores.items()}


def _score(name: str, model: nn.Module, prediction: Prediction) -> Float[Tensor, "text token"]:
    if name == "weight":
        return prediction.attention
    assert prediction.states is not None
    return prediction.attention * prediction.states.norm(dim=-1) if name == "norm" else _contribution(model, prediction)


def _contribution(model: nn.Module, prediction: Prediction) -> Float[Tensor, "text token"]:
    """α_t w·h_t, where w is the predicted class's row of the head, less the mean row."""
    weight = model.get_submodule("head").weight
    assert isinstance(weight, Tensor) and prediction.states is not None
    rows = torch.cat([-weight, weight]) / 2 if len(weight) == 1 else weight - weight.mean(dim=0)
    chosen = rows[prediction.probabilities.argmax(dim=-1)]
    return prediction.attention * torch.einsum("btd,bd->bt", prediction.states, chosen)
