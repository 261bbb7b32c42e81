"""Bound the size of a model by the size of its checkpoint, before the model is built.

A configuration of a few bytes can ask for a million layers. So the counts in it are compared with the tensors in the
files, and modules and parameters are counted while the model is built on the meta device.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules import module as registration

from normlens.errors import InvalidInput

_COUNTS = re.compile(
    r"layer|depth|label|expert|heads|^n_head|stages|num_blocks|n_blocks|block_count|num_hidden|codebook|predict"
)
"""Names of settings that are counts."""

_CLASSES = ("id2label", "label2id")  # their keys and values are names and ids, not settings

_LARGEST_CONFIG = 32 * 2**20  # bytes; the labels of 10^5 classes take 8 MB
_FEW = 10_000  # a count up to this is never too large
_MOST = 300_000  # no model has a larger count
_PARTS_PER_TENSOR, _MORE_PARTS = 20, 5_000  # modules without tensors: dropouts, activations, lists
_COPIES, _MORE_NUMBERS = 6, 20_000_000  # tied weights are built separately; a head may be missing
_PACKED = 16  # values that a quantized checkpoint may pack into one integer


@dataclass(frozen=True)
class CheckpointSize:
    """How much the files of a checkpoint hold.

    Attributes
    ----------
    tensors
        Number of tensors.
    numbers
        Upper bound on the number of values in all of them.
    longest
        The largest dimension of any tensor.
    """

    tensors: int
    numbers: int
    longest: int


def size_of_files(files: Sequence[Path]) -> CheckpointSize | None:
    """The size of safetensors files, from their headers; None if there are none."""
    shapes: list[tuple[int, tuple[int, ...]]] = []
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for key in list(opened.keys()):
                tensor = opened.get_slice(key)
                shapes.append((_PACKED if tensor.get_dtype()[0] in "IU" else 1, tuple(tensor.get_shape())))
    return _size_of(shapes) if files else None


def size_of_gguf(name: str, path: Path) -> CheckpointSize:
    """The size of a GGUF file, from its header.

    Raises
    ------
    InvalidInput
        If the header's counts are larger than the file can hold, or it has more layers than the header says.
    """
    from transformers.integrations.gguf import GgufHeader, read_gguf_metadata

    header = GgufHeader.from_file(str(path))
    settings, _ = read_gguf_metadata(str(path))
    size = _size_of([(1, info.shape) for info in header.tensors])
    check_settings(name, settings, size)
    blocks = [int(match[1]) for info in header.tensors if (match := re.match(r"blk\.(\d+)\.", info.name))]
    counted = settings.get(f"{header.architecture}.block_count")
    if blocks and isinstance(counted, int) and max(blocks) >= counted:
        raise InvalidInput(
            f"{name} holds blk.{max(blocks)}, but its header says {counted} layers. Download the file again."
        )
    return size


def read_settings(file: Path, largest: int = _LARGEST_CONFIG) -> dict[str, Any]:
    """Read the settings in a JSON file of up to ``largest`` bytes.

    Raises
    ------
    InvalidInput
        If it isn't a JSON object, or is larger than any configuration.
    """
    try:
        if file.stat().st_size > largest:
            raise InvalidInput(
                f"{file} has {file.stat().st_size:,} bytes, more than any configuration. Download it again."
            )
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} can't be read ({type(error).__name__}: {error}). Download it again.") from error
    if not isinstance(settings, dict):
        raise InvalidInput(f"{file} contains {str(settings)[:20]!r}; expected a JSON object. Download it again.")
    return settings


def check_settings(name: str, settings: Mapping[str, Any], size: CheckpointSize | None) -> None:
    """Refuse settings whose counts are larger than the files can hold, or, if size is None, larger than in any model.

    Raises
    ------
    InvalidInput
        Naming the setting.
    """
    limit = _MOST if size is None else max(_FEW, size.tensors, size.longest)
    allowed = "any model has" if size is None else f"its weights allow ({size.tensors} tensors)"
    waiting = [settings]
    while waiting:
        for key, value in waiting.pop().items():
            if isinstance(value, Mapping) and key not in _CLASSES:
                waiting.append(value)
            numbers = value if isinstance(value, list) else [value]
            if not _COUNTS.search(str(key)):
                continue
            for number in numbers:
                if isinstance(number, int | float) and number > limit:
                    raise InvalidInput(
                        f"{name} says {key} = {str(number)[:20]}, more than {allowed}. Its configuration is broken. "
                        "Download it again."
                    )


@contextmanager
def bounded(name: str, size: CheckpointSize | None) -> Iterator[None]:
    """Stop the construction of a model that needs more modules or parameters than its files can fill.

    Raises
    ------
    InvalidInput
        As soon as the bound is exceeded.
    """
    if size is None:
        yield
        return
    modules, numbers, thread = 0, 0, threading.get_ident()
    most_modules = _PARTS_PER_TENSOR * size.tensors + _MORE_PARTS
    most_numbers = _COPIES * size.numbers + _MORE_NUMBERS

    def count_module(module: nn.Module, child_name: str, child: Any) -> None:
        nonlocal modules
        modules += threading.get_ident() == thread
        if modules > most_modules:
            raise _too_large(name, f"more than {most_modules:,} modules", size)

    def count_tensor(module: nn.Module, tensor_name: str, x: Any) -> None:
        nonlocal numbers
        if isinstance(x, Tensor) and x.is_meta and threading.get_ident() == thread:
            numbers += x.numel()
        if numbers > most_numbers:
            raise _too_large(name, f"a {tensor_name} of shape {tuple(x.shape)} and more", size)

    handles = [
        registration.register_module_module_registration_hook(count_module),
        registration.register_module_parameter_registration_hook(count_tensor),
        registration.register_module_buffer_registration_hook(count_tensor),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _size_of(shapes: list[tuple[int, tuple[int, ...]]]) -> CheckpointSize:
    numbers = sum(packed * prod(shape) for packed, shape in shapes)
    return CheckpointSize(len(shapes), numbers, max((n for _, shape in shapes for n in shape), default=0))


def _too_large(name: str, needed: str, size: CheckpointSize) -> InvalidInput:
    return InvalidInput(
        f"The configuration of {name} makes a model with {needed}, but its files hold {size.tensors} tensors with "
        f"at most {size.numbers:,} values. The configuration is broken, or belongs to another checkpoint. Download both "
        "again."
    )
