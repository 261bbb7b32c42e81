"""Sentences of whitespace-separated words as a translation model's tokens, and the word that each token belongs to.

Word numbers in alignments count whitespace-separated words, so only white space may decide where a word begins. Tokenizers
with offsets show which word a token is in; the others, which mark the beginning of a word in its first subword
(SentencePiece), receive the words one at a time, which yields the same subwords without guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from normlens.bitext.raw_text import split_words
from normlens.errors import InvalidInput, NormLensError
from normlens.inputs.tokenization import encode_text
from normlens.loading.tokenizer_failures import library_explained

NO_WORD = -1
"""The word number of tokens outside the sentence's words: the end of the sentence, a language code, a prefix."""

_WORDS_CACHED = 200_000  # words whose subwords are kept
_PROBE = "a b"


@dataclass(frozen=True)
class Subwords:
    """One sentence as a model reads it.

    Attributes
    ----------
    ids
        Token ids, special tokens included, ``(token,)``.
    words
        Word number of each token, from 0; -1 for tokens outside all words, ``(token,)``.
    number
        The number of words in the sentence. A word that the tokenizer drops has no token.
    """

    ids: Int[np.ndarray, " token"]
    words: Int[np.ndarray, " token"]
    number: int


class SubwordTokenizer:
    """Tokenizes the sentences of one side of a translation model, word by word.

    Parameters
    ----------
    tokenizer
        The model's.
    as_target
        Whether the decoder reads these sentences.
    prefix
        Words put before each sentence, such as T5's "translate German to English:".
    lowercase
        Whether to lowercase the words for the model.

    Raises
    ------
    InvalidInput
        If the tokenizer can't read this side, for example because it needs a language.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, as_target: bool = False, prefix: str = "", lowercase: bool = False
    ) -> None:
        self._tokenizer, self._argument = tokenizer, "text_target" if as_target else "text"
        self._as_target, self._lowercase = as_target, lowercase
        self._prefix, self._name = split_words(prefix), str(tokenizer.name_or_path or type(tokenizer).__name__)
        self._of_word = lru_cache(_WORDS_CACHED)(self._ids_of_word)
        try:
            with library_explained(self._name):
                probe, bare = self._ids(_PROBE), self._ids(_PROBE, add_special_tokens=False)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InvalidInput(
                f"{type(tokenizer).__name__} can't read {'target' if as_target else 'source'} sentences "
                f"({type(error).__name__}: {error}). A multilingual model needs both languages: pass "
                "source_language and target_language, spelled as its tokenizer spells them."
            ) from error
        self._word_by_word = not tokenizer.is_fast and bare == [
            i for w in split_words(_PROBE) for i in self._of_word(w)
        ]
        start = next((k for k in range(len(probe)) if probe[k : k + len(bare)] == bare), 0)
        self._frame = probe[:start], probe[start + len(bare) :]

    def tokenize(self, words: Sequence[str]) -> Subwords:
        """The tokens of a sentence, and the word of each.

        Parameters
        ----------
        words
            As :func:`split_words` returns them.

        Raises
        ------
        InvalidInput
            If there are no words, or the tokenizer drops all of them.
        """
        if not words:
            raise InvalidInput("the sentence is empty")
        read = [*self._prefix, *([word.lower() for word in words] if self._lowercase else words)]
        try:
            with library_explained(self._name):
                ids, numbers = self._one_by_one(read) if self._word_by_word else self._by_offsets(read)
        except NormLensError as error:
            raise InvalidInput(f"the tokenizer can't read it: {error}") from error
        numbers = np.where(numbers < len(self._prefix), NO_WORD, numbers - len(self._prefix))
        if bool((numbers == NO_WORD).all()):
            raise InvalidInput("the tokenizer drops all of its words")
        return Subwords(ids, numbers, len(words))

    def _one_by_one(self, words: Sequence[str]) -> tuple[Int[np.ndarray, " token"], Int[np.ndarray, " token"]]:
        before, after = self._frame
        subwords = [self._of_word(word) for word in words]
        ids = [*before, *(i for of_word in subwords for i in of_word), *after]
        numbers = np.repeat(np.arange(len(words)), [len(of_word) for of_word in subwords])
        return np.asarray(ids, dtype=np.int64), np.pad(numbers, (len(before), len(after)), constant_values=NO_WORD)

    def _by_offsets(self, words: Sequence[str]) -> tuple[Int[np.ndarray, " token"], Int[np.ndarray, " token"]]:
        """The word in which each token's characters begin; a space belongs to the word after it."""
        text = " ".join(words)
        ids, special, offsets = self._encoded(text)
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
        beginnings = [start + text.startswith(" ", start) for start, _ in offsets]
        numbers = np.searchsorted(starts, beginnings, side="right") - 1
        return ids, np.where(special, NO_WORD, np.minimum(numbers, len(words) - 1))

    def _encoded(self, text: str) -> tuple[Any, Any, Any]:
        """Token ids, flags of special tokens, and offsets."""
        if not self._tokenizer.is_fast:
            tokens = encode_text(self._tokenizer, text, as_target=self._as_target)
            return tokens.ids, tokens.special, tokens.offsets
        encoded = self._tokenizer(
            **{self._argument: text}, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
        )
        special = np.asarray(encoded["special_tokens_mask"], dtype=bool)
        return np.asarray(encoded["input_ids"], dtype=np.int64), special, encoded["offset_mapping"]

    def _ids(self, text: str, **options: Any) -> list[int]:
        ids: list[int] = self._tokenizer(**{self._argument: text}, verbose=False, **options)["input_ids"]
        return ids

    def _ids_of_word(self, word: str) -> tuple[int, ...]:
        return tuple(self._ids(word, add_special_tokens=False))
