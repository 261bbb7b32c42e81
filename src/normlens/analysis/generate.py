"""A prompt and what the model adds to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import GenerationConfig, PreTrainedModel

from normlens.engine.capture.hooks import evaluation_mode
from normlens.engine.computation import computing
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput
from normlens.inputs.lengths import check_length, check_room
from normlens.inputs.tokens import Tokens
from normlens.loading.load import LoadedModel
from normlens.loading.quantized import quantization_explained


@computing()
def continued(prompt: Tokens, count: int, loaded: LoadedModel) -> list[int]:
    """Token ids of a prompt and of ``count`` tokens that a decoder adds, greedily.

    Raises
    ------
    InvalidInput
        If the model doesn't generate, or has no positions for so many.
    """
    model = loaded.model
    if not isinstance(count, int) or count < 1 or not model.can_generate() or model.config.is_encoder_decoder:
        raise InvalidInput(
            f"generate={count!r} was asked of {type(model).__name__}; expected a number from 1 and a decoder that "
            "generates (a model with a language-model head)."
        )
    check_length(prompt, loaded, "input")
    check_room(prompt, loaded, count)
    ids = torch.as_tensor(prompt.ids, device=model.device)[None]
    with torch.no_grad(), evaluation_mode(model), _greedy(model), quantization_explained(model):
        require_trained(model, lambda: model(ids.clone()).logits)
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count)
    found: list[int] = made[0].tolist()
    return found


@contextmanager
def _greedy(model: PreTrainedModel) -> Iterator[None]:
    """Leave of a model's settings for generation what tells where a text ends: no beams, penalties or samples."""
    before = model.generation_config
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    model.generation_config = GenerationConfig(**{name: getattr(before, name, None) for name in names})
    try:
        yield
    finally:
        model.generation_config = before
