"""Images as a model reads them: pixel values, and labels of their patches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from transformers import BatchFeature, PreTrainedModel

from normlens.errors import InvalidInput
from normlens.inputs.example import Example
from normlens.inputs.grid_labels import label_patches, number_positions
from normlens.inputs.kinds import EXPECTED
from normlens.inputs.tokens import Tokens
from normlens.loading.companions import image_processor_of
from normlens.loading.configs import configs_of
from normlens.loading.load import LoadedModel


def read_image(image: Any, loaded: LoadedModel) -> dict[str, Tensor]:
    """The pixel values of an image: a tensor ``(channel, height, width)`` itself, anything else by the image processor.

    Raises
    ------
    InvalidInput
        If it isn't an image, or the model was loaded without an image processor.
    """
    if isinstance(image, Tensor) and image.ndim == 3:
        return {"pixel_values": image}
    processor = image_processor_of(loaded.processor)
    if processor is None:
        raise InvalidInput(
            f"The input is a {type(image).__name__}; expected {EXPECTED}. For images, load the model with its image "
            "processor, or pass pixel values as a tensor (channel, height, width)."
        )
    try:
        features: BatchFeature = processor(images=image, return_tensors="pt")
    except Exception as error:
        raise InvalidInput(f"The image processor rejects the image ({type(image).__name__}): {error}") from error
    return {name: x[0] for name, x in features.items() if isinstance(x, Tensor)}


def image_example(image: Any, loaded: LoadedModel) -> Example:
    """The example of a single image; see :func:`read_image`."""
    tensors = read_image(image, loaded)
    return Example(tensors, None, None, "an image", patch_labels(tensors.get("pixel_values"), loaded.model), "image")


def patch_labels(pixels: Tensor | None, model: PreTrainedModel, grid: Tensor | None = None) -> Callable[[int], Tokens]:
    """The labels of an image's positions: rows and columns of patches if the model's config gives the patch size.

    Parameters
    ----------
    pixels
        ``(channel, height, width)``, or a sequence of patches.
    model
        The model.
    grid
        Frames, rows and columns of each image's patches, if the processor returns them.
    """
    if grid is not None:
        return _merged_patches(grid.reshape(-1, 3).tolist(), model)
    configs = list(configs_of(model))
    size = next((s for config in configs if (s := getattr(config, "patch_size", None))), None)
    if any(getattr(config, "num_detection_tokens", 0) for config in configs):
        return number_positions  # further tokens follow the patches (YOLOS)
    if pixels is None or pixels.ndim != 3 or not isinstance(size, (int, list, tuple)):
        return label_patches
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
    return partial(label_patches, patches=(pixels.shape[1] // height, pixels.shape[2] // width))


def _merged_patches(grids: list[list[int]], model: PreTrainedModel) -> Callable[[int], Tokens]:
    """Labels of one image's patches in the order of Qwen2-VL: patches that are merged into one token are adjacent."""
    side = next((s for c in configs_of(model) if (s := getattr(c, "spatial_merge_size", None))), 1)
    if len(grids) != 1 or grids[0][0] != 1:
        return number_positions
    _, rows, columns = grids[0]
    order = np.arange(rows * columns).reshape(rows // side, side, columns // side, side).swapaxes(1, 2).ravel()

    def label(positions: int) -> Tokens:
        if positions != rows * columns:
            return label_patches(positions, (rows // side, columns // side))
        tokens = label_patches(positions, (rows, columns))
        return replace(tokens, labels=tokens.labels[order])

    return label


def mark_image_tokens(
    tokens: Tokens, model: PreTrainedModel, grid: Tensor | None, pixels: Tensor | None = None
) -> Tokens:
    """The tokens of a text, with the placeholders of images labeled by patch.

    Parameters
    ----------
    tokens
        The tokens of the text.
    model
        The model, whose config names the placeholder.
    grid
        As for :func:`patch_labels`.
    pixels
        Of one image ``(channel, height, width)`` or of several ``(image, channel, height, width)``; with more dimensions
        they are of crops, whose tokens are numbered.
    """
    names = ("image_token_id", "image_token_index")
    marker = next((x for c in configs_of(model) for n in names if isinstance(x := getattr(c, n, None), int)), None)
    at = np.flatnonzero(tokens.ids == (-2 if marker is None else marker))
    if not len(at):
        return tokens
    side = next((s for c in configs_of(model) if (s := getattr(c, "spatial_merge_size", None))), 1)
    shapes = (
        [] if grid is None else [(h // side, w // side) for t, h, w in grid.reshape(-1, 3).tolist() for _ in range(t)]
    )
    if sum(h * w for h, w in shapes) != len(at):
        shapes = _squares(len(at), pixels)
    each = [
        f"image {f'{k + 1}: ' if len(shapes) > 1 else ''}{r},{c}"
        for k, (h, w) in enumerate(shapes)
        for r in range(h)
        for c in range(w)
    ] or [f"image {k}" for k in range(len(at))]
    labels = tokens.labels.astype(object)
    labels[at] = each
    kinds = tokens.categories.copy()
    special, words = tokens.special.copy(), tokens.words.copy()
    special[at], kinds[at] = False, "other"
    words[at] = words.max() + 1 + np.arange(len(at))
    starts = np.flatnonzero(np.diff(words, prepend=-2) != 0)
    order = {int(w): k for k, w in enumerate(words[starts][words[starts] >= 0])}
    renumbered = np.asarray([order.get(int(w), -1) for w in words])
    return replace(tokens, labels=labels.astype(str), special=special, words=renumbered, categories=kinds)


def _squares(count: int, pixels: Tensor | None) -> list[tuple[int, int]]:
    """Rows and columns of each image's tokens, if the images share them equally, each as a square; nothing else."""
    images = 1 if pixels is None or pixels.ndim == 3 else len(pixels) if pixels.ndim == 4 else 0
    root = math.isqrt(count // images) if images else 0
    return [(root, root)] * images if images and images * root * root == count else []
