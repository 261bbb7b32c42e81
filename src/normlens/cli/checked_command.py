"""A command that refuses options that are repeated, too large, or without effect."""

from __future__ import annotations

from collections import Counter
from typing import Any

from normlens.cli.commands.answer_options import spread
from normlens.cli.help_pages import DescribedCommand
from normlens.cli.requirements import refuse_ignored, spelled
from normlens.errors import InvalidInput

_LARGEST = 2**32 - 1
"""The largest integer that an option takes: the largest seed of NumPy, and larger than any count."""


class CheckedCommand(DescribedCommand):
    """A command that checks its options before it runs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options; each may be used once.

        Parameters
        ----------
        ctx
            Typer's context of this call.
        args
            The arguments of the command.

        Returns
        -------
        list of str
            The remaining arguments.

        Raises
        ------
        InvalidInput
            If an option that takes one value is repeated, or an integer is too large.
        """
        args = spread(args)
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
        """Check that every option has an effect, then run.

        Parameters
        ----------
        ctx
            Typer's context of this call.

        Raises
        ------
        InvalidInput
            Naming an option without effect, and the reason.
        """
        refuse_ignored(ctx)
        return super().invoke(ctx)


def refuse_repeated(command: Any, ctx: Any, args: list[str]) -> None:
    """Refuse an option that takes one value and is repeated.

    Parameters
    ----------
    command
        The command.
    ctx
        Typer's context of this call.
    args
        The arguments of the command.

    Raises
    ------
    InvalidInput
        Naming the option and the number of times.
    """
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    for parameter, times in Counter(order).items():
        single = parameter.param_type_name == "option" and not (parameter.multiple or parameter.is_flag)
        if single and times > 1:
            raise InvalidInput(f"{spelled(parameter)} was used {times} times; expected once.")
