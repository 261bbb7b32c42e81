"""Printable characters, and replacement of those that would be invisible or control the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable

_FORMATS = re.compile(
    "(?<=[^\\s\u200c\u200d])[\u200c\u200d]"  # a joiner after a letter, as in Persian, Hindi and emoji
    "|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"  # the flag of a region
    "|[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]"  # signs before or around numbers
)
"""Format characters (Unicode category Cf) that are part of correct spelling."""


def shown(text: str, replace: Callable[[str], str]) -> str:
    r"""Replace characters that are invisible or control the terminal; joiners inside words and emoji stay.

    Parameters
    ----------
    text
        Any text, such as a token.
    replace
        Takes a control character, a direction mark or a joiner that joins nothing, and returns its replacement.

    Examples
    --------
    >>> shown("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u202e\x1b", lambda character: "·")
    'می\u200cخواهم··'
    """
    if text.isprintable():
        return text
    kept = {index for match in _FORMATS.finditer(text) for index in range(*match.span())}
    return "".join(
        character if character.isprintable() or index in kept else replace(character)
        for index, character in enumerate(text)
    )
