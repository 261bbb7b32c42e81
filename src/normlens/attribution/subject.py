"""The subject of an attribution: a model with a batch of texts, whose runs and measurements are computed once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from normlens.analysis.inspector import Inspector
from normlens.analysis.padding import Batcher
from normlens.analysis.runner import Runner
from normlens.analysis.visit import Visit, visit_blocks
from normlens.engine.capture.hooks import leave_hooks
from normlens.engine.failures import explained_failure
from normlens.engine.frozen.settings import plain_settings
from normlens.engine.tracing.scopes import AttentionScope
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.example import Example
from normlens.inputs.tokens import Tokens

_SUBMODELS = {"image": "vis|image|pixel", "sound": "audio|speech|sound"}
"""Patterns in the names of submodels that read an image or a sound beside a text."""


@dataclass(frozen=True)
class Subject:
    """A model and a batch of texts that may run together.

    Attributes
    ----------
    model, tokenizer
        As loaded; the model is in evaluation mode and its weights are plain numbers.
    examples
        The texts. If their lengths differ, they are padded on the right, which was tested not to change the model's numbers.
    runner
        Measures weights and norms of attention.
    batcher
        Stacks the texts.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    examples: tuple[Example, ...]
    runner: Runner
    batcher: Batcher

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def inspector(self) -> Inspector:
        """The inspections of the model's attention blocks."""
        return self.runner.inspector

    @cached_property
    def inputs(self) -> Mapping[str, Tensor]:
        """The inputs of the model's forward, ``(batch, ...)``, padded on the right."""
        return self.batcher.inputs(self.examples)

    @cached_property
    def trees(self) -> list[dict[str, xr.Dataset]]:
        """The measurements of :meth:`normlens.Lens.analyze`, per text: weights, norms and ratios by group."""
        return self.runner.run(self.examples)

    @cached_property
    def output(self) -> Any:
        """The output of the unfrozen model for the batch, with eager attention."""
        with torch.no_grad():
            return self.run(self.inputs)

    def run(self, inputs: Mapping[str, Tensor]) -> Any:
        """The output of the unfrozen model, with eager attention and no cache.

        Raises
        ------
        InvalidInput
            If the model can't read the inputs.
        ModelError
            If it fails for another reason.
        """
        alone = "Some models read only one text at a time: set batch_size=1." if len(self) > 1 else ""
        with explained_failure(self.model, inputs, alone), plain_settings(self.model):
            return self.model(**inputs)

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the texts have a second side, which a decoder reads."""
        return any(example.target is not None for example in self.examples)

    def plain(self) -> Subject:
        """The same texts read by the model without its head, or by the whole model if its head can't be omitted."""
        body: PreTrainedModel = self.model.base_model
        accepted = frozenset(inspect.signature(body.forward).parameters)
        inner = getattr(body, "decoder", None)
        if self.model.main_input_name not in accepted and isinstance(inner, PreTrainedModel):
            body, accepted = inner, frozenset(inspect.signature(inner.forward).parameters)  # stand-alone decoders
        return replace(self, model=body, batcher=Batcher(body, accepted))

    def path_of_hidden_states(self) -> str:
        """Path of the module that returns the last hidden states: the last to end that isn't inside another such module.

        Raises
        ------
        InvalidInput
            If the model returns its logits under that name.
        """
        paths: dict[nn.Module, str] = {module: path for path, module in self.model.named_modules()}
        widths: dict[str, int] = {}

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            states = output.get("last_hidden_state") if isinstance(output, ModelOutput) else None
            if states is not None:
                outer = paths[module]
                for inside in [path for path in widths if not outer or path.startswith(f"{outer}.")]:
                    del widths[inside]
                widths[outer] = states.shape[-1]

        with torch.no_grad(), leave_hooks(paths, leave):
            output = self.run(self.inputs)
        if not widths:  # tuples instead of named outputs
            return paths[self.model.base_model]
        path, width = list(widths.items())[-1]
        logits = output.get("logits")
        if logits is not None and logits.shape[-1] == width != getattr(self.model.config, "hidden_size", width):
            raise InvalidInput(
                f"{type(self.model).__name__} returns its logits, one for each of {width} tokens, as its last hidden "
                "states. Name a layer with at=, or a target."
            )
        return path

    def layer_numbers(self, group: str) -> list[int]:
        """The layer numbers of a group of attention blocks, as the model counts them."""
        return [layer for name, layer, _ in self.inspector.blocks(self.examples[0]) if name == group]

    def read(self, text: int) -> Tokens | None:
        """The tokens at the output's positions: those that the decoder reads, if the model has one beside an encoder."""
        example = self.examples[text]
        return example.source if example.target is None else example.target

    def visit(self, scope: AttentionScope, visit: Visit) -> None:
        """Pass every attention block's contribution vectors at a scope to ``visit``, one block at a time.

        See :func:`normlens.analysis.visit.visit_blocks`.
        """
        visit_blocks(self.inspector, self.examples, scope, visit)

    def _side(self, example: Example, label: str) -> str:
        """The side of sources that enter in a submodel: "source", "target", or "image" or "sound" beside a text."""
        if example.target is not None and "decoder" in label:
            return "target"
        beside = example.source is not None and example.medium in _SUBMODELS
        return example.medium if beside and re.search(_SUBMODELS[example.medium], label, re.IGNORECASE) else "source"

    def _require_padding(self, example: Example, label: str) -> None:
        """Refuse to drop sources that may not be padding."""
        if example.medium != "text":
            raise UnsupportedArchitecture(
                f"{type(self.model).__name__} reads an {example.medium} beside the text, and normlens can't tell which of "
                f"them enters in {label!r}. Pass the text alone, or use analyze() instead."
            )

    def sources(self, text: int, groups: tuple[tuple[str, int], ...]) -> list[tuple[str, Tokens, slice]]:
        """The sources of the frozen engine in a text, without padding: side, tokens, and slice of the sources.

        Parameters
        ----------
        text
            Number of the text in the batch.
        groups
            Label and number of sources of each place where sources enter, as the engine returns them.

        Raises
        ------
        UnsupportedArchitecture
            If a text's tokens don't enter at any place: their shares would be counted as biases.
        """
        example, start = self.examples[text], 0
        sources: list[tuple[str, Tokens, slice]] = []
        for label, count in groups:
            side = self._side(example, label)
            tokens = {"target": example.target, "source": example.source}.get(side)
            if tokens is None or len(tokens) > count:
                tokens = example.label(count)
            if side in (earlier for earlier, _, _ in sources) and example.source is not None:
                self._require_padding(example, label)
                tokens = tokens.none()  # padding that the model embeds apart (LED)
            sources.append((side, tokens, slice(start, start + len(tokens))))
            start += count
        if example.target is not None and "target" not in (side for side, _, _ in sources):
            raise UnsupportedArchitecture(
                f"{type(self.model).__name__} exposes no embeddings of its decoder, so the target's tokens can't be "
                "sources. Use method='alti_plus' or 'rollout'."
            )
        return sources
