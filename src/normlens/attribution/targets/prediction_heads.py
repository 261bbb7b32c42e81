"""The output of a model: the kind of its head, where a target is in the output, and the target's name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto import modeling_auto

from normlens.attribution.subject import Subject
from normlens.attribution.targets.classes import class_names, class_number
from normlens.errors import InvalidInput
from normlens.inputs.tokens import Tokens

Head = Literal["classes", "tags", "answer", "masked", "next", "none"]
_HEADS: dict[str, Head] = {
    "SEQUENCE_CLASSIFICATION": "classes", "IMAGE_CLASSIFICATION": "classes", "TOKEN_CLASSIFICATION": "tags",
    "QUESTION_ANSWERING": "answer", "SEQ_TO_SEQ_CAUSAL_LM": "next", "MASKED_LM": "masked", "CAUSAL_LM": "next",
}  # fmt: skip
"""Kinds of heads by transformers' tables of model classes, in the order of precedence."""


@dataclass(frozen=True)
class Place:
    """Where numbers are read in one row of the output.

    Attributes
    ----------
    field
        Name of the output's tensor.
    index
        Index into one row of it; it selects a vector with one entry per class, token or position.
    described
        The place in words, to follow the target's name; empty if there is only one.
    """

    field: str
    index: tuple[int | slice, ...]
    described: str = ""

    def read(self, output: Any, row: int) -> Tensor:
        """The numbers there, ``(entry,)``."""
        if not isinstance(output, dict) or self.field not in output:
            fields = ", ".join(output) if isinstance(output, dict) else f"a {type(output).__name__} without names"
            raise InvalidInput(
                f"The model's output has no {self.field} to read a target from; it has {fields}. Pass a function of the "
                "output as the target."
            )
        entries: Tensor = output[self.field][(row, *self.index)]
        return entries


def head_of(model: PreTrainedModel) -> Head:
    """The kind of a model's head; "none" for a plain model."""
    name = type(model).__name__
    listed = head_of_class(name, bool(model.config.is_encoder_decoder))
    if listed is not None:
        return listed
    if name in _pretraining():
        return "masked" if model.get_output_embeddings() is not None else "none"
    return "next" if model.can_generate() or model.get_output_embeddings() is not None else "none"


@cache
def head_of_class(name: str, is_encoder_decoder: bool) -> Head | None:
    """The kind of head that transformers' tables list for a class of models; None if they don't list it."""
    for table, head in _HEADS.items():
        if is_encoder_decoder and head == "masked":
            continue  # an encoder-decoder may also be listed as a masked language model
        if name in _flat(getattr(modeling_auto, f"MODEL_FOR_{table}_MAPPING_NAMES").values()):
            return head
    return None


def place_of(subject: Subject, head: Head, text: int, position: int | None, name: object) -> Place:
    """Where a text's target is read.

    Parameters
    ----------
    subject, text
        The model, and which text of the batch.
    head
        The model's head; "none" for its hidden states.
    position
        As the caller passed it.
    name
        The target, or the first of a pair (the start and the end of an answer are at two places).

    Raises
    ------
    InvalidInput
        If there is no such position, or it must be named because several are possible.
    """
    if head == "classes":
        check_whole(type(subject.model).__name__, position)
        return Place("logits", ())
    tokens = subject.read(text)
    if tokens is None:
        raise InvalidInput(
            f"{type(subject.model).__name__} reads no text, so its output has no token positions. Pass a function of the "
            "output."
        )
    if head == "answer":
        return _answer(tokens, name)
    at = _default_position(subject, head, tokens) if position is None else _checked(position, tokens)
    return Place(_field(subject, head), (at,), f" at position {at} ({str(tokens.labels[at])!r})")


def _field(subject: Subject, head: Head) -> str:
    """The tensor of the output with something for every position."""
    if head == "none":
        return "last_hidden_state"
    return "prediction_logits" if type(subject.model).__name__ in _pretraining() else "logits"


def check_whole(name: str, position: int | None) -> None:
    """Refuse a position for a model that classifies the whole text; ``name`` is its class."""
    if position is not None:
        raise InvalidInput(f"{name} classifies the whole text, but position={position} was passed. Omit it.")


def index_of(subject: Subject, head: Head, text: int, place: Place, target: object, position: int | None) -> int:
    """The index of a target at a place: a class, a token, or the position of an answer's start or end.

    Raises
    ------
    InvalidInput
        If there is none of that name or number; the message lists those that exist.
    """
    if head == "answer":
        tokens = subject.read(text)
        assert tokens is not None
        return _best(subject, text, place) if position is None else _checked(position, tokens)
    if isinstance(target, bool) or not isinstance(target, (int, str)):
        raise InvalidInput(
            f"target={target!r}; expected {_expected(head)}, a pair of them, or a function of the model's output."
        )
    if head in ("classes", "tags"):
        return class_number(subject.model.config, target, type(subject.model).__name__)
    return _token(subject, target)


