"""Settings and parameters of a model that change while it runs frozen, and are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_set import kept, running
from normlens.engine.capture.hooks import attention_types_kept


@contextmanager
def plain_settings(model: PreTrainedModel) -> Iterator[None]:
    """Eager attention and experts except where functions are kept (:mod:`normlens.engine.capture.as_set`); no cache."""
    with running(model, kept(model)), attention_types_kept(model):
        yield


@contextmanager
def constant_parameters(model: nn.Module) -> Iterator[None]:
    """Switch gradients of the parameters off while this lasts."""
    before = [(x, x.requires_grad) for x in model.parameters()]
    try:
        for x, _ in before:
            x.requires_grad_(False)
        yield
    finally:
        for x, requires_grad in before:
            x.requires_grad_(requires_grad)
