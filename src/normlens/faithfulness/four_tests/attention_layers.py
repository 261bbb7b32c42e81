"""Which attention a classifier has, in which layers, and which token its head reads: seen in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.interface import AttentionCall, capturing, has_interface
from normlens.engine.tracing.layer_numbers import layer_numbers
from normlens.errors import UnsupportedArchitecture

Row = Literal["first", "last"]
"""The token whose row of attention is the explanation: the one that the classification head reads."""


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


def attention_layers(model: PreTrainedModel, row: Row | None = None) -> AttentionLayers:
    """Run a classifier once to see its attention; a gradient tells which token its head reads.

    Parameters
    ----------
    model
        The classifier.
    row
        The token whose row is meant, whatever the head reads.

    Raises
    ------
    UnsupportedArchitecture
        If the model has a decoder beside its encoder, its attention doesn't go through transformers' interface, layers
        share a module, or the head reads neither the first nor the last token alone and no row is named.
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
    if row is None:
        (gradient,) = torch.autograd.grad(logits[0, 0], calls[-1].output)
        row = _row(model, gradient[0])
    paths = {module: name for name, module in model.named_modules()}
    return AttentionLayers(modules, layer_numbers([paths[module] for module in modules]), row)


def _row(model: PreTrainedModel, gradient: Float[Tensor, "target head head_dim"]) -> Row:
    """The token through which alone the last attention reaches the logits."""
    places = (gradient.abs().sum(dim=(-1, -2)) > 0).nonzero().flatten().tolist()
    if places == [0]:
        return "first"
    if places == [len(gradient) - 1]:
        return "last"
    raise UnsupportedArchitecture(
        f"The head of {type(model).__name__} reads {len(places)} of {len(gradient)} tokens; expected the first or the last "
        "one alone, whose row of attention would be the explanation. Name a row, or choose a model whose head reads one."
    )
