"""The inputs of an inspection: which inputs a model treats alike, and how much of a text is enough for it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from normlens.inputs.encoded_row import PER_TOKEN
from normlens.inputs.example import Example

_INSPECTED_LENGTH = 64  # tokens of the run that is inspected before anything is measured
_WITH_VECTORS = {"inputs_embeds", "decoder_inputs_embeds", "bbox"}


def kind_of(example: Example) -> tuple[str, ...]:
    """A key that is equal for inputs that the model treats alike: those with the same tensors and numbers of images."""
    tensors = {**example.whole, **example.tensors}
    images = (f"{name}: {len(x)}" for name, x in tensors.items() if name.endswith("grid_thw") or x.ndim > 3)
    return tuple(sorted((*tensors, *images)))


def shortened(example: Example) -> Example:
    """The beginning of a long text, which is enough to inspect the model.

    A single token is repeated, because one source alone doesn't show whether a model is causal. A side with inputs other
    than tokens (a sound, or an image with its placeholders in the text) stays whole.
    """
    tensors = dict(example.tensors)
    for side in ("", "decoder_"):
        tokens = {name: x for name, x in tensors.items() if side_of(name) == side}
        whole = side == "" and (bool(example.whole) or any(side_of(name) is None for name in tensors))
        plain = all(x.ndim == 1 + (name in _WITH_VECTORS) for name, x in tokens.items())
        if tokens and plain and not whole and len({len(x) for x in tokens.values()}) == 1:
            tensors.update((name, _cut(x)) for name, x in tokens.items())
    return replace(example, tensors=tensors)


def side_of(name: str) -> str | None:
    """The side whose tokens a tensor of this name belongs to: "", "decoder_", or None if it belongs to no tokens."""
    side = "decoder_" if name.startswith("decoder_") else ""
    return side if name in PER_TOKEN else None


def _cut(x: Tensor) -> Tensor:
    return torch.cat([x, x])[: max(2, min(len(x), _INSPECTED_LENGTH))]
