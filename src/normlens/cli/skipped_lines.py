"""The skipped lines of a corpus: named on standard error at once, and listed in the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from normlens.cli.terminal import counted, messages, printable

_MOST_NAMED = 20


@dataclass
class SkippedLines:
    """Lines that were skipped.

    Attributes
    ----------
    reasons
        The reason for each, by line number, counted from 1.
    """

    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, line: int, reason: str) -> None:
        """Record a line, and name it on standard error if it is new."""
        if line in self.reasons:
            return
        self.reasons[line] = reason
        if len(self.reasons) <= _MOST_NAMED:
            messages().print(f"line {line} skipped: {printable(reason)}", markup=False, soft_wrap=True)

    def at(self, line: Callable[[], int]) -> Callable[[Any], None]:
        """A callback for the inputs that a lens skips; ``line`` returns the number of the line read last."""
        return lambda skipped: self.add(line(), skipped.reason)

    def report(self) -> None:
        """Print the number of skipped lines."""
        if self.reasons:
            messages().print(f"{counted(len(self.reasons), 'line')} skipped", markup=False)

    def as_data(self) -> list[dict[str, Any]]:
        """Line numbers and reasons as plain data."""
        return [{"line": line, "reason": reason} for line, reason in sorted(self.reasons.items())]

    def __str__(self) -> str:
        """The number of lines, and the first of them."""
        named = [f"line {line} ({reason})" for line, reason in sorted(self.reasons.items())[:_MOST_NAMED]]
        more = len(self.reasons) - len(named)
        return f"{len(self.reasons)}: {'; '.join(named)}" + (f"; and {more} more" if more else "")
