"""Spans of a text: sentences, lines, paragraphs, matches of a pattern, or character offsets; and the tokens in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike, NDArray

from normlens.errors import InvalidInput

Spans: TypeAlias = "str | re.Pattern[str] | Iterable[tuple[int, int]]"
"""``"sentences"``, ``"lines"``, ``"paragraphs"``, a regular expression, or pairs of first character and character after the
last."""

REST = -1
"""Number of tokens that lie in no span."""

_NAMED = {"lines": r"[^\n]*\S[^\n]*", "paragraphs": r"\S(?:(?!\n\s*\n)[\s\S])*"}
_END = re.compile(r"""[.!?…。！？]+["'”’»)\]]*(?=\s|$)|(?<=[。！？])|\n\s*""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Rev|Gen|Col|Lt|Capt|vs|etc|No|Vol|Fig|Eq|cf|approx|ca|bzw|Nr|Abb|Bd|usw)"
    r"|\b(?:e\.g|i\.e|z\.B|d\.h|u\.a)|\b[^\W\d_])\.$"
)


def text_spans(text: str, spans: Spans) -> Int[np.ndarray, "span 2"]:
    """The spans of a text as character offsets, in order.

    Parameters
    ----------
    text
        The text.
    spans
        "sentences", "lines", "paragraphs", a regular expression whose matches are the spans, or pairs of character offsets.

    Raises
    ------
    InvalidInput
        If spans overlap, lie outside the text or are empty, or there are none.

    Examples
    --------
    >>> text_spans("Dr. No left. Who stayed?", "sentences").tolist()
    [[0, 12], [13, 24]]
    >>> text_spans("a=1; b=2", "[a-z]=[0-9]").tolist()
    [[0, 3], [5, 8]]
    """
    if isinstance(spans, str | re.Pattern):
        offsets = _sentences(text) if spans == "sentences" else _matches(text, spans)
        if not offsets:
            raise InvalidInput(f"The text has no spans of the kind {spans!r}: {text[:60]!r}. Choose others.")
        return np.array(offsets, dtype=np.int64)
    return _checked(text, spans)


def spans_of_tokens(
    text: str, offsets: ArrayLike, spans: Int[np.ndarray, "span 2"], special: ArrayLike | None = None
) -> Int[np.ndarray, " token"]:
    """The number of the span that each token lies in; ``REST`` for tokens in none.

    A token belongs to a span if one of its characters does, white space aside.

    Parameters
    ----------
    text
        The text that the offsets refer to.
    offsets
        First character of each token and character after the last, ``(token, 2)``.
    spans
        Offsets of the spans, in order, ``(span, 2)``.
    special
        True for tokens that belong to no span, ``(token,)``.

    Raises
    ------
    InvalidInput
        If a token lies in two spans, or a span has no token: shares of tokens then don't tell the spans apart.
    """
    places = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    left_out = np.zeros(len(places), dtype=bool) if special is None else np.asarray(special, dtype=bool)
    numbers = np.full(len(places), REST, dtype=np.int64)
    for token, (start, stop) in enumerate(places.tolist()):
        piece = text[start:stop]
        start, stop = start + len(piece) - len(piece.lstrip()), stop - (len(piece) - len(piece.rstrip()))
        if left_out[token] or start >= stop:
            continue
        inside = np.flatnonzero((spans[:, 0] < stop) & (start < spans[:, 1]))
        if len(inside) > 1:
            first, second = (text[slice(*spans[k])] for k in inside[:2])
            raise InvalidInput(
                f"The token {piece!r} (characters {start} to {stop}) lies in two spans, {first[-20:]!r} and "
                f"{second[:20]!r}; its share can't be divided. Let spans begin and end between words."
            )
        numbers[token] = inside[0] if len(inside) else REST
    empty = sorted(set(range(len(spans))) - set(numbers.tolist()))
    if empty:
        start, stop = spans[empty[0]].tolist()
        raise InvalidInput(
            f"No token lies in the span from {start} to {stop} ({text[start:stop][:40]!r}); expected at least one. Leave it "
            "out, or truncate nothing."
        )
    return numbers


def check_spans(spans: object) -> None:
    """Refuse a pattern that is no regular expression, before a text is read.

    Raises
    ------
    InvalidInput
        With what is wrong in it.
    """
    if isinstance(spans, str):
        _compiled(spans)


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        return re.compile(_NAMED.get(pattern, pattern) if isinstance(pattern, str) else pattern)
    except re.error as error:
        raise InvalidInput(
            f"{pattern!r} is no regular expression ({error}); expected one, or sentences, lines or paragraphs."
        ) from None


def _matches(text: str, pattern: str | re.Pattern[str]) -> list[tuple[int, int]]:
    compiled = _compiled(pattern)
    found = [match.span() for match in compiled.finditer(text)]
    trimmed = [(start, start + len(text[start:stop].rstrip())) for start, stop in found]
    return [(start, stop) for start, stop in trimmed if text[start:stop].strip()]


def _sentences(text: str) -> list[tuple[int, int]]:
    """Offsets of sentences: they end in a full stop, question or exclamation mark before white space, or at a line's end."""
    sentences, start = list[tuple[int, int]](), 0
    for end in [*_END.finditer(text), None]:
        stop = len(text) if end is None else end.end()
        piece = text[start:stop]
        if end is not None and (not piece.strip() or (not end.group().isspace() and _goes_on(text, start, stop))):
            continue
        if piece.strip():
            begin = start + len(piece) - len(piece.lstrip())
            sentences.append((begin, start + len(piece.rstrip())))
        start = stop
    return sentences


def _goes_on(text: str, start: int, stop: int) -> bool:
    """Whether a full stop ends an abbreviation or a number, not a sentence."""
    after = text[stop:].lstrip()[:1]
    return text[start:stop].endswith(".") and (after.islower() or bool(_ABBREVIATION.search(text[start:stop])))


def _checked(text: str, spans: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    listed = list(spans)
    pairs: list[tuple[int, int]] = []
    for span in listed:
        try:
            start, stop = (int(number) for number in span)
        except (TypeError, ValueError):
            raise InvalidInput(
                f"A span is {span!r}; expected first character and character after the last, such as (0, 12)."
            ) from None
        if not 0 <= start < stop <= len(text) or not text[start:stop].strip():
            raise InvalidInput(
                f"The span {start} to {stop} holds no text; expected offsets within the {len(text)} characters of the text "
                "that the model reads."
            )
        pairs.append((start, stop))
    pairs.sort()
    for (start, stop), (other, end) in itertools.pairwise(pairs):
        if other < stop:
            raise InvalidInput(
                f"The spans {start} to {stop} and {other} to {end} overlap: {text[other : min(stop, end)]!r:.40} would "
                "count twice. Make them disjoint."
            )
    if not pairs:
        raise InvalidInput("There are no spans; expected at least one.")
    return np.array(pairs, dtype=np.int64)
