"""The exceptions of normlens.

Every message says what was seen, what was expected and what to do next. The command line prints the message alone and
exits with code 2.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any


class NormLensError(Exception):
    """Base class of all errors of normlens: bad input, an unreadable file, a model that cannot be measured exactly."""


class InvalidInput(NormLensError):
    """The text, ids, image, file or option cannot be used; the message says what was expected."""


class ModelNotFound(NormLensError):
    """No model has this hub id, path or bundled name, or it cannot be loaded safely."""


class UnsupportedArchitecture(NormLensError):
    """The model does something that no exact path covers; the message names the module and the reason."""


class NoAttentionCaptured(UnsupportedArchitecture):
    """The model ran, but no attention was captured."""


class ExecutionPathChanged(UnsupportedArchitecture):
    """The model's execution path differs from the one seen at inspection."""


class OutputMismatch(UnsupportedArchitecture):
    """The model's output changes when its attention is captured; the message says by how much."""


class ConservationError(NormLensError):
    """Contributions do not add up to the module's output; the message names the module and the size of the gap."""


class ModelError(NormLensError):
    """The model fails even without normlens; the message includes the model's own error."""


class OutOfMemory(NormLensError, MemoryError):
    """Out of memory; the message says how much could not be allocated and what to reduce."""


class UnknownOperation(UnsupportedArchitecture):
    """The frozen model ran an operation that is not on its list of allowed operations; the message names it."""


class TooBusy(NormLensError):
    """More requests are waiting than the explorer takes; the message says how many."""


class UnknownRun(NormLensError):
    """The explorer no longer has the result that was asked for, or never had it."""


def did_you_mean(name: object, names: Iterable[str], count: int = 1) -> str:
    """The ending of a message: " Did you mean …?" with the closest valid names; empty if no name is close.

    Parameters
    ----------
    name
        The invalid name.
    names
        The valid names.
    count
        Largest number of suggestions.
    """
    matches = difflib.get_close_matches(str(name).replace("-", "_").lower(), list(names), n=count, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""


def refuse_unknown_options(function: Callable[..., Any], unknown: Iterable[str]) -> None:
    """Refuse options that a function doesn't have.

    Parameters
    ----------
    function
        The function, whose keyword parameters are the valid options.
    unknown
        Names of further options.

    Raises
    ------
    InvalidInput
        Naming the first one, and the closest valid option.
    """
    parameters = inspect.signature(function).parameters.values()
    options = [p.name for p in parameters if p.default is not p.empty]
    for name in unknown:
        raise InvalidInput(
            f"{function.__name__} has no option {name!r}; expected one of {', '.join(options)}."
            f"{did_you_mean(name, options)}"
        )


def install_command(extra: str) -> str:
    """The command that installs an extra of this package, in quotes, which some shells need.

    Examples
    --------
    >>> install_command("align")
    'pip install "normlens[align]"'
    """
    return f'pip install "normlens[{extra}]"'
