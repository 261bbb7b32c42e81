"""The example: one input as the tensors that a model reads, with labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from normlens.inputs.grid_labels import number_positions
from normlens.inputs.media import Medium
from normlens.inputs.tokens import Tokens


@dataclass(frozen=True)
class Example:
    """One input as the tensors that a model reads, with labels.

    Attributes
    ----------
    tensors
        Model inputs without a batch axis.
    source
        The tokens that an encoder or a decoder-only model reads; None for images and sounds, whose number of positions is
        determined by the model.
    target
        The decoder's input tokens in an encoder–decoder, else None.
    text
        The text of the input, for the attributes of results.
    label
        Takes a number of positions that are not tokens, and returns their labels: patches of an image, frames of a sound.
    medium
        The medium of these positions; "text" if there are none.
    truncated
        Number of tokens of the text and its target that were cut off.
    whole
        Model inputs that have no batch axis (patches of all images, concatenated); such an example runs alone.
    """

    tensors: dict[str, Tensor]
    source: Tokens | None
    target: Tokens | None
    text: str
    label: Callable[[int], Tokens] = number_positions
    medium: Medium = "text"
    whole: dict[str, Tensor] = field(default_factory=dict)
    truncated: int = 0

    @property
    def runs_alone(self) -> bool:
        """Whether it can't share a batch: it has inputs without a batch axis, or its mask excludes tokens between others."""
        masks = (x for name, x in self.tensors.items() if name.endswith("attention_mask"))
        return bool(self.whole) or any(not bool(x.all()) for x in masks)


def token_example(tokens: Tokens, further: Mapping[str, Any] = MappingProxyType({})) -> Example:
    """The example of a text's tokens, with further inputs that have one entry per token."""
    ids = torch.as_tensor(tokens.ids)
    tensors = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return Example({**tensors, **{n: torch.as_tensor(x) for n, x in further.items()}}, tokens, None, tokens.text)
