"""Top-k feed-forward layers: every position keeps the k units that move it most.

A feed-forward layer is attention with the hidden state as query, W_in as keys, W_out as values and an activation in
place of the softmax (Gupta et al. 2021, section 3). What corresponds to α is the activation a_u, and to α‖f(x)‖ the
length |a_u| ‖w_u‖ that unit u adds, with w_u its row of W_out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any
from weakref import WeakSet

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from normlens.errors import InvalidInput
from normlens.lens import Lens
from normlens.topk.feedforward_layers import output_projections
from normlens.topk.layer_selection import chosen_paths
from normlens.topk.selection import UNIT_MEASURES, checked_numbers, criterion_of

_IN_USE: WeakSet[nn.Module] = WeakSet()


def use_feedforward(
    model: PreTrainedModel | Lens, k: int, measure: str = "weight", *, layers: Iterable[int | str] | None = None
) -> FeedForwardUse:
    """Let every position of a model's feed-forward layers keep k units, from now on or while a ``with`` block lasts.

    A hook before the linear layer after the activation sets all other units to zero. Modules and parameters are unchanged,
    so a checkpoint saved meanwhile is that of the original model. With ReLU, nothing changes where at most k units are
    positive.

    Parameters
    ----------
    model
        A model whose feed-forward layers have two linear layers, or three if gated; or a lens on one.
    k
        Number of units per position.
    measure
        ``"weight"``: the k largest |a|; ``"norm"``: the k largest |a| ‖w‖.
    layers
        Layer numbers, or patterns of paths of the linear layers; None: all.

    Returns
    -------
    FeedForwardUse
        Its ``undo()`` removes the hooks; so does leaving its ``with`` block.

    Raises
    ------
    InvalidInput
        If k isn't a positive integer, a layer doesn't exist, or the model keeps k units already.
    UnsupportedArchitecture
        If there are no feed-forward layers, or some whose units don't enter a linear layer (experts).
    """
    return FeedForwardUse(model.model if isinstance(model, Lens) else model, _checked(k, measure), measure, layers)


class FeedForwardUse:
    """A model whose feed-forward layers keep k units, until `undo`; made by `use_feedforward`.

    Attributes
    ----------
    model
        The model.
    paths
        Paths of the linear layers that see k units.
    """

    def __init__(self, model: PreTrainedModel, k: int, measure: str, layers: Iterable[int | str] | None) -> None:
        if not isinstance(model, PreTrainedModel):
            raise InvalidInput(f"Got a {type(model).__name__}; expected a transformers model or a lens on one.")
        if model in _IN_USE:
            raise InvalidInput(f"This {type(model).__name__} keeps k units already; call undo() on that use first.")
        self.model, self.paths = model, chosen_paths(output_projections(model), layers)
        projections = [model.get_submodule(path) for path in self.paths]
        self._hooks = [projection.register_forward_pre_hook(_keeping(k, measure)) for projection in projections]
        _IN_USE.add(model)

    def undo(self) -> None:
        """Let the layers use every unit again; calling it again does nothing."""
        if self._hooks:
            _IN_USE.discard(self.model)
            for hook in self._hooks:
                hook.remove()
            self._hooks = []

    def __enter__(self) -> FeedForwardUse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()


def _keeping(k: int, measure: str) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    """A pre-forward hook of a linear layer: it keeps the k largest of its inputs and sets the others to zero."""

    def before(projection: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        activations, *rest = args
        weight = projection.weight
        assert isinstance(weight, Tensor)
        rows = weight if isinstance(projection, Conv1D) else weight.T
        return kept_units(activations, k, rows if measure == "norm" else None), *rest

    return before


def kept_units(
    activations: Float[Tensor, "*positions unit"], k: int, rows: Float[Tensor, "unit d"] | None = None
) -> Float[Tensor, "*positions unit"]:
    """Keep the units with the k largest |a| (|a| ‖w‖ if ``rows`` of W_out are passed), zero the others.

    The choice itself has no gradient.
    """
    if k >= activations.shape[-1]:
        return activations
    sizes = activations.detach().abs()
    if rows is not None:
        sizes = sizes * torch.linalg.vector_norm(rows.detach().float(), dim=-1)
    indices = sizes.topk(k, dim=-1, sorted=False).indices
    return torch.zeros_like(activations).scatter(-1, indices, activations.gather(-1, indices))


def topk_feedforward(
    x: Float[Tensor, "*positions d"],
    w_in: Float[Tensor, "unit d"],
    w_out: Float[Tensor, "d2 unit"],
    *,
    k: int | None,
    activation: Callable[[Tensor], Tensor],
    b_in: Float[Tensor, " unit"] | None = None,
    b_out: Float[Tensor, " d2"] | None = None,
    w_up: Float[Tensor, "unit d"] | None = None,
    measure: str = "weight",
    chunk_size: int = 1024,
) -> Float[Tensor, "*positions d2"]:
    """A feed-forward layer that keeps k units per position, computed in chunks of positions.

    Nothing of size positions × units outlives its chunk: the backward pass recomputes each chunk. That also holds for
    ``k=None`` (every unit), so saving memory alone doesn't require dropping units.

    Parameters
    ----------
    x
        Hidden states.
    w_in, b_in, w_out, b_out
        W_out g(W_in x + b_in) + b_out, laid out as in ``torch.nn.Linear``.
    w_up
        For gated layers: W_out (g(W_in x + b_in) ⊙ W_up x) + b_out.
    k, measure
        As for `use_feedforward`; None keeps every unit.
    activation
        g.
    chunk_size
        Number of positions processed at a time.

    Raises
    ------
    InvalidInput
        If k or the chunk size isn't a positive integer, or there is no such measure.

    References
    ----------
    Gupta et al. 2021, section 3.
    """
    criterion_of(measure, measures=UNIT_MEASURES)
    kept = checked_numbers(k, chunk_size)

    def chunk(rows: Tensor) -> Tensor:
        units = activation(linear(rows, w_in, b_in))
        units = units if w_up is None else units * linear(rows, w_up)
        units = units if kept is None else kept_units(units, kept, w_out.T if measure == "norm" else None)
        return linear(units, w_out, b_out)

    chunks = [checkpoint(chunk, rows, use_reentrant=False) for rows in x.flatten(0, -2).split(chunk_size)]
    output: Tensor = torch.cat(chunks).unflatten(0, x.shape[:-1])
    return output


def _checked(k: Any, measure: str) -> int:
    criterion_of(measure, measures=UNIT_MEASURES)
    checked = checked_numbers(k, 1)
    if checked is None:
        raise InvalidInput(
            "k must be a positive integer, got None: without k, every unit is kept, as without this call."
        )
    return checked
