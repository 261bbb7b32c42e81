"""Which characters may be shown as they are, and which would be invisible, or steer a screen."""

from __future__ import annotations

import re
from collections.abc import Callable

_FORMATS = re.compile(
    "(?<=[^\\s\u200c\u200d])[\u200c\u200d]"  # a joiner behind a letter, as in Persian, Hindi and emoji
    "|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"  # the flag of a region
    "|[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]"  # signs that stand before or around numbers
)
"""Format characters (Unicode category Cf) that belong to how a text is written."""


def shown(text: str, instead: Callable[[str], str]) -> str:
    r"""Replace what can't be seen, or would steer a screen; joiners inside words and emoji stay.

    Parameters
    ----------
    text
        Anything, such as a token.
    instead
        What stands for a character: controls, changes of direction, joiners that join nothing.

    Examples
    --------
    >>> shown("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\u202e\x1b", lambda letter: "·")
    'می\u200cخواهم··'
    """
    if text.isprintable():
        return text
    kept = {place for found in _FORMATS.finditer(text) for place in range(*found.span())}
    return "".join(
        letter if letter.isprintable() or place in kept else instead(letter) for place, letter in enumerate(text)
    )
