"""The kinds of input, and the only place that distinguishes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tokenizers
import torch
from torch import Tensor
from transformers import BatchEncoding, BatchFeature

from normlens.errors import InvalidInput
from normlens.inputs.pretokenized import is_words
from normlens.inputs.tokenization import is_pair

Input = str | Sequence[int] | Sequence[Mapping[str, Any]] | Mapping[str, Any] | Any
"""A text, its words, token ids, chat messages, a pair of texts, the output of a tokenizer or processor, an image."""

Kind = Literal["text", "words", "pair", "chat", "ids", "encoding", "media", "medium", "rows", "several"]
"""A kind of input. "media" is a mapping of images or sounds by name, with or without a text; "medium" is an object that a
processor reads (an image); "rows" is an array with one input per row; "several" is any other iterable of inputs."""

LEADING = ("input_ids", "inputs_embeds", "input_features", "input_values", "pixel_values", "pixel_values_videos")
"""The main inputs of models, by transformers' names; the first one that an encoding has determines the number of rows."""

_MEDIA = {"text", "image", "images", "audio", "sampling_rate"}

EXPECTED = (
    "a text, its words ({'words': […]}), token ids, chat messages, two texts ({'text': …, 'text_pair': …}), the output of "
    "a tokenizer or processor, an image, {'text': …, 'image': …}, {'audio': …, 'sampling_rate': …}, or an iterable of these"
)


def input_kind(value: Any, reads_ids: bool = True) -> Kind:
    """The kind of an input.

    Parameters
    ----------
    value
        Any object.
    reads_ids
        Whether the model reads token ids: if it doesn't, arrays of integers are images or sounds.

    Raises
    ------
    InvalidInput
        If it is a number, or a mapping or table of another kind, which iterates over its keys.
    """
    if isinstance(value, (str, bytes)):
        return "text"
    if is_pair(value):
        return "pair"
    if is_words(value):
        return "words"
    if is_encoding(value):
        return "encoding"
    if is_media(value):
        return "media"
    if isinstance(value, (Mapping, int, float, np.number)) or hasattr(value, "columns"):
        keys = f" with {', '.join(map(str, list(value)[:8]))}" if isinstance(value, Mapping) else ""
        raise InvalidInput(
            f"The input is a {type(value).__name__}{keys}; expected {EXPECTED}. Pass one column of a table, and chat "
            "messages as a list."
        )
    if isinstance(value, (Tensor, np.ndarray)):
        return _kind_of_array(value, reads_ids)
    if not isinstance(value, Iterable):
        return "medium"
    if isinstance(value, (list, tuple)) and value:
        return _kind_of_list(value[0], reads_ids)
    return "several"


def is_encoding(value: object) -> bool:
    """Whether this is the output of a tokenizer or processor: tensors or lists by the names of a model's inputs."""
    if isinstance(value, (BatchEncoding, BatchFeature, tokenizers.Encoding)):
        return True
    return isinstance(value, Mapping) and any(name in value for name in (*LEADING, "decoder_input_ids"))


def is_media(value: object) -> bool:
    """Whether this is an image or a sound by name, with or without a text: ``{"text": …, "image": …}``."""
    return isinstance(value, Mapping) and set(value) <= _MEDIA and bool(_MEDIA & set(value) - {"text", "sampling_rate"})


def _kind_of_array(value: Tensor | np.ndarray, reads_ids: bool) -> Kind:
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
        return "several"  # strings or objects
    floating = value.is_floating_point() if isinstance(value, Tensor) else value.dtype.kind == "f"
    if value.ndim == 1 and reads_ids:
        return "ids"
    if value.ndim == 2 and reads_ids and not floating:
        return "rows"
    return "rows" if value.ndim == 4 else "medium"


def _kind_of_list(first: Any, reads_ids: bool) -> Kind:
    if isinstance(first, Mapping):
        by_name = is_pair(first) or is_words(first) or is_encoding(first) or is_media(first)
        return "several" if by_name else "chat"
    number = isinstance(first, (int, float, np.number)) or (isinstance(first, Tensor) and not first.ndim)
    if number:
        return "ids" if reads_ids else "medium"
    return "several"


def as_array(value: Any, name: str) -> Tensor:
    """Numbers as a tensor on the CPU, without a gradient.

    Raises
    ------
    InvalidInput
        If they aren't numbers, or are lists of different lengths.
    """
    try:
        array = value if isinstance(value, Tensor) else torch.as_tensor(_plain(value))
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise InvalidInput(
            f"{name} is a {type(value).__name__} that can't be converted to a tensor ({error}); expected numbers in rows of "
            "equal length. Call the tokenizer or processor with return_tensors='pt'."
        ) from error
    if array.dtype == torch.float64 and not isinstance(value, (Tensor, np.ndarray)):
        array = array.float()  # as torch reads Python's numbers
    return array.detach().cpu()


def _plain(value: Any) -> Any:
    """Lists of arrays as one array, which torch converts much faster."""
    return np.asarray(value) if not isinstance(value, np.ndarray) else np.ascontiguousarray(value)
