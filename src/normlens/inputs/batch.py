"""Batches of inputs: options of batching, consecutive batches of an iterable, and padding."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.inputs.encoded_row import PER_TOKEN
from normlens.inputs.example import Example

LARGEST_SIZE = 2**31 - 1
"""The largest batch or chunk size: more than any machine's memory holds, and valid in every library."""


def check_sizes(chunk_size: Any, batch_size: Any, padding: Any = "right") -> None:
    """Check the sizes of chunks and batches, and the side of the padding.

    Parameters
    ----------
    chunk_size
        Positions per chunk, or None.
    batch_size
        Texts per batch.
    padding
        "right" or "left".

    Raises
    ------
    InvalidInput
        Naming the option and its value.
    """
    for name, value in (("chunk_size", chunk_size), ("batch_size", batch_size)):
        if value is None and name == "chunk_size":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= LARGEST_SIZE:
            raise InvalidInput(f"{name} is {value!r}; expected a positive integer up to {LARGEST_SIZE}.")
    if padding not in ("right", "left"):
        raise InvalidInput(f"padding is {padding!r}; expected 'right' or 'left'.")


def length(example: Example) -> int:
    """The number of positions of an example, over all its tensors."""
    return sum(x.shape[0] for x in example.tensors.values())


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items in order; the last may be shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def is_ragged(examples: Sequence[Example]) -> bool:
    """Whether a batch of these examples needs padding."""
    return len({tuple(x.shape for x in example.tensors.values()) for example in examples}) > 1


def pad(examples: Sequence[Example], padding_id: int, device: torch.device, side: str = "right") -> dict[str, Tensor]:
    """Stack examples into one batch, padding token sequences on one side.

    Parameters
    ----------
    examples
        Examples with the same model inputs; a single one if it has inputs without a batch axis.
    padding_id
        The id of padded positions; all other inputs are zero there.
    side
        "right" or "left".
    """
    batch: dict[str, Tensor] = {}
    for name in examples[0].tensors:
        columns = [example.tensors[name] for example in examples]
        if name not in PER_TOKEN or not columns[0].ndim:
            batch[name] = torch.stack(columns).to(device)
            continue
        longest = max(len(c) for c in columns)
        fill = padding_id if name.endswith("input_ids") else 0
        padded = columns[0].new_full((len(columns), longest, *columns[0].shape[1:]), fill)
        for row, column in zip(padded, columns, strict=True):
            row[slice(0, len(column)) if side == "right" else slice(longest - len(column), longest)] = column
        batch[name] = padded.to(device)
    return {**batch, **{name: x.to(device) for name, x in examples[0].whole.items()}}
