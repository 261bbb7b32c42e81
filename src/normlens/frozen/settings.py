"""What is changed about a model while it runs frozen, and put back afterwards: settings and parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedModel

from normlens.capture import attention_implementation
from normlens.configs import CACHE, EXPERTS, settings_of_this_thread
from normlens.hooks import attention_types_kept


@contextmanager
def plain_settings(model: PreTrainedModel) -> Iterator[None]:
    """Eager attention, eager experts, no key/value cache."""
    settings = {CACHE: False, EXPERTS: "eager"}
    with (
        attention_implementation(model, "eager") as configs,
        attention_types_kept(model),
        settings_of_this_thread((c, name, x) for c in configs for name, x in settings.items() if hasattr(c, name)),
    ):
        yield


@contextmanager
def constant_parameters(model: nn.Module) -> Iterator[None]:
    """Parameters that require no gradient."""
    before = [(x, x.requires_grad) for x in model.parameters()]
    try:
        for x, _ in before:
            x.requires_grad_(False)
        yield
    finally:
        for x, requires_grad in before:
            x.requires_grad_(requires_grad)
