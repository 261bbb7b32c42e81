"""Hugging Face classifiers under test: fine-tuned from one checkpoint, explained by what a lens measures."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.attribution.registry import method_named, methods
from normlens.engine.tracing.scopes import SCOPES, norm_variable
from normlens.errors import InvalidInput, did_you_mean
from normlens.faithfulness.four_tests.classifier_heads import head_modules, require_trained, with_classes
from normlens.faithfulness.four_tests.encoded_texts import Batch, EncodedTexts, TextEncoder, TokenizerEncoder
from normlens.faithfulness.four_tests.experiment import ClassifierOptions
from normlens.faithfulness.four_tests.families import Scores
from normlens.faithfulness.four_tests.held_layers import frozen
from normlens.faithfulness.four_tests.labeled_texts import LabeledData
from normlens.faithfulness.four_tests.models import Prediction
from normlens.faithfulness.four_tests.permutations import Answer
from normlens.faithfulness.four_tests.transformer import TransformerClassifier
from normlens.faithfulness.four_tests.word_vectors import random_vectors
from normlens.lens import Lens
from normlens.loading.load import LoadedModel, load_model

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
    ordered
        Whether the data names the classes in the order of their numbers.

    Raises
    ------
    InvalidInput
        If the checkpoint has no tokenizer, its head has other classes than the texts, or it is to be tested as it is and
        has no trained head.
    UnsupportedArchitecture
        If it can't classify texts, or its attention can't be reached.
    """

    def __init__(
        self,
        options: ClassifierOptions,
        data: LabeledData,
        device: torch.device | str = "cpu",
        *,
        ordered: bool = False,
    ) -> None:
        loaded = load_model(options.model, task="sequence-classification", dtype="float32")
        if loaded.tokenizer is None:
            raise InvalidInput(f"{loaded.name} has no tokenizer; expected a model that reads text.")
        self._loaded, self._options, self._device = loaded, options, device
        if options.trained:
            require_trained(loaded.model, ordered)
        self._template, self._fresh = with_classes(loaded.model, data.classes)
        padding = _padding(self._template, loaded.tokenizer)
        self.encoder: TextEncoder = TokenizerEncoder(loaded.tokenizer, padding, options.longest)
        self.coverage: float | None = None
        self._layers = self._classifier(self._template).layers
        self._trained = self._template if options.trained else None
        if options.trained:
            self._template, self._fresh = self._begun(data.classes)

    def _begun(self, classes: Sequence[str]) -> tuple[PreTrainedModel, list[str]]:
        """The checkpoint that the models beside a trained one start from, and the modules that each draws anew."""
        start = self._options.start
        if start is None:
            return self._template, head_modules(self._template)
        loaded = load_model(start, task="sequence-classification", dtype="float32")
        vocabularies = [x.tokenizer.get_vocab() if x.tokenizer is not None else None for x in (loaded, self._loaded)]
        if type(loaded.model) is not type(self._loaded.model) or vocabularies[0] != vocabularies[1]:
            raise InvalidInput(
                f"start is {start} ({type(loaded.model).__name__}), and the model a {type(self._loaded.model).__name__} of "
                "another kind or vocabulary; expected the checkpoint that the model was fine-tuned from."
            )
        template, fresh = with_classes(loaded.model, classes)
        if not fresh:
            raise InvalidInput(
                f"start is {start}, whose head is trained; expected the checkpoint before fine-tuning, so that other models "
                "don't begin with what the tested one learned."
            )
        _padding(template, loaded.tokenizer)
        if self._classifier(template).layers != self._layers:
            raise InvalidInput(f"start is {start}, which has another number of layers than {self._options.model}.")
        return template, fresh

    def _classifier(self, model: PreTrainedModel, *, uniform: bool = False) -> TransformerClassifier:
        options = self._options
        return TransformerClassifier(model, options.layers, options.heads, uniform=uniform, row=options.row)

    def contents(self) -> Iterator[bytes]:
        """The parameters of checkpoints in folders, whose files may change under the same name."""
        models = {self._options.model: self._trained or self._template}
        if self._options.start is not None:
            models[self._options.start] = self._template
        for name, model in models.items():
            if Path(name).is_dir():
                for path, parameter in model.state_dict().items():
                    yield f"{path}\0".encode()
                    yield parameter.cpu().contiguous().numpy().tobytes()

    def tested(self) -> nn.Module | None:
        """The trained model that is tested as it is; None where it is fine-tuned here."""
        if self._trained is None:
            return None
        return self._classifier(copy.deepcopy(self._trained).to(self._device)).eval()

    def vectors(self, seed: int) -> Float[Tensor, "word size"]:
        """Random vectors for the tokens of the tokenizer."""
        return random_vectors(self.encoder.size, _VECTOR_SIZE, seed)

    def occurring(self, splits: Iterable[EncodedTexts]) -> Int[Tensor, " id"]:
        """The ids of the texts, a small share of a tokenizer's."""
        return torch.from_numpy(
            np.unique(np.concatenate([[encoded.padding, *row] for encoded in splits for row in encoded.ids]))
        )

    def new(self, seed: int, *, uniform: bool = False) -> nn.Module:
        """The checkpoint with a new head."""
        torch.manual_seed(seed)
        model = copy.deepcopy(self._template)
        for path in self._fresh:
            model._init_weights(model.get_submodule(path))
        return self._classifier(model.to(self._device), uniform=uniform)

    def read(self, model: nn.Module, batch: Batch, *, uniform: bool = False) -> Prediction:
        """What a model says of a batch."""
        prediction: Prediction = model(batch.ids, batch.lengths, batch.readable)
        return prediction

    @contextmanager
    def answering(self, model: nn.Module, batch: Batch) -> Iterator[Answer]:
        """A batch, read with attention of the caller's in the row that the head reads; lower layers run once."""
        assert isinstance(model, TransformerClassifier)
        with frozen(model), model.holding_lower_layers(batch.ids, batch.lengths):
            yield lambda attention: model(batch.ids, batch.lengths, batch.readable, attention).probabilities

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


def _padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> int:
    """The id that fills up shorter texts; a model without one gets the tokenizer's last."""
    if model.config.pad_token_id is None:
        model.config.pad_token_id = (tokenizer and tokenizer.eos_token_id) or 0
    return int(model.config.pad_token_id)
