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
from normlens.inputs.kinds import EXPECTED
from normlens.inputs.tokens import Tokens, label_patches, number_positions
from normlens.loading.companions import image_processor_of
from normlens.loading.configs import configs_of
from normlens.loading.load import LoadedModel


def read_image(image: Any, loaded: LoadedModel) -> dict[str, Tensor]:
    """Pixel values: given as a tensor ``(channel, height, width)``, or made by the image processor.

    Raises
    ------
    InvalidInput
        If it is no image, or the model came without an image processor.
    """
    if isinstance(image, Tensor) and image.ndim == 3:
        return {"pixel_values": image}
    processor = image_processor_of(loaded.processor)
    if processor is None:
        raise InvalidInput(
            f"{type(image).__name__} was given; expected {EXPECTED}. For images, load the model with its image processor, "
            "or pass pixel values as a tensor (channel, height, width)."
        )
    try:
        features: BatchFeature = processor(images=image, return_tensors="pt")
    except Exception as error:
        raise InvalidInput(f"The image processor refused the image ({type(image).__name__}): {error}") from error
    return {name: x[0] for name, x in features.items() if isinstance(x, Tensor)}


def image_example(image: Any, loaded: LoadedModel) -> Example:
    """An image by itself, ready for the model; see :func:`read_image`."""
    tensors = read_image(image, loaded)
    return Example(tensors, None, None, "an image", patch_labels(tensors.get("pixel_values"), loaded.model), "image")


def patch_labels(pixels: Tensor | None, model: PreTrainedModel, grid: Tensor | None = None) -> Callable[[int], Tokens]:
    """What labels the positions of an image: its patches by row and column, where the model says how large they are.

    Parameters
    ----------
    pixels
        ``(channel, height, width)``, or patches in a row.
    model
        The model.
    grid
        Frames, rows and columns of the patches of each image, where the processor says so.
    """
    if grid is not None:
        return _merged_patches(grid.reshape(-1, 3).tolist(), model)
    configs = list(configs_of(model))
    size = next((s for config in configs if (s := getattr(config, "patch_size", None))), None)
    if any(getattr(config, "num_detection_tokens", 0) for config in configs):
        return number_positions  # tokens behind the patches, too (YOLOS)
    if pixels is None or pixels.ndim != 3 or not isinstance(size, (int, list, tuple)):
        return label_patches
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
    return partial(label_patches, patches=(pixels.shape[1] // height, pixels.shape[2] // width))


def _merged_patches(grids: list[list[int]], model: PreTrainedModel) -> Callable[[int], Tokens]:
    """Labels of one image's patches in the order of Qwen2-VL: those that become one token stand together."""
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


def mark_image_tokens(tokens: Tokens, model: PreTrainedModel, grid: Tensor | None) -> Tokens:
    """The tokens of a text in which those that an image takes the place of say which patch they are.

    Parameters
    ----------
    tokens
        The text's.
    model
        Its config names the image's token.
    grid
        As for :func:`patch_labels`.
    """
    names = ("image_token_id", "image_token_index")
    marker = next((x for c in configs_of(model) for n in names if isinstance(x := getattr(c, n, None), int)), None)
    places = np.flatnonzero(tokens.ids == (-2 if marker is None else marker))
    if not len(places):
        return tokens
    side = next((s for c in configs_of(model) if (s := getattr(c, "spatial_merge_size", None))), 1)
    shapes = (
        [] if grid is None else [(h // side, w // side) for t, h, w in grid.reshape(-1, 3).tolist() for _ in range(t)]
    )
    if sum(h * w for h, w in shapes) != len(places):
        root = math.isqrt(len(places))
        shapes = [(root, root)] if root * root == len(places) else []
    each = [
        f"image {f'{k + 1}: ' if len(shapes) > 1 else ''}{r},{c}"
        for k, (h, w) in enumerate(shapes)
        for r in range(h)
        for c in range(w)
    ] or [f"image {k}" for k in range(len(places))]
    labels = tokens.labels.astype(object)
    labels[places] = each
    kinds = tokens.categories.copy()
    special, words = tokens.special.copy(), tokens.words.copy()
    special[places], kinds[places] = False, "other"
    words[places] = words.max() + 1 + np.arange(len(places))
    starts = np.flatnonzero(np.diff(words, prepend=-2) != 0)
    order = {int(w): k for k, w in enumerate(words[starts][words[starts] >= 0])}
    renumbered = np.asarray([order.get(int(w), -1) for w in words])
    return replace(tokens, labels=labels.astype(str), special=special, words=renumbered, categories=kinds)
