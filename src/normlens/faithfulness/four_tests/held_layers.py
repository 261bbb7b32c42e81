"""Parts of a model that answer once: modules that repeat their first answer, and parameters without gradients.

Many reads of one batch that differ in the attention of late layers alone need the early layers once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from normlens.engine.tracing.layer_numbers import numbered_layer


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Compute no gradients of parameters; those of inputs stay what they are.

    Parameters
    ----------
    model
        Its parameters take gradients again when the context ends.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def held(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Let modules repeat the answer of their first call, which is computed without gradients.

    Parameters
    ----------
    modules
        They must be called with the same arguments each time; the caller sees to that. Each is itself again when the
        context ends, also after an error.
    """
    with ExitStack() as stack:
        for module in modules:
            own = vars(module).get("forward")
            stack.callback(_restore, module, own)
            module.forward = _repeating(module.forward)
        yield


def lower_layers(model: nn.Module, attention: Sequence[nn.Module], tested: Sequence[nn.Module]) -> list[nn.Module]:
    """The layers that run before the first one under test, and hold none that is.

    Parameters
    ----------
    model
        The whole model.
    attention
        Its attention modules in the order in which they run.
    tested
        Those under test.
    """
    paths = {module: numbered_layer(name) for name, module in model.named_modules()}
    first = min(attention.index(module) for module in tested)
    later = {paths[module] for module in attention[first:]}
    below = dict.fromkeys(paths[module] for module in attention[:first])
    return [model.get_submodule(path) for path in below if path is not None and path not in later]


def _repeating(own: Callable[..., Any]) -> Callable[..., Any]:
    answers: list[Any] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not answers:
            with torch.no_grad():
                answers.append(own(*args, **kwargs))
        return answers[0]

    return forward


def _restore(module: nn.Module, own: Callable[..., Any] | None) -> None:
    if own is None:
        del module.forward
    else:
        module.forward = own
