"""Texts whose words the caller gives, as treebanks have them: tokens belong to these words and to no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from normlens.errors import InvalidInput
from normlens.inputs.tokens import Tokens, encode_text
from normlens.words import SPECIAL, joined_words


def is_words(given: object) -> bool:
    """Whether this is one text as its words: ``{"words": ["Do", "n't"]}``."""
    return isinstance(given, Mapping) and set(given) == {"words"}


def is_list_of_strings(given: object) -> bool:
    """Whether this is a list of strings: several texts by itself, the words of one text inside a list of inputs."""
    return isinstance(given, (list, tuple)) and bool(given) and all(isinstance(word, str) for word in given)


def encode_words(tokenizer: PreTrainedTokenizerBase, words: Sequence[str], *, as_target: bool = False) -> Tokens:
    """Tokenize a text that is given as its words; word numbers are the caller's.

    The model reads the words with spaces between them, so that a word is cut as it is inside a text, whatever a tokenizer
    does with the words of a list.

    Parameters
    ----------
    tokenizer
        The model's.
    words
        In their order. A word may have spaces inside.
    as_target
        Whether they are in the language of a translation model's target.

    Returns
    -------
    Tokens
        Offsets are counted in the joined text.

    Raises
    ------
    InvalidInput
        If there is no word, a token covers several, or a word has no token.
    """
    tokens = encode_text(tokenizer, joined_words(words), as_target=as_target)
    numbers = _by_offsets(tokens, words) if tokenizer.is_fast else _one_by_one(tokenizer, tokens, words, as_target)
    written = [start < stop for start, stop in tokens.offsets]
    marks = _words_at(
        tokens.offsets[tokens.special & written, 0], words
    )  # a word may be a special token, such as [MASK]
    missing = sorted(set(range(len(words))) - set(numbers.tolist()) - set(marks.tolist()))
    if missing:
        raise InvalidInput(
            f"The tokenizer keeps nothing of word {missing[0]}, counted from 0 ({words[missing[0]]!r}). Leave it out."
        )
    return replace(tokens, words=numbers)


def _by_offsets(tokens: Tokens, words: Sequence[str]) -> Int[np.ndarray, " token"]:
    """The word in which each token's characters lie; a space belongs to the word behind it."""
    surfaces = [tokens.text[start:stop] for start, stop in tokens.offsets]
    blank = np.array([len(s) - len(s.lstrip()) for s in surfaces])
    behind = np.array([len(s) - len(s.rstrip()) if s.strip() else 0 for s in surfaces])
    first = tokens.offsets[:, 0] + blank
    first += np.array([tokens.text.startswith(" ", place) for place in first])
    begins = _words_at(first, words)
    ends = np.maximum(_words_at(np.maximum(tokens.offsets[:, 1] - behind - 1, 0), words), begins)
    for k in np.flatnonzero((begins != ends) & ~tokens.special)[:1]:
        raise InvalidInput(
            f"The token {str(tokens.labels[k])!r} covers {words[begins[k]]!r} and {words[ends[k]]!r}, two of the words that "
            "were given; expected tokens that lie in one word each. Join these words, or give the text without words."
        )
    return np.where(tokens.special, SPECIAL, begins)


def _words_at(places: NDArray[np.int64], words: Sequence[str]) -> NDArray[np.int64]:
    """Numbers of the words at places of the joined text."""
    starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
    return np.searchsorted(starts, places, side="right").astype(np.int64) - 1


def _one_by_one(
    tokenizer: PreTrainedTokenizerBase, tokens: Tokens, words: Sequence[str], as_target: bool
) -> Int[np.ndarray, " token"]:
    """The same for a tokenizer without offsets, if it cuts each word alone as inside the text."""
    name = "text_target" if as_target else "text"
    pieces = [tokenizer(**{name: word}, add_special_tokens=False, verbose=False)["input_ids"] for word in words]
    numbers = np.full(len(tokens), SPECIAL, dtype=np.int64)
    ordinary = np.flatnonzero(~tokens.special)
    if [i for piece in pieces for i in piece] != tokens.ids[ordinary].tolist():
        raise InvalidInput(
            f"{type(tokenizer).__name__} doesn't say where its tokens lie, and cuts these words otherwise when they stand "
            "alone; expected a fast tokenizer. Give the text without words."
        )
    numbers[ordinary] = np.repeat(np.arange(len(words)), [len(piece) for piece in pieces])
    return numbers
