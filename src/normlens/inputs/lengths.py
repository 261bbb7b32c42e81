"""The number of tokens that a model can read, and truncation of longer texts."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from jaxtyping import Int

from normlens.errors import InvalidInput
from normlens.inputs.tokens import Tokens
from normlens.loading.load import LoadedModel
from normlens.loading.positions import UNLIMITED, position_limit


def check_length(tokens: Tokens, loaded: LoadedModel, side: str) -> None:
    """Refuse a sequence that the model has no positions for.

    Parameters
    ----------
    tokens, loaded
        The sequence and the model.
    side
        The name of the sequence in the message; "target" for a decoder's input.

    Raises
    ------
    InvalidInput
        With both lengths.
    """
    limit = _limit(loaded, decoder=side == "target")
    if len(tokens) > limit:
        raise InvalidInput(
            f"The {side} has {len(tokens)} tokens; this model takes at most {limit}. Truncate the text, or split it."
        )


def fitting(tokens: Tokens, loaded: LoadedModel, side: str, generated: int = 0) -> Int[np.ndarray, " kept"] | None:
    """The tokens to keep of a sequence that is too long for the model: the first ones, and the special tokens at its end.

    Parameters
    ----------
    tokens, loaded, side
        As in :func:`check_length`.
    generated
        Number of tokens to be generated after it.

    Returns
    -------
    array or None, ``(kept,)``
        Their indices; None if all tokens fit.

    Raises
    ------
    InvalidInput
        If only special tokens would be left.
    """
    limit = _limit(loaded, decoder=side == "target") - generated
    if len(tokens) <= limit:
        return None
    inside = np.flatnonzero(~tokens.special)
    marks = len(tokens) - 1 - int(inside[-1])
    if limit - marks <= inside[0]:
        raise InvalidInput(
            f"The {side} has {len(tokens)} tokens, and the model can read {max(limit, 0)}, which its special tokens alone "
            "fill; it can't be truncated. Generate fewer tokens, or choose a model with more positions."
        )
    return np.concatenate([np.arange(limit - marks), np.arange(len(tokens) - marks, len(tokens))])


def cut(tokens: Tokens, kept: Int[np.ndarray, " kept"]) -> Tokens:
    """The tokens at these indices, with the same text."""
    columns = [field.name for field in fields(tokens) if field.name != "text"]
    return replace(tokens, **{name: getattr(tokens, name)[kept] for name in columns})


def check_room(prompt: Tokens, loaded: LoadedModel, generate: int) -> None:
    """Refuse to generate more tokens than the model has positions for.

    Raises
    ------
    InvalidInput
        With the number that would fit.
    """
    room = _limit(loaded) - len(prompt)
    if generate > room >= 0:
        advice = f"Generate at most {room}, or shorten the prompt." if room else "Shorten the prompt."
        raise InvalidInput(
            f"The prompt's length in tokens is {len(prompt)}, with generate={generate} {len(prompt) + generate}; this model "
            f"takes at most {len(prompt) + room}. {advice}"
        )


def _limit(loaded: LoadedModel, *, decoder: bool = False) -> int:
    """The number of tokens that the model can read, by its positions.

    A tokenizer's ``model_max_length`` is the length of the training texts, not the number of positions: T5 reads more than
    the 512 tokens that its tokenizer names. It is used only for models outside transformers whose configs name no limit.
    """
    limit = position_limit(loaded.model, decoder=decoder)
    is_foreign = not any(base.__module__.startswith("transformers.models.") for base in type(loaded.model).__mro__)
    if limit < UNLIMITED or not is_foreign:
        return limit
    return min(limit, int(getattr(loaded.tokenizer, "model_max_length", None) or UNLIMITED))
