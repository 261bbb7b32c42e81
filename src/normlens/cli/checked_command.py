"""A command that reads each option once, and refuses those that are too large or have no effect."""

from __future__ import annotations

from collections import Counter
from typing import Any

from normlens.cli.help_pages import DescribedCommand
from normlens.cli.requirements import refuse_ignored, spelled
from normlens.errors import InvalidInput

_LARGEST = 2**32 - 1
"""The largest integer that an option takes: the largest seed of NumPy, and beyond every count."""


class CheckedCommand(DescribedCommand):
    """A command that refuses an option without effect before it does anything."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options, each at most once.

        Parameters
        ----------
        ctx
            Typer's context of this call.
        args
            What was typed after the command's name.

        Returns
        -------
        list of str
            What is left over.

        Raises
        ------
        InvalidInput
            If an option that takes one value is repeated, since only the last would count, or if an integer is too large.
        """
        typed = list(args)
        rest = super().parse_args(ctx, args)
        refuse_repeated(self, ctx, typed)
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if isinstance(value, int) and abs(value) > _LARGEST:
                digits = f"{value}" if abs(value) < 10**24 else "an integer of over 24 digits"
                raise InvalidInput(f"{spelled(parameter)} is {digits}; expected at most {_LARGEST} in absolute value.")
        return list(rest)

    def invoke(self, ctx: Any) -> Any:
        """Check the options, then run.

        Parameters
        ----------
        ctx
            Typer's context of this call.

        Raises
        ------
        InvalidInput
            Naming the option, and why it has no effect.
        """
        refuse_ignored(ctx)
        return super().invoke(ctx)


def refuse_repeated(command: Any, ctx: Any, args: list[str]) -> None:
    """Refuse an option that takes one value and is given several times.

    Parameters
    ----------
    command
        The command whose options these are.
    ctx
        Typer's context of this call.
    args
        What was typed after the command's name.

    Raises
    ------
    InvalidInput
        Naming the option and how many times it was given.
    """
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    for parameter, times in Counter(order).items():
        single = parameter.param_type_name == "option" and not (parameter.multiple or parameter.is_flag)
        if single and times > 1:
            raise InvalidInput(f"{spelled(parameter)} was given {times} times; expected once.")
