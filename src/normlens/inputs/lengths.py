"""How many tokens a model takes, and texts that have more."""

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
        What it is called in the message; "target" for what a decoder reads.

    Raises
    ------
    InvalidInput
        With both lengths.
    """
    limit = _limit(loaded, decoder=side == "target")
    if len(tokens) > limit:
        raise InvalidInput(
            f"The {side} has {len(tokens)} tokens; this model takes at most {limit}. Cut the text, or split it into parts."
        )


def fitting(tokens: Tokens, loaded: LoadedModel, side: str, beside: int = 0) -> Int[np.ndarray, " kept"] | None:
    """Which tokens are kept of a sequence that the model has no positions for: the first, and the marks at its end.

    Parameters
    ----------
    tokens, loaded, side
        As in :func:`check_length`.
    beside
        How many tokens are still to be added.

    Returns
    -------
    array or None, ``(kept,)``
        Their places; None where nothing has to be cut.

    Raises
    ------
    InvalidInput
        If not one token that is no mark would be left.
    """
    limit = _limit(loaded, decoder=side == "target") - beside
    if len(tokens) <= limit:
        return None
    inside = np.flatnonzero(~tokens.special)
    marks = len(tokens) - 1 - int(inside[-1])
    if limit - marks <= inside[0]:
        raise InvalidInput(
            f"The {side} has {len(tokens)} tokens, and there is room for {max(limit, 0)}, which its marks alone fill; it "
            "can't be truncated."
        )
    return np.concatenate([np.arange(limit - marks), np.arange(len(tokens) - marks, len(tokens))])


def cut(tokens: Tokens, kept: Int[np.ndarray, " kept"]) -> Tokens:
    """The tokens at these places of the same text."""
    columns = [field.name for field in fields(tokens) if field.name != "text"]
    return replace(tokens, **{name: getattr(tokens, name)[kept] for name in columns})


def check_room(prompt: Tokens, loaded: LoadedModel, generate: int) -> None:
    """Refuse a continuation past the model's positions before anything runs.

    Raises
    ------
    InvalidInput
        With what would fit.
    """
    room = _limit(loaded) - len(prompt)
    if generate > room >= 0:
        advice = f"Ask for at most {room}, or cut the prompt." if room else "Cut the prompt."
        raise InvalidInput(
            f"The prompt's length in tokens is {len(prompt)}, with generate={generate} {len(prompt) + generate}; this model "
            f"takes at most {len(prompt) + room}. {advice}"
        )


def _limit(loaded: LoadedModel, *, decoder: bool = False) -> int:
    """How many tokens the model takes, by its positions.

    A tokenizer's figure says how long the texts were that a model learned from, not how many positions it has: T5 reads
    more than the 512 that its tokenizer names. It is used for models that transformers doesn't know and whose configs say
    nothing.
    """
    limit = position_limit(loaded.model, decoder=decoder)
    foreign = not any(part.__module__.startswith("transformers.models.") for part in type(loaded.model).__mro__)
    if limit < UNLIMITED or not foreign:
        return limit
    return min(limit, int(getattr(loaded.tokenizer, "model_max_length", None) or UNLIMITED))
