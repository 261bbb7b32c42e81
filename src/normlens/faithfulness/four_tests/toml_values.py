"""Values of a TOML file as the types that dataclasses declare."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from normlens.errors import InvalidInput, did_you_mean


def converted(value: Any, hint: Any, where: str, folder: Path) -> Any:
    """A TOML value as the type that a field has.

    Parameters
    ----------
    value
        As it was read.
    hint
        The field's type.
    where
        Key and table, for the message.
    folder
        What paths are relative to.

    Raises
    ------
    InvalidInput
        If it is of another type; the nearest choice is named.
    """
    options = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
    for option in options:
        if option is NoneType:
            continue
        if get_origin(option) is Literal and value in get_args(option):
            return value
        if get_origin(option) is tuple and isinstance(value, list):
            return tuple(converted(entry, get_args(option)[0], where, folder) for entry in value)
        if option is Path and isinstance(value, str):
            return folder / value
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value) if abs(value) < 1e300 else float("inf")
        if option in (int, str, bool) and type(value) is option:
            return value
    expected = [_spelled(option) for option in options if option is not NoneType]
    raise InvalidInput(f"{where} is {value!r:.60}; expected {' or '.join(expected)}.{_near(value, options)}")


def _near(value: Any, options: tuple[Any, ...]) -> str:
    literals = [entry for option in options if get_origin(option) is Literal for entry in get_args(option)]
    return did_you_mean(value, literals) if literals else ""


def _spelled(option: Any) -> str:
    if get_origin(option) is Literal:
        return "one of " + ", ".join(map(repr, get_args(option)))
    if get_origin(option) is tuple:
        return f"a list, each {_spelled(get_args(option)[0])}"
    return {int: "an integer", float: "a number", str: "a string", Path: "a path", bool: "true or false"}[option]
