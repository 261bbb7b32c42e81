"""GGUF files: read once for everything that transformers asks of them, and fast."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from normlens.errors import InvalidInput

_ONE_AT_A_TIME = Lock()


@contextmanager
def read_once(gguf_file: str | None) -> Iterator[None]:
    """Let a GGUF file be parsed once: transformers asks gguf for its fields three times, for names in every module.

    gguf's own functions come back afterwards; one that it doesn't have is left alone.
    """
    if gguf_file is None:
        yield
        return
    _require_gguf()
    import gguf

    with _ONE_AT_A_TIME:
        own = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map") if hasattr(gguf, name)}
        for name, function in own.items():
            setattr(gguf, name, _one_reader(function) if name == "GGUFReader" else cache(function))
        try:
            yield
        finally:
            for name, function in own.items():
                setattr(gguf, name, function)


def as_plain(model: PreTrainedModel) -> None:
    """Let a model from a GGUF file, whose weights were dequantized, be one like any other: to be saved, say."""
    model.hf_quantizer = None
    for holder, name in ((model.config, "quantization_config"), (model, "quantization_method")):
        if hasattr(holder, name):
            delattr(holder, name)


def _one_reader(reader: type) -> Callable[..., Any]:
    """``reader``, made once for each file, however its path is spelled.

    It looks at every string of the vocabulary through a slice of its file. Slices of a plain array are made several times
    as fast as those of a memory map.
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
        raise InvalidInput(
            f"Reading a GGUF file needs {' and '.join(missing)}, not installed here. Run `pip install normlens[gguf]`."
        )
