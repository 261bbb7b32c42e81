"""A text cut into passages of equal length, as a model reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from normlens.errors import InvalidInput
from normlens.inputs.tokenization import encode_text
from normlens.lens import Lens
from normlens.loading.positions import position_limit

_TOKENS = 256  # of a passage, by default


@dataclass(frozen=True, eq=False)
class Passages:
    """Passages of one length.

    Attributes
    ----------
    ids
        Token ids, each passage with the special tokens that the tokenizer puts around a text, ``(passage, token)``.
    of
        Number of passages in the text; ``ids`` may have fewer.
    """

    ids: Int[Tensor, "passage token"]
    of: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Tokens of each passage."""
        return int(self.ids.shape[1])


def cut_into_passages(lens: Lens, text: str, tokens: int | None = None, limit: int | None = None) -> Passages:
    """Cut a text into passages; the remainder is dropped, unless the text is no longer than one passage.

    Parameters
    ----------
    lens
        A lens on the model that reads them, with its tokenizer.
    text
        The whole text.
    tokens
        Tokens of each passage, special tokens among them; None: 256, or as many as the model has positions for.
    limit
        Largest number of passages to keep, spread evenly over the text.

    Raises
    ------
    InvalidInput
        If there is no tokenizer, the text is empty, the model has fewer positions, or there is no room for two tokens
        beside the special ones, or the text has a single one.
    """
    if lens.tokenizer is None:
        raise InvalidInput(
            f"{lens.name} has no tokenizer; expected one, to read a text. Load the model as (model, tokenizer)."
        )
    positions = position_limit(lens.model)
    tokens = min(_TOKENS, positions) if tokens is None else tokens
    if tokens > positions:
        raise InvalidInput(f"tokens is {tokens}; expected at most {positions}, the number of positions of {lens.name}.")
    encoded = encode_text(lens.tokenizer, text)
    inside = np.flatnonzero(~encoded.special)
    if not len(inside):
        raise InvalidInput(f"The text has only special tokens: {text[:80]!r}. Expected at least one word.")
    before, after = encoded.ids[: inside[0]], encoded.ids[inside[-1] + 1 :]
    room = tokens - len(before) - len(after)
    body = encoded.ids[inside[0] : inside[-1] + 1]
    if limit is not None and limit < 1:
        raise InvalidInput(f"limit is {limit}; expected at least one passage.")
    if room < 2:
        special = len(before) + len(after)
        raise InvalidInput(
            f"tokens is {tokens}; expected at least {special + 2}: two tokens beside {special} special ones. Pass "
            "more tokens."
        )
    if len(body) < 2:
        raise InvalidInput(
            f"The text has a single token, {text.strip()[:80]!r}; expected at least two, to predict one from the other. "
            "Use a longer text."
        )
    room = min(room, len(body))
    whole = len(body) // room
    count = whole if limit is None else min(limit, whole)
    rows = [body[(k * whole // count) * room :][:room] for k in range(count)]
    return Passages(torch.from_numpy(np.stack([np.concatenate([before, row, after]) for row in rows])), whole)
