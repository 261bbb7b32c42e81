"""The subject of an attribution: a model with a batch of texts, and what methods ask of it, each computed once."""

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
from normlens.engine.capture.hooks import left
from normlens.engine.failures import explained_failure
from normlens.engine.frozen.settings import plain_settings
from normlens.engine.tracing.scopes import AttentionScope
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.inputs.example import Example
from normlens.inputs.tokens import Tokens

_PARTS = {"image": "vis|image|pixel", "sound": "audio|speech|sound"}
"""How parts of a model are called that read what stands beside a text."""


@dataclass(frozen=True)
class Subject:
    """A model and a batch of texts that may run together.

    Attributes
    ----------
    model, tokenizer
        As loaded; the model is in evaluation mode and its weights are plain numbers.
    examples
        The texts. Where their lengths differ, padding is on the right and known not to change the model's numbers.
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
        """What is known of the model's attention blocks."""
        return self.runner.inspector

    @cached_property
    def inputs(self) -> Mapping[str, Tensor]:
        """What the model's forward takes, ``(batch, ...)``, padded on the right."""
        return self.batcher.inputs(self.examples)

    @cached_property
    def trees(self) -> list[dict[str, xr.Dataset]]:
        """What :meth:`normlens.Lens.analyze` measures, per text: weights, norms, ratios by group."""
        return self.runner.run(self.examples)

    @cached_property
    def output(self) -> Any:
        """What the unfrozen model returns for the batch, with eager attention."""
        with torch.no_grad():
            return self.run(self.inputs)

    def run(self, inputs: Mapping[str, Tensor]) -> Any:
        """What the unfrozen model returns, with eager attention and no cache.

        Raises
        ------
        InvalidInput
            If the model can't read the inputs.
        ModelError
            If it fails for another reason.
        """
        alone = "Some models read one text at a time only: batch_size=1." if len(self) > 1 else ""
        with explained_failure(self.model, inputs, alone), plain_settings(self.model):
            return self.model(**inputs)

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether texts have a target side."""
        return any(example.target is not None for example in self.examples)

    def plain(self) -> Subject:
        """The same texts read by the model without its head; by the model itself where its head can't be left out."""
        body: PreTrainedModel = self.model.base_model
        accepted = frozenset(inspect.signature(body.forward).parameters)
        inner = getattr(body, "decoder", None)
        if self.model.main_input_name not in accepted and isinstance(inner, PreTrainedModel):
            body, accepted = inner, frozenset(inspect.signature(inner.forward).parameters)  # stand-alone decoders
        return replace(self, model=body, batcher=Batcher(body, accepted))

    def path_of_hidden_states(self) -> str:
        """Path of the module that gives the last hidden states: the last to end that isn't part of another such module.

        Raises
        ------
        InvalidInput
            If what the model calls so are its logits.
        """
        paths: dict[nn.Module, str] = {module: path for path, module in self.model.named_modules()}
        found: dict[str, int] = {}

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            states = output.get("last_hidden_state") if isinstance(output, ModelOutput) else None
            if states is not None:
                outer = paths[module]
                for inside in [path for path in found if not outer or path.startswith(f"{outer}.")]:
                    del found[inside]
                found[outer] = states.shape[-1]

        with torch.no_grad(), left(paths, leave):
            output = self.run(self.inputs)
        if not found:  # tuples instead of named outputs
            return paths[self.model.base_model]
        path, width = list(found.items())[-1]
        logits = output.get("logits")
        if logits is not None and logits.shape[-1] == width != getattr(self.model.config, "hidden_size", width):
            raise InvalidInput(
                f"What {type(self.model).__name__} calls its last hidden states are its logits, one for each of {width} "
                "tokens. Name a layer with at=, or a target."
            )
        return path

    def layer_numbers(self, group: str) -> list[int]:
        """The model's numbers of the layers of a group of attention blocks."""
        return [layer for name, layer, _ in self.inspector.blocks(self.examples[0]) if name == group]

    def read(self, text: int) -> Tokens | None:
        """The tokens of a text that the output's positions belong to: the decoder's, where there is one."""
        example = self.examples[text]
        return example.source if example.target is None else example.target

    def visit(self, scope: AttentionScope, visit: Visit) -> None:
        """Show every attention block's contribution vectors at a scope, one block at a time.

        See :func:`normlens.analysis.visit.visit_blocks`.
        """
        visit_blocks(self.inspector, self.examples, scope, visit)

    def _side(self, example: Example, label: str) -> str:
        """What sources that enter in a part of the model are: of the source, the target, or the image or sound beside it."""
        if example.target is not None and "decoder" in label:
            return "target"
        beside = example.source is not None and example.medium in _PARTS
        return example.medium if beside and re.search(_PARTS[example.medium], label, re.IGNORECASE) else "source"

    def _require_padding(self, example: Example, label: str) -> None:
        """Refuse to drop sources that may be more than padding."""
        if example.medium != "text":
            raise UnsupportedArchitecture(
                f"{type(self.model).__name__} reads something beside the text, and it isn't known whether what enters in "
                f"{label!r} is text, image or sound. Give the text alone, or analyze() instead."
            )

    def sources(self, text: int, groups: tuple[tuple[str, int], ...]) -> list[tuple[str, Tokens, slice]]:
        """What the frozen engine's sources stand for in a text: side, tokens, and where they lie, padding left out.

        Parameters
        ----------
        text
            Which text of the batch.
        groups
            Label and number of sources of each place where sources enter, as the engine gives them.

        Raises
        ------
        UnsupportedArchitecture
            If a text's tokens enter nowhere: their shares would be among the biases.
        """
        example, start = self.examples[text], 0
        found: list[tuple[str, Tokens, slice]] = []
        for label, count in groups:
            side = self._side(example, label)
            tokens = {"target": example.target, "source": example.source}.get(side)
            if tokens is None or len(tokens) > count:
                tokens = example.label(count)
            if side in (known for known, _, _ in found) and example.source is not None:
                self._require_padding(example, label)
                tokens = tokens.none()  # padding that the model embeds apart (LED)
            found.append((side, tokens, slice(start, start + len(tokens))))
            start += count
        if example.target is not None and "target" not in (side for side, _, _ in found):
            raise UnsupportedArchitecture(
                f"{type(self.model).__name__} names no embeddings of its decoder, so that the target's tokens are no "
                "sources. Take alti_plus or rollout."
            )
        return found
