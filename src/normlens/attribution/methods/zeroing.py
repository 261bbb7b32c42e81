"""A layer run again with the value vectors of single sources set to zero, in the unmodified model.

A function of ours replaces the model's attention: it sets values to zero, calls the model's own eager function and counts
its calls. A layer that bypasses it is refused, never measured as zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from normlens.engine.capture.eager_check import require_eager_attention
from normlens.engine.capture.interface import asks_for_eager, attention_implementation, eager_function, has_interface
from normlens.engine.capture.trees import first_tensor, map_tensors
from normlens.engine.feedforward.replay import FAILURES
from normlens.engine.frozen.settings import plain_settings
from normlens.engine.tolerance import tolerance
from normlens.errors import UnsupportedArchitecture
from normlens.memory import is_out_of_memory

IMPLEMENTATION = "normlens_value_zeroing"


@dataclass
class _Zeroing:
    """The sources whose values are zero in an attention module: one per row; a negative one stands for none."""

    module: nn.Module
    sources: Int[Tensor, " row"]
    calls: int = 0


_ZEROING: ContextVar[_Zeroing | None] = ContextVar("normlens_zeroing", default=None)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The model's own eager attention, with some values set to zero in the chosen module."""
    zeroing = _ZEROING.get()
    if zeroing is not None and zeroing.module is module and len(value) == len(zeroing.sources):
        zeroing.calls += 1
        positions = torch.arange(value.shape[2], device=value.device)
        value = value.masked_fill((positions == zeroing.sources[:, None])[:, None, :, None], 0)
    return eager_function(module)(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(IMPLEMENTATION, _attention)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)


@contextmanager
def zeroable(model: PreTrainedModel) -> Iterator[None]:
    """Route the model's attention through the function that can set values to zero while this lasts.

    Raises
    ------
    UnsupportedArchitecture
        If the model doesn't use transformers' attention interface.
    """
    if not has_interface(model) or asks_for_eager(model):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} doesn't use transformers' attention interface, where values are set to zero. Use "
            "method='alti', 'norm_rollout' or 'decompx'."
        )
    require_eager_attention(
        model, "only there can values be set to zero. Use method='alti', 'norm_rollout' or 'decompx'"
    )
    with torch.no_grad(), plain_settings(model), attention_implementation(model, IMPLEMENTATION):
        yield


def is_zeroing() -> bool:
    """Whether a layer is being run again."""
    return _ZEROING.get() is not None


@dataclass(frozen=True)
class LayerRun:
    """One call of a layer, which can be repeated with values set to zero.

    Attributes
    ----------
    layer
        The layer.
    args, kwargs
        Its arguments.
    output
        Its output, ``(batch, target, d)``.
    """

    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Float[Tensor, "batch target d"]

    def again(self, module: nn.Module, sources: Int[Tensor, " copy"]) -> Float[Tensor, "batch copy target d"]:
        """The layer's output with one source's values set to zero per copy; a negative source sets none.

        Parameters
        ----------
        module
            The attention module whose values are set to zero.
        sources
            One source for each copy of the batch.

        Raises
        ------
        UnsupportedArchitecture
            If the layer doesn't call this attention module exactly once.
        """
        batch, copies = len(self.output), len(sources)

        def copy(x: Tensor) -> Tensor:  # positions, say, have no rows
            return x.repeat_interleave(copies, 0) if x.ndim > 1 and len(x) == batch else x.clone()

        zeroing = _Zeroing(module, sources.repeat(batch))
        token = _ZEROING.set(zeroing)
        try:
            output = first_tensor(self.layer(*map_tensors(self.args, copy), **map_tensors(dict(self.kwargs), copy)))
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            raise UnsupportedArchitecture(
                f"{type(self.layer).__name__} can't be run again by itself on {copies} copies of its input "
                f"({type(error).__name__}: {error}), so values can't be set to zero one source at a time. Use "
                "method='alti' or 'decompx'."
            ) from error
        finally:
            _ZEROING.reset(token)
        if zeroing.calls != 1 or output is None or len(output) != batch * copies:
            raise UnsupportedArchitecture(
                f"{type(self.layer).__name__} called {type(module).__name__} {zeroing.calls} times with the values of "
                f"{copies} copies; expected one call, so values can't be set to zero. Use method='alti' or 'decompx'."
            )
        return output.reshape(batch, copies, *output.shape[1:])

    def require_repeatable(self, module: nn.Module, model: PreTrainedModel) -> None:
        """Refuse a layer whose output changes if it is run again in two copies with no values set to zero.

        Raises
        ------
        UnsupportedArchitecture
            With the size of the difference.
        """
        again = self.again(module, torch.tensor([-1, -1], device=self.output.device))
        gap = float((again - self.output.unsqueeze(1)).norm() / again.norm().clamp_min(torch.finfo(again.dtype).tiny))
        if not gap <= tolerance(model.dtype):
            raise UnsupportedArchitecture(
                f"{type(self.layer).__name__} returns a different output when it is run again by itself: off by {gap:.1e} "
                "of its norm. Use method='alti' or 'decompx'."
            )
