"""Heads as a user names them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from normlens.errors import InvalidInput

Head = tuple[int, int]
"""Layer, and head in it, from 0."""

_NAME = re.compile(r"\s*(\d{1,6})\.(\d{1,6})\s*")


def parsed_heads(heads: str | Iterable[str | Head]) -> list[Head]:
    """Heads as pairs of numbers, each once.

    Parameters
    ----------
    heads
        ``(layer, head)`` or ``"layer.head"``; or one string of several, separated by commas.

    Raises
    ------
    InvalidInput
        If there is none, or one isn't a head.

    Examples
    --------
    >>> parsed_heads("3.5, 4.10"), parsed_heads([(0, 1), "0.1"])
    ([(3, 5), (4, 10)], [(0, 1)])
    """
    listed = heads.split(",") if isinstance(heads, str) else list(heads)
    parsed = list(dict.fromkeys(_parsed(one) for one in listed))
    if not parsed:
        raise InvalidInput('heads is empty; expected at least one, such as "3.5" or (3, 5): layer and head, from 0.')
    return parsed


def _parsed(one: object) -> Head:
    if isinstance(one, str) and (match := _NAME.fullmatch(one)):
        return int(match[1]), int(match[2])
    if isinstance(one, tuple | list) and len(one) == 2 and all(type(number) is int for number in one):
        return one[0], one[1]
    raise InvalidInput(f'heads has {one!r}; expected layer and head, from 0, such as "3.5" or (3, 5).')
