"""The medium of an input, and the labels of its positions that are not tokens of a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from normlens.inputs.grid_labels import number_positions
from normlens.inputs.images import patch_labels
from normlens.inputs.media import Medium
from normlens.inputs.sounds import frame_labels
from normlens.inputs.tokens import Tokens
from normlens.loading.companions import feature_extractor_of
from normlens.loading.load import LoadedModel

_SOUNDS = ("input_features", "input_values")


def media_labels(tensors: Mapping[str, Tensor], loaded: LoadedModel) -> tuple[Medium, Callable[[int], Tokens]]:
    """The medium in addition to or instead of a text, and the function that labels its positions.

    Parameters
    ----------
    tensors
        The model's inputs, without a batch axis.
    loaded
        The model, with its processor.
    """
    sound = next((tensors[name] for name in _SOUNDS if name in tensors), None)
    if "pixel_values" in tensors and sound is None:
        return "image", patch_labels(tensors["pixel_values"], loaded.model, tensors.get("image_grid_thw"))
    if sound is not None and "pixel_values" not in tensors:
        return "sound", frame_labels(sound, loaded.model, feature_extractor_of(loaded.processor))
    return ("text" if sound is None else "mixed"), number_positions
