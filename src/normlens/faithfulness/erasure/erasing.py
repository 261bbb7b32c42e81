"""A text with some of its units erased: their tokens replaced, or deleted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput

ERASURES = ("mask", "delete")
"""Replace every erased token by an uninformative one, or delete it, which makes the text shorter."""

DECILES = tuple(k / 10 for k in range(1, 11))
"""Shares of the units that AOPC and accuracy erase, the most important first."""

ERASER_BINS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of the units that comprehensiveness erases and sufficiency keeps (DeYoung et al. 2020)."""


@dataclass(frozen=True)
class Replacement:
    """The token that replaces erased ones.

    Attributes
    ----------
    token
        As the tokenizer writes it.
    id
        Its number.
    """

    token: str
    id: int


def replacement_of(tokenizer: PreTrainedTokenizerBase | None, token: str | None = None) -> Replacement:
    """Choose the token that replaces erased ones: the mask token, else the unknown one, else the padding.

    Parameters
    ----------
    tokenizer
        The model's.
    token
        Another token of its vocabulary; or "mask", "unk" or "pad".

    Raises
    ------
    InvalidInput
        If the tokenizer has no such token.
    """
    if tokenizer is None:
        raise InvalidInput("The model was loaded without a tokenizer; expected one. Load it as (model, tokenizer).")
    named = {kind: getattr(tokenizer, f"{kind}_token", None) for kind in ("mask", "unk", "pad")}
    chosen = named.get(token, token) if token is not None else next(filter(None, named.values()), None)
    vocabulary = tokenizer.get_vocab()
    if chosen is None or chosen not in vocabulary:
        present = ", ".join(f"{kind} ({name})" for kind, name in named.items() if name)
        raise InvalidInput(
            f"The tokenizer has no token {token or 'for mask, unk or pad'!r} to replace erased ones. It has "
            f"{present or 'none of mask, unk and pad'}; pass one as replacement=, or erase by deletion only."
        )
    return Replacement(chosen, int(vocabulary[chosen]))


def erase(
    ids: Int[np.ndarray, " token"], erased: Bool[np.ndarray, " token"], how: str, replacement: int
) -> Int[np.ndarray, " rest"]:
    """Erase tokens.

    Parameters
    ----------
    ids
        Token ids of the whole text.
    erased
        True for the tokens to erase, ``(token,)``.
    how
        One of :data:`ERASURES`.
    replacement
        Id that replaces erased tokens. Deletion uses it only if no token is left: the text is then this token alone.

    Raises
    ------
    InvalidInput
        If there is no such erasure.

    Examples
    --------
    >>> erase(np.array([5, 6, 7]), np.array([False, True, False]), "mask", 103).tolist()
    [5, 103, 7]
    >>> erase(np.array([5, 6, 7]), np.array([False, True, False]), "delete", 103).tolist()
    [5, 7]
    """
    if how == "mask":
        return np.where(erased, replacement, ids)
    if how == "delete":
        return ids[~erased] if not erased.all() else np.array([replacement])
    raise InvalidInput(f"There is no erasure {how!r}; expected one of {', '.join(ERASURES)}.")


def counts_of_shares(shares: Sequence[float], units: int) -> Int[np.ndarray, " step"]:
    """Numbers of units for shares of a text, rounded up, so that they are at least one.

    Parameters
    ----------
    shares
        Above 0, at most 1.
    units
        Number of units in the text.

    Examples
    --------
    >>> counts_of_shares([0.01, 0.1, 0.5, 1.0], 11).tolist()
    [1, 2, 6, 11]
    """
    return np.array([min(units, math.ceil(share * units - 1e-9)) for share in shares], dtype=np.int64)


def order_of(scores: Float[np.ndarray, " unit"], generator: np.random.Generator) -> Int[np.ndarray, " unit"]:
    """Units from the highest score to the lowest; equal scores in random order, so that no position is favored.

    Parameters
    ----------
    scores
        One for each unit.
    generator
        Source of random numbers, to break ties.
    """
    return np.lexsort((generator.random(len(scores)), -scores))
