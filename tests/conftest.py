"""Tiny random models seen through a lens, shared by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from architectures import tiny
from transformers.utils import logging

import normlens

MakeLens = Callable[..., normlens.Lens]


@pytest.fixture(autouse=True, scope="session")
def quiet_transformers() -> Iterator[None]:
    """No warnings about tiny configurations; one thread, as with several test processes side by side."""
    level, threads = logging.get_verbosity(), torch.get_num_threads()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    yield
    logging.set_verbosity(level)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def lens_of() -> MakeLens:
    """Lenses on tiny models by model type and dtype; token ids in, no tokenizer."""

    @cache
    def make(model_type: str, dtype: torch.dtype = torch.float32) -> normlens.Lens:
        return normlens.load((tiny.build(model_type, dtype=dtype), None))

    return make


@pytest.fixture
def tokens() -> Callable[[int, int], list[int]]:
    """Random token ids of a given length and seed, none of them special."""

    def draw(length: int, seed: int = 0) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(10, 89, (length,), generator=generator).tolist()

    return draw
