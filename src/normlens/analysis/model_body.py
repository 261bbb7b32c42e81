"""The body of a model, which is the model without its head, and how it runs on examples."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.engine.capture.as_configured import run_as_configured
from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.capture.interface import attention_implementation
from normlens.engine.failures import explained_failure, require_arguments
from normlens.errors import InvalidInput
from normlens.inputs.batch import pad
from normlens.inputs.example import Example
from normlens.loading.positions import counts_from_padding


class ModelBody:
    """The body of a model: its head is left out of the runs, because it has no attention.

    Parameters
    ----------
    model
        The model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    @property
    def module(self) -> PreTrainedModel:
        """The model without its head, as it is now; the whole model if only that takes the main input."""
        body: PreTrainedModel = self._model.base_model
        return body if self._model.main_input_name in inspect.signature(body.forward).parameters else self._model

    def inputs(self, batch: Sequence[Example], padding: str) -> dict[str, Tensor]:
        """A batch of examples as arguments of the forward, padded on the side ``padding``."""
        padding_id = getattr(self._model.config, "pad_token_id", None)
        inputs = pad(batch, 0 if padding_id is None else padding_id, self._model.device, padding)
        accepted = inspect.signature(self.module.forward).parameters
        counts = "position_ids" in accepted and not counts_from_padding(self._model) and "position_ids" not in inputs
        if padding == "left" and len(batch) > 1 and "attention_mask" in inputs and counts:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        return inputs

    def run(self, inputs: dict[str, Tensor]) -> Any:
        """The output for inputs; arguments that the forward doesn't take are dropped."""
        body = self.module
        accepted = inspect.signature(body.forward).parameters
        chosen = {name: x for name, x in inputs.items() if name in accepted}
        return body(**chosen, use_cache=False) if "use_cache" in accepted else body(**chosen)

    def run_as_configured(self, inputs: dict[str, Tensor]) -> Any:
        """The output with the attention and expert implementations that the user chose."""
        return run_as_configured(self._model, lambda: self.run(inputs))

    def first_run(self, inputs: dict[str, Tensor]) -> Any:
        """Run the unmodified model as configured.

        Raises
        ------
        InvalidInput
            If the input is the cause of a failure.
        ModelError
            If the model itself fails.
        """
        body = self.module
        accepted = inspect.signature(body.forward).parameters
        if not any(name in accepted for name in inputs):
            raise InvalidInput(
                f"{type(body).__name__} takes no {' or '.join(inputs)}; expected {body.main_input_name} at least."
            )
        require_arguments(body, inputs)
        with explained_failure(body, inputs):
            return self.run_as_configured(inputs)

    def require_readable(self, inputs: dict[str, Tensor]) -> None:
        """Run the unmodified model with eager attention; an error says whether the input or the model is the cause."""
        with torch.no_grad(), attention_implementation(self._model, "eager"), evaluation_mode(self._model):
            self.first_run(inputs)
