"""Hugging Face classifiers under test: fine-tuned from one checkpoint, explained by what a lens measures."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.attribution.registry import method_named, methods
from normlens.engine.tracing.scopes import SCOPES, norm_variable
from normlens.errors import InvalidInput, did_you_mean
from normlens.faithfulness.four_tests.encoded_texts import Batch, EncodedTexts, TextEncoder, TokenizerEncoder
from normlens.faithfulness.four_tests.experiment import ClassifierOptions
from normlens.faithfulness.four_tests.families import Scores
from normlens.faithfulness.four_tests.labeled_texts import LabeledData
from normlens.faithfulness.four_tests.models import Prediction
from normlens.faithfulness.four_tests.permutations import Answer
from normlens.faithfulness.four_tests.transformer import TransformerClassifier
from normlens.faithfulness.four_tests.word_vectors import random_vectors
from normlens.lens import Lens
from normlens.loading.load import LoadedModel, load_model
from normlens.loading.untrained import untrained

_VECTOR_SIZE = 300


class TransformerFamily:
    """Sequence classifiers fine-tuned from one checkpoint.

    Parameters
    ----------
    options
        The checkpoint, layers and heads.
    data
        The texts.
    device
        Where models run.

    Raises
    ------
    InvalidInput
        If the checkpoint has no tokenizer, or its head has other classes than the texts.
    UnsupportedArchitecture
        If it can't classify texts, or its attention can't be reached.
    """

    def __init__(self, options: ClassifierOptions, data: LabeledData, device: torch.device | str = "cpu") -> None:
        loaded = load_model(options.model, task="sequence-classification", dtype="float32")
        if loaded.tokenizer is None:
            raise InvalidInput(f"{loaded.name} has no tokenizer; expected a model that reads text.")
        self._loaded, self._options, self._device = loaded, options, device
        self._template, self._fresh = with_classes(loaded.model, data.classes)
        if self._template.config.pad_token_id is None:
            self._template.config.pad_token_id = loaded.tokenizer.eos_token_id or 0
        padding = int(self._template.config.pad_token_id)
        self.encoder: TextEncoder = TokenizerEncoder(loaded.tokenizer, padding, options.longest)
        self.coverage: float | None = None
        self._layers = TransformerClassifier(self._template, options.layers, options.heads).layers

    def vectors(self, seed: int) -> Float[Tensor, "word size"]:
        """Random vectors for the tokens of the tokenizer."""
        return random_vectors(self.encoder.size, _VECTOR_SIZE, seed)

    def new(self, seed: int, *, uniform: bool = False) -> nn.Module:
        """The checkpoint with a new head."""
        torch.manual_seed(seed)
        model = copy.deepcopy(self._template)
        for path in self._fresh:
            model._init_weights(model.get_submodule(path))
        classifier = TransformerClassifier(
            model.to(self._device), self._options.layers, self._options.heads, uniform=uniform
        )
        return classifier

    def read(self, model: nn.Module, batch: Batch, *, uniform: bool = False) -> Prediction:
        """What a model says of a batch."""
        prediction: Prediction = model(batch.ids, batch.lengths, batch.readable)
        return prediction

    def answer(self, model: nn.Module, batch: Batch) -> Answer:
        """A batch, read with attention of the caller's in the row that the head reads."""
        return lambda attention: model(batch.ids, batch.lengths, batch.readable, attention).probabilities

    def embedding(self, model: nn.Module) -> nn.Module:
        """The embedding of tokens."""
        assert isinstance(model, TransformerClassifier)
        embedding: nn.Module = model.model.get_input_embeddings()
        return embedding

    def check(self, explanations: Sequence[str]) -> None:
        """Refuse explanations that are not a measure, a scope or a method.

        Raises
        ------
        InvalidInput
            Naming the nearest.
        """
        names = ["weight", "norm", *(f"norm:{scope}" for scope in SCOPES), *methods()["name"]]
        for name in explanations:
            if name not in names:
                raise InvalidInput(
                    f"There is no explanation {name!r}; expected some of {', '.join(names)}.{did_you_mean(name, names)}"
                )

    def explain(self, model: nn.Module, encoded: EncodedTexts, explanations: Sequence[str]) -> dict[str, Scores]:
        """The head's row of weights and norms, averaged over the layers under test, and shares by methods of attribution."""
        assert isinstance(model, TransformerClassifier)
        lens = Lens(LoadedModel(model.model.eval(), self._loaded.tokenizer, None, self._loaded.name, None))
        inputs = [torch.from_numpy(ids)[None] for ids in encoded.ids]
        measured = [name for name in explanations if name == "weight" or name.split(":")[0] == "norm"]
        scores: dict[str, Scores] = {name: [] for name in explanations}
        beyond = any(name.startswith("norm:") and name[5:] in SCOPES[3:] for name in measured)
        if measured:
            rows = lens.stream(inputs, through="block" if beyond else "attention", batch_size=32, progress=False)
            for analysis, mask in zip(rows, encoded.readable, strict=True):
                [group] = analysis.groups
                data = analysis[group].sel(layer=self._layers).isel(target=0 if model.row == "first" else -1)
                for name in measured:
                    scores[name].append(np.where(mask, self._measured(data, name, model.heads), 0.0))
        for name in (name for name in explanations if name not in measured):
            shares = lens.attribute(inputs, method=method_named(name).name, batch_size=16)
            for share, mask in zip(shares, encoded.readable, strict=True):
                values = share.isel(target=0 if model.row == "first" else -1) if "target" in share.dims else share
                scores[name].append(np.where(mask, np.asarray(values.values, dtype=np.float64), 0.0))
        return scores

    @staticmethod
    def _measured(data: object, name: str, heads: Sequence[int]) -> Float[np.ndarray, " source"]:
        """One row of weights, averaged over heads and layers, or of norms at a scope, averaged over layers."""
        import xarray as xr

        assert isinstance(data, xr.Dataset)
        if name == "weight":
            return np.asarray(data["weight"].sel(head=list(heads)).mean(["layer", "head"]).values, dtype=np.float64)
        variable = norm_variable(name[5:] or "attention")
        if variable not in data:
            raise InvalidInput(
                f"The model has no norm at the scope {name[5:]!r}; see which scopes `normlens analyze` shows."
            )
        return np.asarray(data[variable].mean("layer").values, dtype=np.float64)


