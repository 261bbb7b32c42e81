"""Checks of a checkpoint: missing, broken or unexpected weights, no attention, the tokenizer of another model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.loading.expansion import check_expansion
from normlens.loading.quantized import refuse_quantized
from normlens.loading.untrained import mark_untrained

_LAYER_OR_EMBEDDING = re.compile(r"\.\d+\.|(embed\w*\.(.+\.)?|\bw[tp]e\.|\bshared\.)weight$")
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def check_complete(name: str, model: PreTrainedModel, info: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that doesn't match its config: weights that are missing, of another shape, or unexpected.

    A missing head or pooler doesn't affect attention: it is marked, and refused only where it is used; see
    :mod:`normlens.loading.untrained`.

    Parameters
    ----------
    name
        The name that the caller used.
    model
        The loaded model.
    info
        The loading info of transformers.

    Raises
    ------
    InvalidInput
        Naming the first such weight.
    """
    for key, seen, expected in sorted(info["mismatched_keys"]):
        raise InvalidInput(
            f"{name} has {key} with shape {tuple(seen)}, but its config requires shape "
            f"{tuple(expected)}. The config belongs to another checkpoint; download both again."
        )
    missing = info["missing_keys"]
    needed = sorted(key for key in missing if _LAYER_OR_EMBEDDING.search(key) and _in_body(model, key))
    if needed:
        raise InvalidInput(
            f"{name} lacks {len(needed)} of its weights, the first is {needed[0]}; they would be random. Check that all "
            "files of the checkpoint were copied."
        )
    _check_leftovers(name, model, info["unexpected_keys"])
    mark_untrained(model, missing)


def _in_body(model: PreTrainedModel, key: str) -> bool:
    """Whether a weight belongs to the model without its head."""
    return model.base_model is model or key.startswith(f"{model.base_model_prefix}.")


