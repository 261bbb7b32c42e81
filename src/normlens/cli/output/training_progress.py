"""Progress of a training on standard error: messages, and a bar of its steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from normlens.cli.terminal import messages, printable

_TENTHS = 10


class TrainingProgress:
    """A reporter for :func:`normlens.translation.train`: a bar on a terminal, otherwise a line for each tenth of the steps.

    Parameters
    ----------
    bars
        Where bars are drawn.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._tenth = 0

    def message(self, text: str) -> None:
        """Print what has begun, or what is clear now, line by line."""
        for line in text.splitlines():
            self._bars.console.print(escape(printable(line)), soft_wrap=True)

    def steps(self, direction: str, done: int, total: int) -> None:
        """Show the number of steps done."""
        if direction not in self._tasks:
            self._tasks[direction] = self._bars.add_task(escape(printable(direction)), total=total)
            self._tenth = _TENTHS * done // total
        self._bars.update(self._tasks[direction], completed=done)
        if not self._bars.console.is_terminal and _TENTHS * done // total > self._tenth:
            self._tenth = _TENTHS * done // total
            self.message(f"{direction}: {done:,} of {total:,} steps")


@contextmanager
def training_progress() -> Iterator[TrainingProgress]:
    """Show the progress of a training until the block ends."""
    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        try:
            yield TrainingProgress(bars)
        except KeyboardInterrupt:
            console.print("Stopped. The last checkpoint is kept; the same command goes on from there.", markup=False)
            raise
