"""Attention of models that compute it inside their own modules, observed as it happens.

About a hundred model files of transformers (DeBERTa, BLOOM, Falcon, MPNet, …) don't go through the attention interface.
Their attention is still a softmax whose result is multiplied with value vectors, and both are visible from outside: a
torch function mode sees the softmax, follows its result through dropout and reshaping, and takes the product as one
attention call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from normlens.capture import AttentionCall, Listener
from normlens.hooks import entered_and_left

_SOFTMAX = {"softmax", "_softmax", "masked_softmax"}
_SAME_WEIGHTS = {"dropout", "to", "type", "type_as", "float", "contiguous", "clone", "view", "reshape", "masked_fill"}
_PRODUCT = {"matmul", "__matmul__", "bmm"}


@contextmanager
def observing(model: nn.Module, listener: Listener) -> Iterator[None]:
    """Hand every product of softmax weights and value vectors inside ``model`` to ``listener``, as attention calls.

    Parameters
    ----------
    model
        A model that runs eager attention in its own modules.
    listener
        Called right after each product.
    """
    observer = _Observer(listener)
    composed = [module for module in model.modules() if next(module.children(), None) is not None]
    with entered_and_left(composed, observer.enter, observer.leave), observer:
        yield


class _Observer(TorchFunctionMode):
    """Sees softmax, what keeps its result as it is, and the product with the values."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self._weights: dict[int, Tensor] = {}
        self._running: list[tuple[nn.Module, int]] = []  # modules and their batch sizes

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        first = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), None)
        outer = self._running[-1][1] if self._running else 1
        self._running.append((module, outer if first is None or first.ndim < 2 else first.shape[0]))

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        if self._running and self._running[-1][0] is module:
            self._running.pop()
            self._weights.clear()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in _SOFTMAX and isinstance(result, Tensor) and result.ndim in (3, 4):
            self._weights[id(result)] = result
        elif self._weights and args and id(args[0]) in self._weights and isinstance(result, Tensor):
            if name in _PRODUCT and isinstance(args[1], Tensor):
                self._hear(args[0], args[1], result)
            elif name in _SAME_WEIGHTS and result.shape[-2:] == args[0].shape[-2:]:
                self._weights[id(result)] = result
        return result

    def _hear(self, weights: Tensor, value: Tensor, result: Tensor) -> None:
        """Report a product as an attention call, if its shapes are those of attention."""
        if not self._running or value.ndim != weights.ndim or value.shape[-2] != weights.shape[-1]:
            return
        module, batch = self._running[-1]
        if weights.ndim == 3 and weights.shape[0] % batch:
            return
        by_head = weights if weights.ndim == 4 else weights.unflatten(0, (batch, -1))
        values = value if value.ndim == 4 else value.unflatten(0, (batch, -1))
        heads, targets = by_head.shape[1:3]
        if heads % values.shape[1] or values.shape[0] != by_head.shape[0]:
            return
        batch, head_dim = by_head.shape[0], values.shape[-1]

        def arranged(y: Tensor) -> Tensor:
            return y.reshape(batch, heads, targets, head_dim).transpose(1, 2).reshape(batch, targets, -1)

        output = arranged(result).unflatten(-1, (heads, head_dim))
        rows = lambda start, stop: by_head[:, :, start:stop]  # noqa: E731
        self._listener(AttentionCall(module, values, output, by_head, rows, result, arranged))
