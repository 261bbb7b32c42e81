"""GGUF files: read once for everything that transformers asks of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

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
            setattr(gguf, name, cache(function))
        try:
            yield
        finally:
            for name, function in own.items():
                setattr(gguf, name, function)


def _require_gguf() -> None:
    missing = [package for package in ("gguf", "accelerate") if importlib.util.find_spec(package) is None]
    if missing:
        raise InvalidInput(
            f"Reading a GGUF file needs {' and '.join(missing)}, not installed here. Run `pip install normlens[gguf]`."
        )
