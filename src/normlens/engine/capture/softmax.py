"""Attention of models that compute it inside their own modules, observed as it happens.

About a hundred model files of transformers (DeBERTa, BLOOM, Falcon, MPNet, …) don't go through the attention interface.
Their attention is still a softmax whose result is multiplied with value vectors, and both are visible from outside: a
torch function mode sees the softmax, follows its result through dropout and reshaping, and takes the product as one
attention call, in whatever order of axes it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from normlens.engine.capture.hooks import leave_hooks
from normlens.engine.capture.interface import AttentionCall, OnAttention
from normlens.engine.capture.products import ValueProduct, product_of
from normlens.engine.capture.running import ModuleCall, running_calls

_SOFTMAX = {"softmax", "_softmax", "masked_softmax"}
_SAME_WEIGHTS = {"dropout", "to", "type", "type_as", "float", "contiguous", "clone", "view", "reshape", "masked_fill"}


@contextmanager
def observing(
    model: nn.Module, on_call: OnAttention, missed: Callable[[nn.Module], None] = lambda module: None
) -> Iterator[None]:
    """Hand every product of softmax weights and value vectors inside ``model`` to ``on_call``, as attention calls.

    Parameters
    ----------
    model
        A model that runs eager attention in its own modules.
    on_call
        Called right after each product.
    missed
        Called with each module that computed a softmax of at least three axes, but no such product.
    """
    composed = [module for module in model.modules() if next(module.children(), None) is not None]
    observer = _Observer(on_call, frozenset(composed))
    with leave_hooks(composed, observer.leave), observer:
        yield
    for module in observer.missed():
        missed(module)


@dataclass
class _Softmax:
    """A softmax: its module, the module's depth among the running ones, and whether a product with values was seen."""

    module: nn.Module
    depth: int
    has_product: bool = False


class _Observer(TorchFunctionMode):
    """Sees the softmax, operations that leave its result unchanged, and the product with the values."""

    def __init__(self, on_call: OnAttention, composed: Set[nn.Module]) -> None:
        super().__init__()
        self._on_call, self._composed = on_call, composed
        self._weights: dict[int, tuple[Tensor, _Softmax]] = {}
        self._softmaxes: list[_Softmax] = []

    def missed(self) -> list[nn.Module]:
        """Modules that computed a softmax, but no product of it with values."""
        return [softmax.module for softmax in self._softmaxes if not softmax.has_product]

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Forget weights from deeper modules: a submodule may compute the softmax, but not a module further inside."""
        if self._weights:
            depth = len(self._running())
            self._weights = {key: x for key, x in self._weights.items() if x[1].depth <= depth}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        is_softmax = name in _SOFTMAX and isinstance(result, Tensor) and result.ndim > 2
        if is_softmax and (running := self._running()):
            softmax = _Softmax(running[0].module, len(running))
            self._weights[id(result)] = result, softmax
            self._softmaxes.append(softmax)
        elif self._weights and args and isinstance(result, Tensor):
            before = self._weights.get(id(args[0]))
            if before is not None and name in _SAME_WEIGHTS and result.shape[-2:] == args[0].shape[-2:]:
                self._weights[id(result)] = result, before[1]
            elif (product := product_of(name, args, lambda x: id(x) in self._weights)) is not None:
                self._report(product, result)
        return result

    def _running(self) -> list[ModuleCall]:
        """The running calls of modules that have children, innermost first."""
        return [call for call in running_calls() if call.module in self._composed]

    def _report(self, product: ValueProduct, result: Tensor) -> None:
        """Report a product as an attention call, if its shapes are those of attention."""
        running = self._running()
        laid_out = product.laid_out(result, _batch(product, _first_input(running)))
        if laid_out is None:
            return
        weights, value, arranged = laid_out
        output = arranged(result).unflatten(-1, (weights.shape[1], -1))
        recompute = lambda start, stop: weights[:, :, start:stop]  # noqa: E731
        self._weights[id(product.weights)][1].has_product = True
        self._on_call(AttentionCall(running[0].module, value, output, weights, recompute, result, arranged))


def _first_input(running: Sequence[ModuleCall]) -> Tensor | None:
    """The first tensor argument of a running module, if it has at least two axes; of the innermost such module."""
    inputs = ((*call.args, *call.kwargs.values()) for call in running)
    firsts = (next((x for x in values if isinstance(x, Tensor)), None) for values in inputs)
    return next((first for first in firsts if first is not None and first.ndim > 1), None)


def _batch(product: ValueProduct, first: Tensor | None) -> int:
    """The batch size, by the first tensor of the attention module: ``(batch, target, …)`` or ``(target, batch, …)``."""
    if first is None:
        return 1
    time_first = first.ndim == 3 and first.shape[0] == product.targets != first.shape[1]
    return first.shape[1] if time_first else first.shape[0]
