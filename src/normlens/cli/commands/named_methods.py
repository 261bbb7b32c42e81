"""The methods of attribution that a command names, and the options of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normlens.cli.terminal import starting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.attribution import Method

SELECTION = ("decompx", "gradient_input", "norm_rollout", "alti", "rollout")
"""The methods that ``normlens compare`` runs when none is named."""
SELECTION_FOR_PAIRS = ("decompx", "gradient_input", "alti_plus")
"""The same for encoder–decoders."""
_SHAPES = ("layers", "at", "vectors")  # options that ask for something else than shares of words


def check_question(method: Method, scope: str | None, own: Mapping[str, Any]) -> None:
    """Refuse a scope or an option that a method doesn't have, or a value that it can't take.

    Raises
    ------
    InvalidInput
        With what would work.
    """
    from normlens.attribution import checked_request

    with starting():
        checked_request(method, scope, None if method.targets == "none" else "any", None, own)


def own_options(typed: Sequence[str], method: Method) -> dict[str, Any]:
    """A method's own options from ``NAME=VALUE``; a value is read as JSON, or as text if it isn't JSON.

    Raises
    ------
    InvalidInput
        If the method has no such option, or there is no value.
    """
    names = [name for name in method.options if name not in _SHAPES]
    options: dict[str, Any] = {}
    for one in typed:
        name, equals, value = one.partition("=")
        if not equals or name not in names:
            raise InvalidInput(
                f"--option is {one!r}; expected NAME=VALUE, and {method.name} has "
                f"{'the options ' + ', '.join(names) if names else 'no options of its own'}."
            )
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"--option {name} has a value of {len(value)} characters that can't be read; expected a number or a word."
            ) from error
    return options


def methods_named(names: str | None) -> list[Method] | None:
    """The methods of a list with commas; None for none.

    Raises
    ------
    InvalidInput
        If one doesn't exist, or is named twice.
    """
    if names is None:
        return None
    named = [name.strip() for name in names.split(",")]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise InvalidInput(f"--method names {', '.join(map(repr, twice))} twice; expected each method once.")
    return _imported(named)


def methods_asked(values: Mapping[str, Any]) -> list[Method]:
    """The methods that a command was asked for, by the values of its parameters.

    Raises
    ------
    InvalidInput
        If one doesn't exist, or is named twice.
    """
    if "methods" in values:
        return methods_named(values["methods"]) or _imported([*SELECTION, *SELECTION_FOR_PAIRS])
    return _imported([values["method"]])


def _imported(names: Sequence[str]) -> list[Method]:
    """Methods by name; a name that doesn't exist is refused before any of them is imported."""
    from normlens.attribution import check_method, method_named

    for name in names:
        check_method(name)
    with starting():
        return [method_named(name) for name in names]