def _check_leftovers(name: str, model: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """Refuse weights of layers beyond the config's number of layers, and weights that the config's layers don't have."""
    prefix = f"{model.base_model_prefix}."
    modules = {path.removeprefix(prefix): module for path, module in model.named_modules()}
    own = {key.removeprefix(prefix) for key in model.state_dict()}
    patterns = {_NUMBER.sub("*", key) for key in own}
    extra = int(getattr(model.config, "num_nextn_predict_layers", 0) or 0)  # heads that predict further tokens
    for full in sorted(unexpected):
        key = full.removeprefix(prefix)
        path, _, leaf = key.rpartition(".")
        layers_beyond = _NUMBER.sub("*", key) in patterns and key not in own and _beyond(key, own) >= extra
        if layers_beyond or modules.get(path, model)._parameters.get(leaf, model) is None:
            reason = "fewer layers" if layers_beyond else "no such weight"
            raise InvalidInput(
                f"{name} holds {full}, but a model of its config has {reason}. The config belongs to another checkpoint; "
                "download both again."
            )


def _beyond(key: str, own: set[str]) -> int:
    """How far the first layer number of ``key`` that the model lacks lies beyond its last layer, counted from 0."""
    for number in _NUMBER.finditer(key):
        start = key[: number.start()]
        inside = [
            int(other[len(start) :].partition(".")[0]) for other in own if re.match(rf"{re.escape(start)}\d+\.", other)
        ]
        if inside and int(number[0]) > max(inside):
            return int(number[0]) - max(inside) - 1
    return 0


def check_weights(model: PreTrainedModel) -> None:
    """Refuse weights that are not in memory, or not finite."""
    check_in_memory(model)
    for name, parameter in model.named_parameters():
        if (
            not parameter.is_floating_point()
            or parameter.itemsize == 1
            or is_traceable_wrapper_subclass(parameter.data)
        ):
            continue  # quantized
        with torch.no_grad():  # also for parameters that were made in inference mode
            finite = parameter.isfinite()
        if not finite.all():
            count = int((~finite).sum())
            raise InvalidInput(
                f"The weights of {name} hold {count} values that are not finite (of {parameter.numel()}). The file is "
                "broken, or the training diverged. Download the checkpoint again."
            )


def check_in_memory(model: PreTrainedModel) -> None:
    """Refuse weights that are offloaded to a disk or to other memory."""
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise InvalidInput(f"The weights of {name} are not in memory. Load the model without offloading.")


def check_attention(model: PreTrainedModel) -> None:
    """Refuse a model without attention, judged by the paths and class names of its modules."""
    names = (f"{path} {type(module).__name__}" for path, module in model.named_modules())
    if not any(re.search("attention|attn", name, re.IGNORECASE) for name in names):
        raise UnsupportedArchitecture(
            f"{type(model).__name__} ({model.config.model_type}) has no attention module; normlens measures "
            "attention. Choose a Transformer."
        )


def check_tokenizer(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Refuse a tokenizer that can't read text, lengthens texts without bound, or has ids beyond the embedding table.

    The ids of its vocabulary and of its special tokens are checked. Ids of other added tokens may exceed the table: some
    checkpoints have a mask or image token that the model never reads.
    """
    embedding = _embedding(model)
    if tokenizer is None:
        return
    _check_reading(name, tokenizer)
    check_expansion(name, tokenizer)
    if embedding is None:
        return
    frame = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id]
    added = tokenizer.added_tokens_encoder  # a property that is rebuilt on every access
    plain = [number for token, number in tokenizer.get_vocab().items() if token not in added]
    largest = max(plain + [number for number in frame if number is not None])
    if largest >= embedding.num_embeddings:
        raise InvalidInput(
            f"The tokenizer of {name} has ids up to {largest}, but the model embeds only "
            f"{embedding.num_embeddings} (0 to {embedding.num_embeddings - 1}). Pass the model's own tokenizer."
        )


def _check_reading(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a template with special tokens that it doesn't define, on which the library would crash."""
    if not isinstance(tokenizer.model_max_length, int | float):
        raise InvalidInput(
            f"The tokenizer of {name} says model_max_length = {tokenizer.model_max_length!r}; expected a number. "
            "Set it to the length that the model takes."
        )
    template = getattr(getattr(tokenizer, "backend_tokenizer", None), "post_processor", None)
    waiting = [] if template is None else [json.loads(template.__getstate__())]
    while waiting:
        processor = waiting.pop()
        waiting += processor.get("processors", [])
        pieces = [*processor.get("single", []), *processor.get("pair", [])] if "special_tokens" in processor else []
        for token in [piece["SpecialToken"]["id"] for piece in pieces if "SpecialToken" in piece]:
            if token not in processor["special_tokens"]:
                raise InvalidInput(
                    f"The tokenizer of {name} puts {token!r} around each text without defining it. Download its files again."
                )


def _embedding(model: PreTrainedModel) -> torch.nn.Embedding | None:
    """The table of token embeddings, if the model has exactly one."""
    try:
        embedding = model.get_input_embeddings()
    except NotImplementedError:
        return None
    return embedding if isinstance(embedding, torch.nn.Embedding) else None


def require_plain_model(model: PreTrainedModel) -> None:
    """Refuse a model in training mode or with quantized weights.

    Raises
    ------
    InvalidInput
        If it is in training mode.
    UnsupportedArchitecture
        If its weights are quantized.
    """
    require_evaluation(model)
    refuse_quantized(model)


def require_evaluation(model: PreTrainedModel) -> None:
    """Refuse a model in training mode.

    Raises
    ------
    InvalidInput
        Naming the first module in training mode.
    """
    training = next((path for path, module in model.named_modules() if module.training), None)
    if training is not None:
        raise InvalidInput(
            f"{type(model).__name__} is in training mode ({training or 'the whole model'}): its dropout would change the "
            "numbers from run to run. Call model.eval() first."
        )
