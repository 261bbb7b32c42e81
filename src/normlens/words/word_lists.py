"""Lists of words, joined to one text."""

from __future__ import annotations

from collections.abc import Sequence

from normlens.errors import InvalidInput


def joined_words(words: Sequence[str]) -> str:
    """The text that a model reads: the words with a space between them.

    Raises
    ------
    InvalidInput
        If the list is empty, or one of its words is empty or has spaces around it.
    """
    if not isinstance(words, (list, tuple)) or not words:
        raise InvalidInput(f"words is {words!r:.60}; expected a list of words, at least one.")
    for number, word in enumerate(words):
        if not isinstance(word, str) or not word.strip() or word != word.strip():
            raise InvalidInput(
                f"Word {number}, counted from 0, is {word!r:.60}; expected a string without spaces around it. Remove empty "
                "words."
            )
    return " ".join(words)
