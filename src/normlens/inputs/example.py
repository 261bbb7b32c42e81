"""One input, ready for a model: its tensors and its labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from normlens.inputs.media import Medium
from normlens.inputs.tokens import Tokens, number_positions


@dataclass(frozen=True)
class Example:
    """One input, ready for the model.

    Attributes
    ----------
    tensors
        Model inputs without a batch axis.
    source
        The tokens that an encoder or a decoder-only model reads; None for images and sounds, whose positions are known
        when the model has run.
    target
        The decoder's input tokens in an encoder–decoder, else None.
    text
        What was handed in, for the record.
    label
        Labels any number of positions that are no tokens: patches of an image, frames of a sound.
    medium
        What these positions stand for; "text" if there are none.
    truncated
        How many tokens of the text, and of its target, were left out.
    whole
        Model inputs that have no batch axis (patches of all images, end to end); with them it runs alone.
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
        """Whether it can't share a batch: it has tensors without a batch axis, or its mask leaves out tokens inside."""
        masks = (x for name, x in self.tensors.items() if name.endswith("attention_mask"))
        return bool(self.whole) or any(not bool(x.all()) for x in masks)


def token_example(tokens: Tokens, further: Mapping[str, Any] = MappingProxyType({})) -> Example:
    """The example of a text's tokens, with further inputs that have an entry for each of them."""
    ids = torch.as_tensor(tokens.ids)
    tensors = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return Example({**tensors, **{n: torch.as_tensor(x) for n, x in further.items()}}, tokens, None, tokens.text)
