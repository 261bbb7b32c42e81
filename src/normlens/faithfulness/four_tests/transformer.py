"""A Hugging Face classifier in the four tests: its attention as an explanation, uniform attention, attention of one's own.

The model runs as its authors wrote it, with eager attention. In the layers under test, an attention function hands out the
weights with their gradient, holds them uniform, or replaces the row that the head reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from normlens.engine.capture.interface import (
    AttentionCall,
    attention_implementation,
    capturing,
    eager_function,
    has_interface,
)
from normlens.engine.tracing.layer_numbers import layer_numbers, listed
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.faithfulness.four_tests.models import Prediction, require_tokens

Row = Literal["first", "last"]
"""The token whose row of attention is the explanation: the one that the classification head reads."""

_IMPLEMENTATION = "normlens-four-tests"


@dataclass
class _Watch:
    """What the attention function does in the layers under test, and what it saw there.

    Attributes
    ----------
    modules
        Their attention modules.
    uniform
        Whether every target attends evenly to all tokens that it may see.
    change
        Replaces α of all heads, ``(text, head, target, source)``, before values are mixed.
    weights
        α of each module, in the order of the layers.
    """

    modules: Sequence[nn.Module]
    uniform: bool
    change: Callable[[Tensor], Tensor] | None = None
    weights: list[Tensor] = field(default_factory=list)


_WATCH: ContextVar[_Watch | None] = ContextVar("normlens_four_tests", default=None)


class TransformerClassifier(nn.Module):
    """A sequence classifier of transformers, called as the recurrent classifiers are.

    Its α is the row of the token that the head reads, averaged over the heads and layers under test, on the tokens that
    may be read, where it adds up to one.

    Parameters
    ----------
    model
        The classifier. It has a single softmax attention in each layer, through transformers' attention interface.
    layers
        Numbers of the layers under test, from 0; −1 is the last.
    heads
        Numbers of the heads, from 0. Default: all.
    uniform
        Hold the attention of these layers uniform over the real tokens, in every row.

    Raises
    ------
    InvalidInput
        If there is no such layer or head.
    UnsupportedArchitecture
        If the attention can't be reached, or the head reads neither the first nor the last token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        layers: Sequence[int] = (-1,),
        heads: Sequence[int] | None = None,
        *,
        uniform: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.uniform = model, uniform
        attention = attention_layers(model)
        self.row, self.layers = attention.row, _checked(layers, attention.numbers)
        self._tested = [attention.modules[attention.numbers.index(layer)] for layer in self.layers]
        count = int(model.config.num_attention_heads)
        self.heads = list(range(count)) if heads is None else list(heads)
        if not self.heads or not all(0 <= head < count for head in self.heads):
            raise InvalidInput(f"heads are {self.heads}; expected numbers from 0 to {count - 1}.")

    def forward(
        self,
        ids: Int[Tensor, "text token"],
        lengths: Int[Tensor, " text"],
        readable: Bool[Tensor, "text token"],
        attention: Float[Tensor, "text token"] | None = None,
    ) -> Prediction:
        """Read a batch that is padded on the right.

        Parameters
        ----------
        ids, lengths, readable
            As for `RecurrentClassifier`.
        attention
            Weights to use on the readable tokens in the row that the head reads, the same for every head. What a head
            gives to other tokens, such as special ones, stays.
        """
        require_tokens(readable)
        rows = torch.zeros_like(lengths) if self.row == "first" else lengths - 1
        change = None if attention is None else self._replacing(attention, readable, rows)
        return self._read(ids, lengths, readable, rows, change)

    def permuted(
        self,
        ids: Int[Tensor, "text token"],
        lengths: Int[Tensor, " text"],
        readable: Bool[Tensor, "text token"],
        order: Int[Tensor, "text token"],
    ) -> Prediction:
        """Read a batch with every head's row permuted in the same order.

        Parameters
        ----------
        ids, lengths, readable
            As for :meth:`forward`.
        order
            For each token, the token whose weight it gets; readable tokens get those of readable ones.
        """
        rows = torch.zeros_like(lengths) if self.row == "first" else lengths - 1

        def change(weights: Tensor) -> Tensor:
            texts = torch.arange(len(rows), device=rows.device)
            row = weights[texts, :, rows]
            moved = row.gather(-1, order[:, None].expand_as(row))
            return _with_row(weights, rows, self._selected(row, moved))

        return self._read(ids, lengths, readable, rows, change)

    def _read(
        self,
        ids: Tensor,
        lengths: Tensor,
        readable: Tensor,
        rows: Tensor,
        change: Callable[[Tensor], Tensor] | None,
    ) -> Prediction:
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        watch = _Watch(self._tested, self.uniform, change)
        with _watching(self.model, watch):
            logits = self.model(input_ids=ids, attention_mask=mask).logits
        if len(watch.weights) != len(self.layers):
            raise UnsupportedArchitecture(
                f"The attention of layer {listed(self.layers)} of {type(self.model).__name__} ran {len(watch.weights)} "
                f"times in one run; expected {len(self.layers)}. Its layers share modules; test another model."
            )
        texts = torch.arange(len(rows), device=rows.device)
        taken = [weights[texts, :, rows][:, self.heads] for weights in watch.weights]
        alpha = torch.stack(taken).mean(dim=(0, 2)).where(readable, 0.0)
        alpha = alpha / alpha.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(alpha.dtype).tiny)
        return Prediction(logits, alpha)

    def _replacing(self, attention: Tensor, readable: Tensor, rows: Tensor) -> Callable[[Tensor], Tensor]:
        """Put weights of one's own into the row; each head keeps the total of its readable tokens."""

        def change(weights: Tensor) -> Tensor:
            texts = torch.arange(len(rows), device=rows.device)
            row = weights[texts, :, rows]
            total = row.where(readable[:, None], 0.0).sum(dim=-1, keepdim=True)
            own = torch.where(readable[:, None], total * attention[:, None], row)
            return _with_row(weights, rows, self._selected(row, own))

        return change

    def _selected(self, row: Float[Tensor, "text head token"], changed: Tensor) -> Float[Tensor, "text head token"]:
        """The changed row in the heads under test, the model's own in the others."""
        chosen = torch.zeros(row.shape[1], dtype=torch.bool, device=row.device)
        chosen[self.heads] = True
        return torch.where(chosen[:, None], changed, row)


@dataclass(frozen=True)
class AttentionLayers:
    """The attention of an encoder or a decoder, as one run shows it.

    Attributes
    ----------
    modules
        The attention modules in the order in which they run.
    numbers
        The numbers of their layers.
    row
        The token that the classification head reads.
    """

    modules: list[nn.Module]
    numbers: list[int]
    row: Row


def attention_layers(model: PreTrainedModel) -> AttentionLayers:
    """Run a classifier once to see its attention; a gradient tells which token its head reads.

    Raises
    ------
    UnsupportedArchitecture
        If the model has a decoder beside its encoder, its attention doesn't go through transformers' interface, layers
        share a module, or the head reads neither the first nor the last token alone.
    """
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} has an encoder and a decoder; the four tests take models with one kind of attention. "
            "Choose an encoder or a decoder."
        )
    if not has_interface(model):
        raise UnsupportedArchitecture(
            f"The attention of {type(model).__name__} does not go through transformers' attention interface, so its weights "
            "can't be trained on. Choose a model whose attention does, such as BERT, MiniLM or Llama."
        )
    calls: list[AttentionCall] = []
    ids = [number for number in range(1, 8) if number != model.config.pad_token_id]
    with torch.enable_grad(), capturing(model, calls.append):
        logits = model(input_ids=torch.tensor([ids], device=model.device)).logits
    modules = [call.module for call in calls]
    if not modules or len(set(modules)) != len(modules):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} ran {len(modules)} attentions of {len(set(modules))} modules; expected one module for "
            "each layer. Choose a model whose layers share none."
        )
    (gradient,) = torch.autograd.grad(logits[0, 0], calls[-1].output)
    paths = {module: name for name, module in model.named_modules()}
    return AttentionLayers(modules, layer_numbers([paths[module] for module in modules]), _row(model, gradient[0]))


