"""What the methods of attribution are made of, slowly and in float64: explicit vectors, paths one by one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from architectures import tiny
from direct_formula import Attention, attentions, carried, contributions
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

import normlens

TEXT = [20, 31, 42, 53, 64, 75]
TARGET_TEXT = [11, 22, 33, 44]  # read behind the decoder's start token, without its last token

Array = NDArray[np.float64]


def float64_lens(model_type: str) -> normlens.Lens:
    """A lens on a tiny model with random biases and gains."""
    return normlens.load((tiny.build(model_type, dtype=torch.float64), None))


def inputs_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """What the model reads when the lens gets TEXT (and TARGET_TEXT)."""
    inputs = {"input_ids": torch.tensor([TEXT])}
    if model.config.is_encoder_decoder:
        decoder = [model.config.decoder_start_token_id, *TARGET_TEXT[:-1]]
        inputs["decoder_input_ids"] = torch.tensor([decoder])
    return inputs


def texts_of(model: PreTrainedModel) -> dict[str, Any]:
    """The keyword arguments that go with TEXT."""
    return {"target_text": TARGET_TEXT} if model.config.is_encoder_decoder else {}


def blocks_of(model: PreTrainedModel) -> dict[str, list[Attention]]:
    """The attention blocks of a run over TEXT."""
    return attentions(model, inputs_of(model))


def vectors_of(block: Attention, scope: str) -> tuple[Tensor, Tensor, Tensor]:
    """c_ij ``(target, source, d)`` with the own vector on the diagonal, the own vector, and the block's output y."""
    moved, own = carried(block)[scope]
    vectors = moved.clone()
    if not block.cross:
        for i in range(len(own)):
            vectors[i, i] += own[i]
    output = contributions(block).sum((0, 2)) + block.bias
    if scope != "attention":
        output = output if block.inner_norm is None else block.inner_norm.apply(output)
        output = output * block.multiplier + block.own
    if scope == "layernorm":
        assert block.outer_norm is not None
        output = block.outer_norm.apply(output)
    return vectors.detach(), own.detach(), output.detach()


def divided(rows: Array) -> Array:
    """Every row over its sum."""
    return np.stack([row / row.sum() for row in rows])


def chained(maps: list[Array]) -> Array:
    """What the last layer's positions take from the input: the sum over all paths of the products along them."""
    tokens = len(maps[0])
    total = np.zeros((tokens, tokens))
    for path in itertools.product(range(tokens), repeat=len(maps) + 1):
        steps = zip(maps, path[:-1], path[1:], strict=True)
        total[path[-1], path[0]] += np.prod([layer[above, below] for layer, below, above in steps])
    return total


def chained_pair(encoder: list[Array], decoder: list[Array], cross: list[Array], own: list[Array]) -> Array:
    """What the decoder's last positions take from both texts, position by position from the top down."""
    from_encoder = chained(encoder)
    sources, targets = len(from_encoder), len(decoder[0])

    def taken(layer: int, i: int) -> Array:
        if layer < 0:
            return np.eye(sources + targets)[sources + i]
        row = np.zeros(sources + targets)
        for j in range(sources):
            row[:sources] += cross[layer][i, j] * from_encoder[j]
        for j in range(targets):
            row += own[layer][i] * decoder[layer][i, j] * taken(layer - 1, j)
        return row

    return np.stack([taken(len(decoder) - 1, i) for i in range(targets)])


def shared_with_own(cross: Array, own: Array) -> tuple[Array, Array]:
    """Cross-attention and own vectors, every row over the sum of both."""
    total = cross.sum(1) + own
    return cross / total[:, None], own / total


def run_with_hooks(model: PreTrainedModel, paths: list[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """First input and output of modules in a run over TEXT, ``(position, d)`` each."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(path: str) -> Any:
        def note(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            seen[path] = hidden[0], (output if isinstance(output, Tensor) else output[0])[0]

        return note

    handles = [model.get_submodule(p).register_forward_hook(hook(p), with_kwargs=True) for p in paths]
    with torch.no_grad():
        model(**inputs_of(model), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen
