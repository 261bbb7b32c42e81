"""Images as a model reads them: pixel values, and labels of their patches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from transformers import BatchFeature, PreTrainedModel

from normlens.configs import configs_of
from normlens.encoding import Tokens, label_patches, number_positions
from normlens.errors import InvalidInput
from normlens.inputs import EXPECTED
from normlens.loading import LoadedModel


def read_image(image: Any, loaded: LoadedModel) -> dict[str, Tensor]:
    """Pixel values: given as a tensor ``(channel, height, width)``, or made by the image processor.

    Raises
    ------
    InvalidInput
        If it is no image, or the model came without an image processor.
    """
    if isinstance(image, Tensor) and image.ndim == 3:
        return {"pixel_values": image}
    if loaded.processor is None:
        raise InvalidInput(
            f"{type(image).__name__} was given; expected {EXPECTED}. For images, load the model with its image processor, "
            "or pass pixel values as a tensor (channel, height, width)."
        )
    try:
        features: BatchFeature = loaded.processor(images=image, return_tensors="pt")
    except Exception as error:
        raise InvalidInput(f"The image processor refused the image ({type(image).__name__}): {error}") from error
    return {name: x[0] for name, x in features.items() if isinstance(x, Tensor)}


def patch_labels(pixels: Tensor | None, model: PreTrainedModel) -> Callable[[int], Tokens]:
    """What labels the positions of an image: its patches by row and column, where the model says how large they are."""
    configs = list(configs_of(model))
    size = next((s for config in configs if (s := getattr(config, "patch_size", None))), None)
    if any(getattr(config, "num_detection_tokens", 0) for config in configs):
        return number_positions  # tokens behind the patches, too (YOLOS)
    if pixels is None or pixels.ndim != 3 or not isinstance(size, (int, list, tuple)):
        return label_patches
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
    return partial(label_patches, patches=(pixels.shape[1] // height, pixels.shape[2] // width))
