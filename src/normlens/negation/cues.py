"""Cues of negation in a text: the words of a list, or a word or an affix that the caller names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from normlens.errors import InvalidInput

CUES = (
    "not", "n't", "no", "never", "none", "nothing", "nobody", "nowhere", "neither", "nor", "without", "hardly", "scarcely",
    "barely",
)  # fmt: skip
"""The default cues; "not" is also one in "cannot". Affixes such as "un" must be named."""

_CURLY = "\N{RIGHT SINGLE QUOTATION MARK}"
_LISTED = re.compile(
    rf"(?<![^\W_])(?:can(?=not\b))?(?P<cue>{'|'.join(cue for cue in CUES if cue != 'n' + chr(39) + 't')})\b"
    rf"|(?P<short>n['{_CURLY}]t)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Cue:
    """A cue in a text.

    Attributes
    ----------
    text
        The cue as written in the text.
    start, end
        Its first character, and the one after its last.
    """

    text: str
    start: int
    end: int


def find_cues(text: str, cue: str | None = None) -> list[Cue]:
    """Find the cues of negation in a text.

    Parameters
    ----------
    text
        The text.
    cue
        A word, several words, or an affix to look for, in upper or lower case. Whole words win; without one, words that
        begin or end with it count. Default: the words of `CUES`.

    Returns
    -------
    list of Cue
        In the order of the text.

    Raises
    ------
    InvalidInput
        If there is none.

    Examples
    --------
    >>> [cue.text for cue in find_cues("It isn't bad, and I cannot complain.")]
    ["n't", 'not']
    >>> find_cues("an unhappy end", "un")
    [Cue(text='un', start=3, end=5)]
    """
    if cue is not None:
        return _named(text, cue)
    listed = [(match, "cue" if match["cue"] else "short") for match in _LISTED.finditer(text)]
    if not listed:
        raise InvalidInput(
            f"There is no cue of negation in {_quoted(text)}; expected one of {', '.join(CUES)}. Name another word or an "
            "affix as the cue."
        )
    return [Cue(match[name], *match.span(name)) for match, name in listed]


def _named(text: str, cue: str) -> list[Cue]:
    """Occurrences of a cue as whole words; if there are none, as the beginning or the end of a word."""
    words = r"\s+".join(map(re.escape, cue.split()))
    if not words:
        raise InvalidInput("The cue is empty; expected a word, several words, or an affix.")
    for pattern in (rf"(?<!\w){words}(?!\w)", rf"(?<!\w){words}|{words}(?!\w)"):
        matches = list(re.finditer(pattern, text, re.IGNORECASE))
        if matches:
            return [Cue(match[0], *match.span()) for match in matches]
    raise InvalidInput(
        f"The cue {cue!r} is not in {_quoted(text)}; expected a word of it, several in a row, or the beginning or end of a "
        "word."
    )


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")
