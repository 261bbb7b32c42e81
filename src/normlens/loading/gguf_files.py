"""Fast parsing of GGUF files, each only once."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from normlens.errors import InvalidInput, install_command

_ONE_AT_A_TIME = Lock()
_BY_PACKAGE = ("Q5_0", "Q5_1", "TQ1_0", "TQ2_0", "MXFP4")  # block types that the package dequantizes


@contextmanager
def read_once(gguf_file: str | None) -> Iterator[None]:
    """Parse a GGUF file only once: transformers reads its fields three times, and its names for every module.

    Its progress bar is left out, and it reads every block type that the package ``gguf`` dequantizes. The libraries' own
    functions are restored afterwards.
    """
    if gguf_file is None:
        yield
        return
    _require_gguf()
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reading

    with _ONE_AT_A_TIME, _replaced(reading, "tqdm", lambda tensors, **options: tensors), _all_types():
        own = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map") if hasattr(gguf, name)}
        for name, function in own.items():
            setattr(gguf, name, _one_reader(function) if name == "GGUFReader" else cache(function))
        try:
            yield
        finally:
            for name, function in own.items():
                setattr(gguf, name, function)


@contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    """Another value for a name of a module, if it has it, inside the block."""
    if not hasattr(module, name):
        yield
        return
    own = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, own)


@contextmanager
def _all_types() -> Iterator[None]:
    """Let transformers read the block types that it lacks, such as Q5_0, through the package ``gguf``.

    llama.cpp stores tensors whose rows aren't a multiple of 256 in such a type, also in a file that is called Q4_K_M.
    """
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        from transformers.integrations.gguf import dequant
    except ImportError:  # older releases dequantize through the package themselves
        yield
        return
    kinds = [GGMLQuantizationType[name] for name in _BY_PACKAGE if name in GGMLQuantizationType.__members__]
    missing = [kind for kind in kinds if int(kind) not in dequant.GGML_BLOCK]
    tables = (dequant.GGML_BLOCK, dequant.GGML_NAME, dequant._DEQUANT)
    for kind in missing:
        for table, value in zip(tables, (GGML_QUANT_SIZES[kind], kind.name, _dequantizer(kind)), strict=True):
            table[int(kind)] = value
    try:
        yield
    finally:
        for kind in missing:
            for table in tables:
                table.pop(int(kind), None)


def _dequantizer(kind: Any) -> Callable[[Tensor, torch.dtype], Tensor]:
    """Blocks ``(block, byte)`` of a type to their values ``(block, value)``."""
    from gguf import quants

    return lambda blocks, dtype: torch.from_numpy(quants.dequantize(blocks.cpu().numpy(), kind)).to(
        blocks.device, dtype
    )


def as_plain(model: PreTrainedModel) -> None:
    """Remove the quantization settings of a dequantized model from a GGUF file, so that it can be saved."""
    model.hf_quantizer = None
    for holder, name in ((model.config, "quantization_config"), (model, "quantization_method")):
        if hasattr(holder, name):
            delattr(holder, name)


def _one_reader(reader: type) -> Callable[..., Any]:
    """``reader``, constructed once for each file, whichever path leads to it.

    It takes a slice of its file for every string of the vocabulary. Slices of a plain array are several times as fast as
    slices of a memory map.
    """

    class PlainReader(reader):  # type: ignore[misc]
        @property
        def data(self) -> Any:
            return self._bytes

        @data.setter
        def data(self, file: np.memmap[Any, Any]) -> None:
            self._bytes = file.view(np.ndarray)

    made = cache(PlainReader)
    return lambda path, *mode: made(os.path.realpath(Path(path)), *mode)


def _require_gguf() -> None:
    missing = [package for package in ("gguf", "accelerate") if importlib.util.find_spec(package) is None]
    if missing:
        raise InvalidInput(f"Reading a GGUF file needs {' and '.join(missing)}. Run `{install_command('gguf')}`.")
