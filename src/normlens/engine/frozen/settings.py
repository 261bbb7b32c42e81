"""Settings and parameters of a model that change while it runs frozen, and are restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedModel

from normlens.engine.capture.as_configured import running
from normlens.engine.capture.eager_check import kept_settings
from normlens.engine.capture.hooks import attention_type_restored


@contextmanager
def plain_settings(model: PreTrainedModel) -> Iterator[None]:
    """Eager attention and experts, except for kept functions (:mod:`normlens.engine.capture.eager_check`); no cache."""
    with running(model, kept_settings(model)), attention_type_restored(model):
        yield


@contextmanager
def constant_parameters(model: nn.Module) -> Iterator[None]:
    """Switch off gradients of the parameters while this lasts."""
    before = [(x, x.requires_grad) for x in model.parameters()]
    try:
        for x, _ in before:
            x.requires_grad_(False)
        yield
    finally:
        for x, requires_grad in before:
            x.requires_grad_(requires_grad)