def name_of(subject: Subject, head: Head, text: int, index: int) -> str:
    """The name of an entry in words."""
    if head in ("classes", "tags"):
        names = class_names(subject.model.config)
        return names[index] if index < len(names) else str(index)
    if head == "answer":
        tokens = subject.read(text)
        return f"position {index}" + ("" if tokens is None else f" ({str(tokens.labels[index])!r})")
    return str(index) if subject.tokenizer is None else repr(subject.tokenizer.decode([index]))


def predicted(subject: Subject, text: int, place: Place) -> int:
    """The entry with the largest number: the model's own prediction."""
    return _best(subject, text, place)


def _best(subject: Subject, text: int, place: Place) -> int:
    return int(place.read(subject.output, text).argmax())


def _answer(tokens: Tokens, name: object) -> Place:
    if name not in ("start", "end"):
        raise InvalidInput(
            f"target={name!r}; expected 'start' or 'end' of the answer, with position= (default: where the model "
            "itself answers)."
        )
    return Place(f"{name}_logits", (slice(0, len(tokens)),))


def _default_position(subject: Subject, head: Head, tokens: Tokens) -> int:
    if head == "next":
        return len(tokens) - 1
    mask = None if subject.tokenizer is None else subject.tokenizer.mask_token_id
    if head == "masked" and mask is not None:
        (masks,) = np.nonzero(tokens.ids == mask)
        if len(masks) == 1:
            return int(masks[0])
        assert subject.tokenizer is not None
        raise InvalidInput(
            f"The text holds {len(masks)} tokens {subject.tokenizer.mask_token}; expected one, where the target is read. "
            "Pass position=, or use a method without a target, such as norm_rollout."
        )
    raise InvalidInput(
        f"{type(subject.model).__name__} has an output at every position; expected position=, from 0 to "
        f"{len(tokens) - 1} for this text (negative numbers count from its end)."
    )


def _checked(position: int, tokens: Tokens) -> int:
    if isinstance(position, bool) or not isinstance(position, int):
        raise InvalidInput(f"position is {position!r}; expected an integer.")
    if not -len(tokens) <= position < len(tokens):
        raise InvalidInput(
            f"position={position}; this text has {len(tokens)} tokens, 0 to {len(tokens) - 1} (negative numbers count from "
            "its end)."
        )
    return int(position) % len(tokens)


def _token(subject: Subject, target: Any) -> int:
    embeddings = subject.model.get_output_embeddings()
    config = subject.model.config.get_text_config()
    count = int(getattr(embeddings, "out_features", 0) or config.vocab_size)
    if isinstance(target, str):
        number = token_id(subject.tokenizer, target, as_target=subject.is_encoder_decoder)
        if number < count:
            return number
        raise InvalidInput(
            f"The token {target!r} has id {number}, but the model has logits for {count} tokens only. Name another token."
        )
    if not 0 <= target < count:
        raise InvalidInput(f"target={target}; expected a token, or an id from 0 to {count - 1}.")
    return int(target)


def token_id(tokenizer: PreTrainedTokenizerBase | None, text: str, *, as_target: bool = False) -> int:
    """The id of a string that is one token; special tokens are not added.

    Parameters
    ----------
    tokenizer
        The model's.
    text
        As it occurs in a text, with the space before it if the tokenizer includes that; or the tokenizer's own spelling,
        such as ``"##ness"``.
    as_target
        Whether it belongs to the target language of a translation model.

    Raises
    ------
    InvalidInput
        If it isn't a single token; the message lists its pieces.
    """
    if tokenizer is None:
        raise InvalidInput(
            f"The model was loaded without a tokenizer, so it can't look up the token {text!r}. Pass the token's id."
        )
    side = {"text_target": text} if as_target else {"text": text}
    ids = list(tokenizer(**side, add_special_tokens=False, verbose=False)["input_ids"])
    if len(ids) == 1 and (ids[0] != tokenizer.unk_token_id or text == tokenizer.unk_token):
        return int(ids[0])
    if text in tokenizer.get_vocab():
        return int(tokenizer.convert_tokens_to_ids(text))
    pieces = tokenizer.convert_ids_to_tokens(ids)
    raise InvalidInput(
        f"{text!r} is not one token of this model: it splits into {pieces}. Name one token (with the space before it, as in "
        "' Berlin', if the tokenizer includes that), or its id."
    )


def _expected(head: Head) -> str:
    if head in ("classes", "tags"):
        return "a class (its name or number)"
    return "a token (a string, or its id)"


@cache
def _pretraining() -> set[str]:
    """Classes of models with their pretraining heads, one of which predicts masked tokens."""
    whole = modeling_auto.MODEL_FOR_PRETRAINING_MAPPING_NAMES
    return {name for name in _flat(whole.values()) if name.endswith("ForPreTraining")}


def _flat(values: Any) -> set[str]:
    return {name for value in values for name in (value if isinstance(value, (list, tuple)) else [value])}
