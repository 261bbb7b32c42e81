"""A text cut into passages of equal length, as a model reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from normlens.encoding import encode_text
from normlens.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Passages:
    """Passages of one length.

    Attributes
    ----------
    ids
        Token ids, each passage with the special tokens that the tokenizer puts around a text, ``(passage, token)``.
    of
        How many whole passages the text has; ``ids`` may hold fewer.
    """

    ids: Int[Tensor, "passage token"]
    of: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Tokens of each passage."""
        return int(self.ids.shape[1])


def cut_into_passages(
    tokenizer: PreTrainedTokenizerBase, text: str, tokens: int, limit: int | None = None
) -> Passages:
    """Cut a text into passages; what is left at its end is dropped, unless the text is no longer than one passage.

    Parameters
    ----------
    tokenizer
        The model's.
    text
        The whole text.
    tokens
        Tokens of each passage, special tokens among them.
    limit
        How many passages to keep at most, spread evenly over the text.

    Raises
    ------
    InvalidInput
        If the text is empty, or there is no room for a token beside the special ones.
    """
    encoded = encode_text(tokenizer, text)
    inside = np.flatnonzero(~encoded.special)
    if not len(inside):
        raise InvalidInput(f"The text holds nothing but special tokens: {text[:80]!r}. Expected at least one word.")
    before, after = encoded.ids[: inside[0]], encoded.ids[inside[-1] + 1 :]
    room = tokens - len(before) - len(after)
    if room < 1 or (limit is not None and limit < 1):
        raise InvalidInput(
            f"Passages of {tokens} tokens, at most {limit} of them; expected at least one passage, and room for a token "
            f"beside {len(before) + len(after)} special ones."
        )
    body = encoded.ids[inside[0] : inside[-1] + 1]
    room = min(room, len(body))
    whole = len(body) // room
    count = whole if limit is None else min(limit, whole)
    rows = [body[(k * whole // count) * room :][:room] for k in range(count)]
    return Passages(torch.from_numpy(np.stack([np.concatenate([before, row, after]) for row in rows])), whole)
