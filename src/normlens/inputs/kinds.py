"""Which kind of input something is, and which inputs it holds: decided here and nowhere else."""

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
from normlens.inputs.tokens import is_pair

Input = str | Sequence[int] | Sequence[Mapping[str, Any]] | Mapping[str, Any] | Any
"""A text, its words, token ids, chat messages, two texts that are read together, what a tokenizer or processor returned, an
image."""

Kind = Literal["text", "words", "pair", "chat", "ids", "encoding", "media", "medium", "rows", "several"]
"""What an input is. "media" are images and sounds by name, with or without a text; a "medium" is what a processor takes
(an image); "rows" is an array with one input per row, "several" any other iterable of inputs."""

LEADING = ("input_ids", "inputs_embeds", "input_features", "input_values", "pixel_values", "pixel_values_videos")
"""What a model reads first of all, by transformers' names; the first of these that is there counts the rows."""

_MEDIA = {"text", "image", "images", "audio", "sampling_rate"}

EXPECTED = (
    "a text, its words ({'words': […]}), token ids, chat messages, two texts ({'text': …, 'text_pair': …}), what a "
    "tokenizer or processor returned, an image, {'text': …, 'image': …}, {'audio': …, 'sampling_rate': …}, or an iterable "
    "of these"
)


def input_kind(given: Any, reads_ids: bool = True) -> Kind:
    """Which kind of input this is.

    Parameters
    ----------
    given
        Anything.
    reads_ids
        Whether the model reads token ids: if it doesn't, arrays of integers are images or sounds.

    Raises
    ------
    InvalidInput
        If it is a number, or another mapping or a table, whose iteration would give its keys.
    """
    if isinstance(given, (str, bytes)):
        return "text"
    if is_pair(given):
        return "pair"
    if is_words(given):
        return "words"
    if is_encoding(given):
        return "encoding"
    if is_media(given):
        return "media"
    if isinstance(given, (Mapping, int, float, np.number)) or hasattr(given, "columns"):
        keys = f" with {', '.join(map(str, list(given)[:8]))}" if isinstance(given, Mapping) else ""
        raise InvalidInput(
            f"{type(given).__name__}{keys} was given; expected {EXPECTED}. From a table pass a column, and chat messages "
            "as a list."
        )
    if isinstance(given, (Tensor, np.ndarray)):
        return _kind_of_array(given, reads_ids)
    if not isinstance(given, Iterable):
        return "medium"
    if isinstance(given, (list, tuple)) and given:
        return _kind_of_list(given[0], reads_ids)
    return "several"


def is_encoding(given: object) -> bool:
    """Whether this is what a tokenizer or processor returned: tensors or lists by the names of a model's inputs."""
    if isinstance(given, (BatchEncoding, BatchFeature, tokenizers.Encoding)):
        return True
    return isinstance(given, Mapping) and any(name in given for name in (*LEADING, "decoder_input_ids"))


def is_media(given: object) -> bool:
    """Whether this is an image or a sound by name, with or without a text: ``{"text": …, "image": …}``."""
    return isinstance(given, Mapping) and set(given) <= _MEDIA and bool(_MEDIA & set(given) - {"text", "sampling_rate"})


def _kind_of_array(given: Tensor | np.ndarray, reads_ids: bool) -> Kind:
    if isinstance(given, np.ndarray) and given.dtype.kind not in "biuf":
        return "several"  # of strings or objects
    floating = given.is_floating_point() if isinstance(given, Tensor) else given.dtype.kind == "f"
    if given.ndim == 1 and reads_ids:
        return "ids"
    if given.ndim == 2 and reads_ids and not floating:
        return "rows"
    return "rows" if given.ndim == 4 else "medium"


def _kind_of_list(first: Any, reads_ids: bool) -> Kind:
    if isinstance(first, Mapping):
        by_name = is_pair(first) or is_words(first) or is_encoding(first) or is_media(first)
        return "several" if by_name else "chat"
    number = isinstance(first, (int, float, np.number)) or (isinstance(first, Tensor) and not first.ndim)
    if number:
        return "ids" if reads_ids else "medium"
    return "several"


def as_array(given: Any, name: str) -> Tensor:
    """Numbers as a tensor on the CPU, without a gradient.

    Raises
    ------
    InvalidInput
        If they are no numbers, or lists of different lengths.
    """
    try:
        array = given if isinstance(given, Tensor) else torch.as_tensor(_plain(given))
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise InvalidInput(
            f"{name} is a {type(given).__name__} that makes no tensor ({error}); expected numbers in rows of equal length. "
            "Ask the tokenizer or processor for return_tensors='pt'."
        ) from error
    if array.dtype == torch.float64 and not isinstance(given, (Tensor, np.ndarray)):
        array = array.float()  # Python's numbers have one precision; torch reads them as float32 too
    return array.detach().cpu()


def _plain(given: Any) -> Any:
    """Lists of arrays as one array, which torch reads at once."""
    return np.asarray(given) if not isinstance(given, np.ndarray) else np.ascontiguousarray(given)
