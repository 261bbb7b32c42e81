"""The lines of a corpus that are left out: named on standard error as they are met, and listed in the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from normlens.cli.terminal import messages, printable

_MOST_NAMED = 20


@dataclass
class SkippedLines:
    """What was left out.

    Attributes
    ----------
    reasons
        Why, by the number of the line, from 1.
    """

    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, line: int, reason: str) -> None:
        """Note a line; it is named the first time that it is met."""
        if line in self.reasons:
            return
        self.reasons[line] = reason
        if len(self.reasons) <= _MOST_NAMED:
            messages().print(f"line {line} skipped: {printable(reason)}", markup=False, soft_wrap=True)

    def at(self, line: Callable[[], int]) -> Callable[[Any], None]:
        """What takes the inputs that a lens leaves out, where ``line`` says which line was read last."""
        return lambda skipped: self.add(line(), skipped.reason)

    def tell(self) -> None:
        """Say how many there are."""
        if self.reasons:
            count = len(self.reasons)
            messages().print(f"{count} line{'' if count == 1 else 's'} skipped", markup=False)

    def as_data(self) -> list[dict[str, Any]]:
        """Line numbers and reasons, ready for JSON."""
        return [{"line": line, "reason": reason} for line, reason in sorted(self.reasons.items())]

    def __str__(self) -> str:
        """How many, and the first of them."""
        named = [f"line {line} ({reason})" for line, reason in sorted(self.reasons.items())[:_MOST_NAMED]]
        more = len(self.reasons) - len(named)
        return f"{len(self.reasons)}: {'; '.join(named)}" + (f"; and {more} more" if more else "")
