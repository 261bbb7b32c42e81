"""Greedy generation: a prompt and its continuation, a source text and its translation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import GenerationConfig, PreTrainedModel

from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.computation import computing
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput
from normlens.inputs.example import Example
from normlens.inputs.lengths import check_length, check_room
from normlens.inputs.tokens import Tokens
from normlens.loading.load import LoadedModel
from normlens.loading.quantized import quantization_explained


@computing()
def continued(prompt: Tokens, count: int, loaded: LoadedModel) -> list[int]:
    """Token ids of a prompt and of ``count`` greedily generated tokens.

    Raises
    ------
    InvalidInput
        If the model can't generate, or has too few positions.
    """
    model = loaded.model
    if not isinstance(count, int) or count < 1 or not model.can_generate() or model.config.is_encoder_decoder:
        raise InvalidInput(
            f"generate={count!r} was requested from {type(model).__name__}; expected a positive integer, and a decoder with "
            "a language-model head. Omit generate, or load a model that can generate."
        )
    check_length(prompt, loaded, "input")
    check_room(prompt, loaded, count)
    ids = torch.as_tensor(prompt.ids, device=model.device)[None]
    with torch.no_grad(), evaluation_mode(model), _greedy(model), quantization_explained(model):
        require_trained(model, lambda: model(ids.clone()).logits)
        sequences = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count)
    generated: list[int] = sequences[0].tolist()
    return generated


@computing()
def translated(example: Example, count: int, loaded: LoadedModel) -> list[int]:
    """Token ids that an encoder–decoder generates greedily after its start token, at most ``count``.

    Parameters
    ----------
    example
        What the encoder reads; inputs of the decoder are ignored.
    count
        Largest number of tokens, the mark at the end included.
    loaded
        The model.

    Raises
    ------
    InvalidInput
        If the model can't generate, or ``count`` isn't a positive integer.
    """
    model = loaded.model
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or not model.can_generate():
        raise InvalidInput(
            f"generate={count!r} was requested from {type(model).__name__}; expected a positive integer, and a model with a "
            "language-model head."
        )
    inputs = {name: x.to(model.device)[None] for name, x in example.tensors.items() if not name.startswith("decoder_")}
    with torch.no_grad(), evaluation_mode(model), _greedy(model), quantization_explained(model):
        sequences = model.generate(**inputs, max_new_tokens=count)
    generated: list[int] = sequences[0].tolist()
    return generated[1:]


@contextmanager
def _greedy(model: PreTrainedModel) -> Iterator[None]:
    """Generate greedily, without beams, penalties or sampling: keep only the special ids of the generation config."""
    before = model.generation_config
    names = (
        "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id", "bad_words_ids",
    )  # fmt: skip
    model.generation_config = GenerationConfig(**{name: getattr(before, name, None) for name in names})
    try:
        yield
    finally:
        model.generation_config = before
