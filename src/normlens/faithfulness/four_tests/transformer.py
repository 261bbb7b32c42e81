"""A Hugging Face classifier in the four tests: its attention as an explanation, uniform, or replaced by the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.tracing.layer_numbers import listed
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.faithfulness.four_tests.attention_layers import Row, attention_layers
from normlens.faithfulness.four_tests.held_layers import held, lower_layers
from normlens.faithfulness.four_tests.models import Prediction, require_tokens
from normlens.faithfulness.four_tests.watched_attention import Watch, watching


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
    row
        The token whose row of attention is tested, "first" or "last". Default: the one that the head reads.

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
        row: Row | None = None,
    ) -> None:
        super().__init__()
        self.model, self.uniform = model, uniform
        attention = attention_layers(model, row)
        self.row, self.layers = attention.row, _checked(layers, attention.numbers)
        self._tested = [attention.modules[attention.numbers.index(layer)] for layer in self.layers]
        self._below = lower_layers(model, attention.modules, self._tested)
        self._batch: tuple[Tensor, Tensor] | None = None  # whose lower layers are held
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

    @contextmanager
    def holding_lower_layers(self, ids: Int[Tensor, "text token"], lengths: Int[Tensor, " text"]) -> Iterator[None]:
        """Compute the layers below those under test once, for all reads of one batch; answers are the same to the bit.

        No gradient reaches the lower layers meanwhile.

        Parameters
        ----------
        ids, lengths
            The batch that is read.

        Raises
        ------
        InvalidInput
            If the model is in training mode, or as soon as another batch is read.
        """
        if self.training:
            raise InvalidInput(
                "The model is in training mode, in which no two runs are the same; its layers can't be held. Call eval()."
            )
        self._batch = (ids, lengths)
        try:
            with held(self._below):
                yield
        finally:
            self._batch = None

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
        if self._batch is not None and not all(map(torch.equal, self._batch, (ids, lengths))):
            raise InvalidInput(
                f"{len(ids)} texts of up to {ids.shape[1]} tokens are not the batch whose layers are held. Leave the "
                "context of holding_lower_layers first."
            )
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        watch = Watch(self._tested, self.uniform, change)
        with watching(self.model, watch):
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
        """Put the caller's weights into the row; each head keeps the total of its readable tokens."""

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


def _with_row(
    weights: Float[Tensor, "text head target source"],
    rows: Int[Tensor, " text"],
    row: Float[Tensor, "text head source"],
) -> Float[Tensor, "text head target source"]:
    """The weights with one target's row of each text replaced."""
    chosen = torch.arange(weights.shape[2], device=rows.device) == rows[:, None]
    return torch.where(chosen[:, None, :, None], row[:, :, None].to(weights.dtype), weights)


def _checked(layers: Sequence[int], numbers: Sequence[int]) -> list[int]:
    """The numbers of layers, with those below zero counted from the last."""
    chosen = [numbers[layer] if -len(numbers) <= layer < 0 else layer for layer in layers]
    if not chosen or not set(chosen) <= set(numbers) or len(set(chosen)) < len(chosen):
        raise InvalidInput(
            f"layers are {list(layers)}; the model has attention in layers {listed(numbers)}. Name some of these, each "
            "once; −1 is the last."
        )
    return chosen
