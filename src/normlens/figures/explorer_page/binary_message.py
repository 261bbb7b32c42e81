"""Messages of arrays: a header in JSON, then the numbers as little-endian bytes, never as JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

_ALIGNMENT = 8
_HALF_RANGE = 32_768.0  # the largest number is stored as this


@dataclass(frozen=True)
class PackedArray:
    """An array ready to be sent.

    Attributes
    ----------
    numbers
        The array, of dtype float16, float32, float64 or uint8.
    scale
        Value = scale · number.
    """

    numbers: NDArray[Any]
    scale: float = 1.0


@dataclass(frozen=True)
class Message:
    """Facts and arrays, for one answer of the explorer.

    Attributes
    ----------
    facts
        Whatever JSON can hold.
    arrays
        By name.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, PackedArray] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The message as bytes.

        The length of the header (uint32), the header, then each array at its ``offset`` from the header's end. The header
        is JSON: the facts, and under ``arrays`` each one's dtype, shape, offset and scale. Everything is little-endian, and
        every array begins at a multiple of eight bytes.
        """
        blocks: list[bytes] = []
        described: dict[str, Any] = {}
        offset = 0
        for name, packed in self.arrays.items():
            numbers = packed.numbers.astype(packed.numbers.dtype.newbyteorder("<"), copy=False)
            data = numbers.tobytes()
            described[name] = {
                "dtype": packed.numbers.dtype.name,
                "shape": list(numbers.shape),
                "offset": offset,
                "scale": packed.scale,
            }
            blocks.append(data.ljust(_aligned(len(data)), b"\0"))
            offset += len(blocks[-1])
        header = json.dumps({**self.facts, "arrays": described}, ensure_ascii=True, allow_nan=False).encode()
        header = header.ljust(_aligned(len(header) + 4) - 4, b" ")
        return b"".join([struct.pack("<I", len(header)), header, *blocks])


def decoded(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The facts and the arrays, times their scales, of an encoded message.

    Parameters
    ----------
    data
        The result of :meth:`Message.encoded`.
    """
    (length,) = struct.unpack_from("<I", data)
    facts = json.loads(data[4 : 4 + length])
    arrays = {}
    for name, one in facts.pop("arrays").items():
        dtype = np.dtype(one["dtype"]).newbyteorder("<")
        count = int(np.prod(one["shape"]))
        numbers = np.frombuffer(data, dtype, count, 4 + length + one["offset"]).reshape(one["shape"])
        arrays[name] = numbers if one["scale"] == 1 else numbers * np.float64(one["scale"])
    return facts, arrays


def half(values: Float[np.ndarray, "*shape"]) -> PackedArray:
    """Numbers as float16 with a scale that depends on the largest, so that rounding is relative: 2^-11 over 8 decades.

    Parameters
    ----------
    values
        Numbers of any sign; NaN stays NaN.
    """
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if not np.isfinite(largest):
        largest = float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))
    scale = largest / _HALF_RANGE or 1.0
    scaled = np.asarray(values * np.float32(1 / scale))
    if scaled.dtype == np.float32:  # torch rounds to the same bits, with the processor's own instruction
        return PackedArray(torch.from_numpy(scaled).half().numpy(), scale)
    return PackedArray(scaled.astype(np.float16), scale)


def exact(values: NDArray[Any]) -> PackedArray:
    """Numbers in the precision in which they were measured."""
    return PackedArray(np.ascontiguousarray(values))


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT
