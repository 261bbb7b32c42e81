"""Methods of attribution by their names on the command line, and their options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normlens.cli.terminal import starting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from normlens.attribution import Method

SELECTION = ("decompx", "gradient_input", "norm_rollout", "alti", "rollout")
"""The methods that ``normlens compare`` runs by default."""
SELECTION_FOR_PAIRS = ("decompx", "gradient_input", "alti_plus")
"""The methods that it runs by default for encoder–decoders."""
_SHAPES = ("layers", "at", "vectors")  # options that return something other than shares of words


def check_question(method: Method, scope: str | None, own: Mapping[str, Any]) -> None:
    """Refuse a scope or an option that a method doesn't have, and values that it doesn't take.

    Raises
    ------
    InvalidInput
        Naming what would work.
    """
    from normlens.attribution import checked_request

    with starting():
        checked_request(method, scope, None if method.targets == "none" else "any", None, own)


def own_options(typed: Sequence[str], method: Method) -> dict[str, Any]:
    """Parse a method's own options, ``NAME=VALUE``; a value is JSON, or text if it isn't valid JSON.

    Raises
    ------
    InvalidInput
        If the method has no such option, or the value is missing.
    """
    names = [name for name in method.options if name not in _SHAPES]
    options: dict[str, Any] = {}
    for option in typed:
        name, equals, value = option.partition("=")
        if not equals or name not in names:
            raise InvalidInput(
                f"--option is {option!r}; expected NAME=VALUE, and {method.name} has "
                f"{'the options ' + ', '.join(names) if names else 'no options of its own'}."
            )
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"--option {name} has a value of {len(value)} characters that can't be parsed; expected a number or a word."
            ) from error
    return options


def methods_named(names: str | None) -> list[Method] | None:
    """The methods of a comma-separated list; None for None.

    Raises
    ------
    InvalidInput
        If a method doesn't exist, or is repeated.
    """
    if names is None:
        return None
    named = [name.strip() for name in names.split(",")]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise InvalidInput(f"--method names {', '.join(map(repr, twice))} twice; expected each method once.")
    return _imported(named)


def methods_asked(values: Mapping[str, Any]) -> list[Method]:
    """The methods of a command, by the values of its parameters.

    Raises
    ------
    InvalidInput
        If a method doesn't exist, or is repeated.
    """
    if "methods" in values:
        return methods_named(values["methods"]) or _imported([*SELECTION, *SELECTION_FOR_PAIRS])
    return _imported([values["method"]])


def _imported(names: Sequence[str]) -> list[Method]:
    """Import methods by name; an unknown name is refused before the first import."""
    from normlens.attribution import check_method, method_named

    for name in names:
        check_method(name)
    with starting():
        return [method_named(name) for name in names]
