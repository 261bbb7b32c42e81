"""Texts as lists of words, as in treebanks: the words are the caller's, and each token belongs to one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.inputs.tokenization import encode_text
from normlens.inputs.tokens import Tokens
from normlens.words import SPECIAL, joined_words


def is_words(value: object) -> bool:
    """Whether this is one text as a list of words: ``{"words": ["Do", "n't"]}``."""
    return isinstance(value, Mapping) and set(value) == {"words"}


def is_list_of_strings(value: object) -> bool:
    """Whether this is a list of strings: by itself, several texts; within a list of inputs, the words of one text."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(word, str) for word in value)


def encode_words(tokenizer: PreTrainedTokenizerBase, words: Sequence[str], *, as_target: bool = False) -> Tokens:
    """Tokenize a text that is passed as a list of words, and number its tokens by these words.

    The model reads the words joined by spaces, so that each is split into tokens as in running text, however the tokenizer
    would treat a list of words.

    Parameters
    ----------
    tokenizer
        The model's tokenizer.
    words
        The words, in order. A word may contain spaces.
    as_target
        Whether they are in the target language of a translation model.

    Returns
    -------
    Tokens
        The tokens; their offsets refer to the joined text.

    Raises
    ------
    InvalidInput
        If there are no words, a token spans several, or a word has no token.
    """
    tokens = encode_text(tokenizer, joined_words(words), as_target=as_target)
    numbers = _by_offsets(tokens, words) if tokenizer.is_fast else _one_by_one(tokenizer, tokens, words, as_target)
    in_text = [start < stop for start, stop in tokens.offsets]
    special = _words_at(tokens.offsets[tokens.special & in_text, 0], words)  # words such as [MASK]
    missing = sorted(set(range(len(words))) - set(numbers.tolist()) - set(special.tolist()))
    if missing:
        raise InvalidInput(
            f"The tokenizer gives word {missing[0]}, counted from 0 ({words[missing[0]]!r}), no token. Remove the word."
        )
    return replace(tokens, words=numbers)


def _by_offsets(tokens: Tokens, words: Sequence[str]) -> Int[np.ndarray, " token"]:
    """The word that contains each token's characters; a space belongs to the word after it."""
    surfaces = [tokens.text[start:stop] for start, stop in tokens.offsets]
    leading = np.array([len(s) - len(s.lstrip()) for s in surfaces])
    trailing = np.array([len(s) - len(s.rstrip()) if s.strip() else 0 for s in surfaces])
    first = tokens.offsets[:, 0] + leading
    first += np.array([tokens.text.startswith(" ", position) for position in first])
    begins = _words_at(first, words)
    ends = np.maximum(_words_at(np.maximum(tokens.offsets[:, 1] - trailing - 1, 0), words), begins)
    for k in np.flatnonzero((begins != ends) & ~tokens.special)[:1]:
        raise InvalidInput(
            f"The token {str(tokens.labels[k])!r} spans {words[begins[k]]!r} and {words[ends[k]]!r}, two words of the list; "
            "expected each token within one word. Join these words, or pass the text itself."
        )
    return np.where(tokens.special, SPECIAL, begins)


def _words_at(positions: NDArray[np.int64], words: Sequence[str]) -> NDArray[np.int64]:
    """Numbers of the words at character positions of the joined text."""
    starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
    return np.searchsorted(starts, positions, side="right").astype(np.int64) - 1


def _one_by_one(
    tokenizer: PreTrainedTokenizerBase, tokens: Tokens, words: Sequence[str], as_target: bool
) -> Int[np.ndarray, " token"]:
    """The same for a tokenizer without offsets, if it splits each word by itself as in the text."""
    name = "text_target" if as_target else "text"
    pieces = [tokenizer(**{name: word}, add_special_tokens=False, verbose=False)["input_ids"] for word in words]
    numbers = np.full(len(tokens), SPECIAL, dtype=np.int64)
    ordinary = np.flatnonzero(~tokens.special)
    if [i for piece in pieces for i in piece] != tokens.ids[ordinary].tolist():
        raise InvalidInput(
            f"{type(tokenizer).__name__} returns no offsets, and it splits these words by themselves differently than in "
            "the text; expected a fast tokenizer. Pass the text itself."
        )
    numbers[ordinary] = np.repeat(np.arange(len(words)), [len(piece) for piece in pieces])
    return numbers
