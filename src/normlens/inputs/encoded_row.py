"""One row of a tokenizer's or processor's output: tensors by the names of the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from normlens.errors import InvalidInput

PER_TOKEN = frozenset(
    f"{side}{name}"
    for side in ("", "decoder_")
    for name in (
        "input_ids", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids", "global_attention_mask",
        "mm_token_type_ids", "bbox", "langs",
    )
)  # fmt: skip
"""Model inputs that have an entry for each token, along their first axis."""

_MEDIA = ("pixel", "input_features", "input_values", "image", "audio", "video", "feature", "spatial")


@dataclass(frozen=True)
class EncodedRow:
    """One row of a tokenizer's or processor's output.

    Attributes
    ----------
    tensors
        Model inputs without a batch axis.
    whole
        Model inputs that have no batch axis (patches of all images, concatenated), unchanged.
    """

    tensors: dict[str, Tensor]
    whole: dict[str, Tensor] = field(default_factory=dict)

    def cut(self, kept: slice, side: str = "") -> EncodedRow:
        """The same row with a slice of its tokens.

        Raises
        ------
        InvalidInput
            If the row has another input that may belong to its tokens.
        """
        n = token_count(self.tensors, side)
        if kept == slice(0, n):
            return self
        names = [name for name in self.tensors if name in PER_TOKEN and name.startswith("decoder_") == bool(side)]
        for name, x in {**self.tensors, **self.whole}.items():
            by_token = name in PER_TOKEN and name in self.tensors
            if not by_token and not is_medium(name) and name != "labels" and not side and n in x.shape:
                raise InvalidInput(
                    f"{name} has shape {tuple(x.shape)}, and {n - (kept.stop - kept.start)} of the {n} tokens are padding; "
                    "it is unclear which of its entries belong to them. Pass the text without padding."
                )
        return replace(self, tensors={**self.tensors, **{name: self.tensors[name][kept] for name in names}})


def is_medium(name: str) -> bool:
    """Whether a model input belongs to an image, a video or a sound, by its name."""
    return name.startswith(_MEDIA)


def token_count(tensors: Mapping[str, Tensor], side: str) -> int:
    """The number of tokens of one side of a row; 0 if the side isn't read as tokens."""
    sequences = (tensors.get(f"{side}{name}") for name in ("input_ids", "inputs_embeds"))
    return next((len(x) for x in sequences if x is not None), 0)


def span_of(kept: Tensor, name: str) -> slice:
    """The slice from the first to the last True in a mask, ``(token,)``; ``name`` is that of the mask's tensor.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    (positions,) = kept.nonzero(as_tuple=True)
    if not len(positions):
        raise InvalidInput(f"{name} masks all {len(kept)} tokens of a row; expected at least one that is read.")
    return slice(int(positions[0]), int(positions[-1]) + 1)
