"""Offsets for a tokenizer that returns none: each piece is searched in the text, after the piece before it."""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

_FARTHEST = 40  # characters between two pieces; a match farther away is taken for a different occurrence


def searched_offsets(
    tokenizer: PreTrainedTokenizerBase, ids: NDArray[np.int64], special: NDArray[np.bool_], text: str
) -> NDArray[np.int64]:
    """The character span of each token, ``(token, 2)``.

    Case, and compatible forms of a character in the sense of Unicode ("…" and "..."), are ignored. An unknown token spans
    the text between its neighbors.
    """
    offsets = np.zeros((len(ids), 2), dtype=np.int64)
    folded_characters = [_folded(character) for character in text]
    folded = "".join(folded_characters)
    positions = [
        k for k, characters in enumerate(folded_characters) for _ in characters
    ]  # of folded characters in text
    reached, unknown = 0, []
    for k, token in enumerate(ids.tolist()):
        if special[k]:
            continue
        surface = _folded(str(tokenizer.convert_tokens_to_string([tokenizer.convert_ids_to_tokens(token)]))).strip()
        start = -1 if token == tokenizer.unk_token_id or not surface else folded.find(surface, reached)
        here = positions[reached] if reached < len(positions) else len(text)
        offsets[k] = here, here
        if token == tokenizer.unk_token_id:
            unknown.append(k)
        if 0 <= start <= reached + _FARTHEST:
            reached = start + len(surface)
            offsets[k] = positions[start], positions[reached - 1] + 1
    for k in unknown:
        end = next((start for start, stop in offsets[k + 1 :] if stop > start), len(text))
        between = text[offsets[k, 0] : end]
        start = offsets[k, 0] + len(between) - len(between.lstrip())
        offsets[k] = start, max(start, start + len(between.strip()))
    return offsets


def _folded(text: str) -> str:
    """A text without differences of case and compatible form."""
    return unicodedata.normalize("NFKC", text).casefold()
