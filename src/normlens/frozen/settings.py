"""What is changed about a model while it runs frozen, and put back afterwards: settings, parameters, activations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function
from transformers import PreTrainedModel, activations

from normlens.capture import attention_implementation
from normlens.configs import CACHE, EXPERTS, settings_of_this_thread
from normlens.frozen.operations import ACTIVATION_MODULE
from normlens.hooks import attention_types_kept

HAND_SPELLED_ACTIVATIONS = (
    *(x for x in vars(activations).values() if isinstance(x, type) and x.__module__ == activations.__name__),
)
HAND_SPELLED_NAMES = frozenset({"BloomGelu"})


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


@contextmanager
def activation_modules(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Show activations that are spelled out by hand to the mode as one operation each."""
    changes = [
        (module, "forward", _as_operation(module.forward))
        for module in modules
        if isinstance(module, HAND_SPELLED_ACTIVATIONS) or type(module).__name__ in HAND_SPELLED_NAMES
    ]
    with _attributes(changes):
        yield


def _as_operation(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(forward)
    def operation(x: Tensor) -> Tensor:
        return forward(x)

    operation.__name__ = ACTIVATION_MODULE

    def shown(x: Tensor) -> Tensor:
        if torch.overrides.has_torch_function((x,)):
            result: Tensor = handle_torch_function(operation, (x,), x)
            return result
        return forward(x)

    return shown


@contextmanager
def _attributes(changes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Set attributes on objects (object, name, value); put back after."""
    before = [(x, name, vars(x).get(name, _MISSING)) for x, name, _ in changes]
    try:
        for x, name, value in changes:
            setattr(x, name, value)
        yield
    finally:
        for x, name, value in reversed(before):
            if value is _MISSING:
                delattr(x, name)
            else:
                setattr(x, name, value)


_MISSING = object()
