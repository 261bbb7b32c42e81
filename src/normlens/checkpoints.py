"""What makes a checkpoint unfit: missing or broken weights, no attention, a tokenizer of another model."""

from __future__ import annotations

import re

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.errors import InvalidInput, UnsupportedArchitecture

_LAYER_OR_EMBEDDING = re.compile(r"\.\d+\.|(embed\w*\.(.+\.)?|\bw[tp]e\.|\bshared\.)weight$")


def check_complete(name: str, missing: set[str]) -> None:
    """Refuse a checkpoint that leaves layers or embeddings at random; a missing head or pooler touches no attention."""
    needed = sorted(key for key in missing if _LAYER_OR_EMBEDDING.search(key))
    if needed:
        raise InvalidInput(
            f"{name} lacks {len(needed)} of its weights, {needed[0]} first, and they would be random. Check that every "
            "part of the checkpoint was copied."
        )


def check_weights(model: PreTrainedModel) -> None:
    """Refuse weights that are not in memory, or not finite."""
    check_in_memory(model)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.itemsize > 1 and not parameter.isfinite().all():
            count = int((~parameter.isfinite()).sum())
            raise InvalidInput(
                f"The weights of {name} hold {count} values that are not finite (of {parameter.numel()}). The file is "
                "broken, or the training diverged; get the checkpoint again."
            )


def check_in_memory(model: PreTrainedModel) -> None:
    """Refuse weights that wait on a disk, or in another memory, until they are used."""
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise InvalidInput(f"The weights of {name} are not in memory. Load the model without offloading.")


def check_attention(model: PreTrainedModel) -> None:
    """Refuse a model without attention, as its modules' paths and classes are named."""
    names = (f"{path} {type(module).__name__}" for path, module in model.named_modules())
    if not any(re.search("attention|attn", name, re.IGNORECASE) for name in names):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} ({model.config.model_type}) has no attention module, and attention is what is "
            "measured here. Choose a Transformer."
        )


def check_tokenizer(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Refuse a tokenizer whose vocabulary, or whose frame of special tokens, reaches beyond the embedding.

    Other added tokens may lie beyond it: some checkpoints ship a mask or image token that the model never sees.
    """
    embedding = _embedding(model)
    if tokenizer is None or embedding is None:
        return
    frame = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
    added = tokenizer.added_tokens_encoder  # a property that is made anew at every look
    plain = [number for token, number in tokenizer.get_vocab().items() if token not in added]
    largest = max(plain + [number for number in frame if number is not None])
    if largest >= embedding.num_embeddings:
        raise InvalidInput(
            f"The tokenizer of {name} gives ids up to {largest}, but the model embeds only "
            f"{embedding.num_embeddings} (0 to {embedding.num_embeddings - 1}). Pass the model's own tokenizer."
        )


def _embedding(model: PreTrainedModel) -> torch.nn.Embedding | None:
    """The table of token embeddings, if the model has just one."""
    try:
        embedding = model.get_input_embeddings()
    except NotImplementedError:
        return None
    return embedding if isinstance(embedding, torch.nn.Embedding) else None
