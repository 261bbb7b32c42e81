"""Activation modules whose operations a torch function mode can't see: a custom ``autograd.Function``, a scripted function.

They are recognized by a test: a module with one argument and no submodules, each of whose results depends on only one
number, is presented to the mode as one operation. Visible operations are unchanged.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary

from normlens.engine.capture.hooks import replaced_forwards

NAME = "hidden_activation"
"""The name of these operations in the table of rules."""

_HIDDEN: WeakKeyDictionary[type[nn.Module], bool] = WeakKeyDictionary()


@contextmanager
def hidden_activations_shown(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Present each hidden activation module to the mode as one operation."""
    with replaced_forwards((module, _as_operation(module.forward)) for module in filter(_is_hidden, modules)):
        yield


def _as_operation(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    @functools.wraps(forward)
    def operation(x: Tensor) -> Tensor:
        if has_torch_function_unary(x):
            result: Tensor = handle_torch_function(operation, (x,), x)
            return result
        return forward(x)

    operation.__name__ = NAME
    return operation


def _is_hidden(module: nn.Module) -> bool:
    """Whether a module is a hidden activation; tested once per class."""
    kind = type(module)
    if kind.__module__.startswith("torch.nn.") or next(module.children(), None) is not None:
        return False
    if kind not in _HIDDEN:
        _HIDDEN[kind] = _takes_one_tensor(module) and _is_unseen(module) and _is_elementwise(module)
    return _HIDDEN[kind]


def _takes_one_tensor(module: nn.Module) -> bool:
    parameters = inspect.signature(module.forward).parameters.values()
    return [p.kind for p in parameters if p.default is p.empty] == [inspect.Parameter.POSITIONAL_OR_KEYWORD]


def _is_unseen(module: nn.Module) -> bool:
    """Whether a module's result has a derivative, but some of its operations are invisible to a mode."""
    probe = _probe(module).requires_grad_()
    with torch.enable_grad(), _SeenOperations(probe) as seen:
        result = _tried(module, probe)
    return result is not None and result.requires_grad and not (seen.everything and seen.made(result))


def _is_elementwise(module: nn.Module) -> bool:
    """Whether each number of a module's result depends only on the input at the same index."""
    probe = _probe(module)
    before = _tried(module, probe)
    if before is None or before.shape != probe.shape:
        return False
    for index in range(probe.numel()):
        moved = probe.clone()
        moved.view(-1)[index] += 0.5
        after = _tried(module, moved)
        changed = None if after is None else (after != before).view(-1).nonzero().flatten().tolist()
        if changed != [index]:
            return False
    return True


def _probe(module: nn.Module) -> Tensor:
    like = next(module.parameters(), torch.zeros(()))
    return torch.linspace(-1.3, 1.7, 6, dtype=torch.float32, device=like.device).view(1, 2, 3).to(like.dtype)


def _tried(module: nn.Module, probe: Tensor) -> Tensor | None:
    try:
        result = type(module).forward(module, probe)
    except Exception:  # a module that takes a different input
        return None
    return result if isinstance(result, Tensor) else None


class _SeenOperations(TorchFunctionMode):
    """Records whether the arguments of operations come from operations that it saw."""

    def __init__(self, probe: Tensor) -> None:
        super().__init__()
        self.everything = True
        self._results: dict[int, object] = {id(probe): probe}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for x in args:
            if isinstance(x, Tensor) and x.requires_grad and not self.made(x):
                self.everything = False
        result = func(*args, **(kwargs or {}))
        self._results[id(result)] = result
        return result

    def made(self, x: Tensor) -> bool:
        """Whether a tensor is the probe, or the result of an operation that was seen."""
        maker: object = x.grad_fn
        return id(x) in self._results and not isinstance(maker, BackwardCFunction)