def with_classes(model: PreTrainedModel, classes: Sequence[str]) -> tuple[PreTrainedModel, list[str]]:
    """A classifier with a head for these classes, and those of its modules that no checkpoint holds.

    Parameters
    ----------
    model
        As loaded.
    classes
        Names of the classes, in the order of their numbers.

    Raises
    ------
    InvalidInput
        If the checkpoint has a trained head with other classes.
    """
    fresh = sorted({name.rpartition(".")[0] for name in untrained(model)})
    names = [str(model.config.id2label[k]) for k in range(model.config.num_labels)]
    if not fresh and len(names) != len(classes):
        raise InvalidInput(
            f"The head of {model.name_or_path or type(model).__name__} has {len(names)} classes ({', '.join(names)}); the "
            f"texts have {len(classes)} ({', '.join(classes)}). Take a checkpoint without a head, or texts with its labels."
        )
    named = not all(name == f"LABEL_{k}" for k, name in enumerate(names))
    if not fresh and named and [name.lower() for name in names] != [name.lower() for name in classes]:
        raise InvalidInput(
            f"The head has the classes {', '.join(names)}, the texts {', '.join(classes)}; expected the same in the same "
            "order. Set classes in [data]."
        )
    config = copy.deepcopy(model.config)
    config.num_labels = len(classes)
    config.id2label, config.label2id = dict(enumerate(classes)), {name: k for k, name in enumerate(classes)}
    template = type(model)(config)
    state = {
        name: value
        for name, value in model.state_dict().items()
        if name in template.state_dict() and template.state_dict()[name].shape == value.shape
    }
    template.load_state_dict(state, strict=False)
    other = {name.rpartition(".")[0] for name in template.state_dict() if name not in state}
    return template.eval(), sorted({*fresh, *other})