def _row(model: PreTrainedModel, gradient: Float[Tensor, "target head head_dim"]) -> Row:
    """The token through which alone the last attention reaches the logits."""
    places = (gradient.abs().sum(dim=(-1, -2)) > 0).nonzero().flatten().tolist()
    if places == [0]:
        return "first"
    if places == [len(gradient) - 1]:
        return "last"
    raise UnsupportedArchitecture(
        f"The head of {type(model).__name__} reads {len(places)} of {len(gradient)} tokens; expected the first or the last "
        "one alone, whose row of attention would be the explanation. Choose a model whose head reads one token."
    )


def _checked(layers: Sequence[int], numbers: Sequence[int]) -> list[int]:
    """The numbers of layers, with those below zero counted from the last."""
    chosen = [numbers[layer] if -len(numbers) <= layer < 0 else layer for layer in layers]
    if not chosen or not set(chosen) <= set(numbers) or len(set(chosen)) < len(chosen):
        raise InvalidInput(
            f"layers are {list(layers)}; the model has attention in layers {listed(numbers)}. Name some of these, each "
            "once; −1 is the last."
        )
    return chosen


@contextmanager
def _watching(model: PreTrainedModel, watch: _Watch) -> Iterator[None]:
    token = _WATCH.set(watch)
    try:
        with attention_implementation(model, _IMPLEMENTATION):
            yield
    finally:
        _WATCH.reset(token)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The model's own eager attention; in the layers under test without dropout, seen and changed as the watch says."""
    eager, watch = eager_function(module), _WATCH.get()
    if watch is None or module not in watch.modules:
        return eager(module, query, key, value, attention_mask, **kwargs)
    query = (
        torch.zeros_like(query) if watch.uniform else query
    )  # equal scores for all tokens that the mask lets through
    output, weights = eager(module, query, key, value, attention_mask, **{**kwargs, "dropout": 0.0})
    if weights is None:
        raise UnsupportedArchitecture(f"The eager attention of {type(module).__name__} returns no weights.")
    if watch.uniform:
        _require_even(module, weights)
    if watch.change is not None:
        _require_same(module, output, _mixed(weights, value))
        weights = watch.change(weights)
        output = _mixed(weights, value).to(output.dtype)
    watch.weights.append(weights)
    return output, weights


def _mixed(
    weights: Float[Tensor, "text head target source"], value: Float[Tensor, "text kv_head source size"]
) -> Float[Tensor, "text target head size"]:
    """Σ α v, each value head shared by a group of query heads."""
    shared = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
    return (weights.to(value.dtype) @ shared).transpose(1, 2).contiguous()


def _require_same(module: nn.Module, theirs: Tensor, ours: Tensor) -> None:
    off = float((theirs - ours).detach().norm() / theirs.detach().norm().clamp_min(1e-30))
    if not off < 100 * torch.finfo(theirs.dtype).eps:
        raise UnsupportedArchitecture(
            f"The output of {type(module).__name__} is not the sum of its weighted values (relative error {off:.1e}), so "
            "other weights can't be put in. Test another model."
        )


def _require_even(module: nn.Module, weights: Float[Tensor, "text head target source"]) -> None:
    seen = weights.detach() > 0
    largest, smallest = weights.detach().amax(dim=-1), weights.detach().where(seen, torch.inf).amin(dim=-1)
    if not bool((largest - smallest <= 1e-3 * largest).all()):
        raise UnsupportedArchitecture(
            f"The attention of {type(module).__name__} depends on positions beside queries and keys, so it can't be held "
            "uniform. Test another model."
        )


def _with_row(
    weights: Float[Tensor, "text head target source"],
    rows: Int[Tensor, " text"],
    row: Float[Tensor, "text head source"],
) -> Float[Tensor, "text head target source"]:
    """The weights with one target's row of each text replaced."""
    chosen = torch.arange(weights.shape[2], device=rows.device) == rows[:, None]
    return torch.where(chosen[:, None, :, None], row[:, :, None].to(weights.dtype), weights)


AttentionInterface.register(_IMPLEMENTATION, _attention)
AttentionMaskInterface.register(_IMPLEMENTATION, eager_mask)
