"""Help pages: a short word for the value of an option, and its choices in the text, where they wrap between words.

Typer lists choices in a narrow column, where they break within words, writes ``<bool>`` beside flags, and keeps the line
breaks of docstrings.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.core import TyperCommand, TyperGroup

from normlens.cli.options import listed

_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n|- )")
"""A line break within a paragraph; items of a list begin with a dash."""
_WORDS: Mapping[Any, str] = {str: "TEXT", Path: "FILE", int: "INT", float: "FLOAT"}


class _Described:
    """A command whose parameters are described for its help page; mixed into a class of Typer's."""

    help: str | None
    params: list[Any]
    callback: Callable[..., Any] | None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = None if self.help is None else _LINE_BREAK.sub(" ", inspect.cleandoc(self.help))
        hints = {} if self.callback is None else get_type_hints(inspect.unwrap(self.callback))
        for parameter in self.params:
            _describe(parameter, _type_of(hints.get(parameter.name)))

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, a flag too."""
        option = super().get_help_option(ctx)  # type: ignore[misc]  # Typer's
        if option is not None:
            _describe(option, bool)
        return option


class DescribedCommand(_Described, TyperCommand):
    """A command with a readable help page."""


class DescribedGroup(_Described, TyperGroup):
    """A group of commands with a readable help page."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, with those that Typer adds: they install and show the shell's completion, and are flags."""
        params = list(super().get_params(ctx))
        for parameter in params:
            if parameter.name in ("install_completion", "show_completion"):
                _describe(parameter, bool)
        return params


def _type_of(hint: Any) -> Any:
    """The type of a parameter, without None."""
    return next((one for one in get_args(hint) if one is not type(None)), hint)


def _describe(parameter: Any, kind: Any) -> None:
    """Name the value of a parameter in a word, and its choices in its help text.

    A parameter with a name for its value lists its choices itself.
    """
    if parameter.param_type_name == "argument":
        parameter.display_type_rich = lambda ctx: None  # its name says what it is
    elif getattr(parameter, "is_flag", False):
        parameter.metavar = ""
    elif parameter.metavar is None and isinstance(kind, type) and issubclass(kind, StrEnum):
        parameter.metavar = max(parameter.opts, key=len).strip("-").upper()
        parameter.help = _with_choices(parameter.help, listed([*kind]))
    elif parameter.metavar is None:
        parameter.metavar = _WORDS.get(kind)


def _with_choices(text: str, choices: str) -> str:
    """A help text with choices before the sentence about its default."""
    meaning, default, rest = text.partition(" Default: ")
    return f"{meaning} Choices: {choices}.{default}{rest}"
