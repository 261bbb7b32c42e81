"""Output of ``normlens align``: links line by line, an HTML page, and progress on standard error."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from normlens.cli.destinations import check_ending, check_files
from normlens.cli.opening import quiet
from normlens.cli.terminal import counted, messages, printable

if TYPE_CHECKING:
    from normlens.alignment import Aligner, Alignment, Line
    from normlens.cli.commands.align_inputs import ParallelTexts

_MOST_SKIPPED = 20  # skipped lines that are named on standard error
_MOST_SHOWN = 100  # pairs on a page


@dataclass
class LinksOutput:
    """Where alignments are written, with counts of the lines.

    Attributes
    ----------
    output
        The file of links; None for standard output.
    form, base
        A name of :data:`normlens.alignment.aligner.FORMATS`, and the number of the first word.
    view
        The HTML page with the first pairs; None for no page.
    skipped, aligned
        Number of skipped lines, and of all lines.
    shown
        The alignments on the page.
    """

    output: Path | None
    form: str
    base: int
    view: Path | None
    skipped: int = 0
    aligned: int = 0
    shown: list[Alignment] = field(default_factory=list)

    def check(
        self, settings: Mapping[str, Any], reads: Iterable[Path | str | None], *, resumable: bool, overwrite: bool
    ) -> None:
        """Refuse files that can't be written, before anything is computed.

        Parameters
        ----------
        settings
            The settings that the result depends on, without those that come from the model.
        reads, overwrite
            As for :func:`normlens.cli.destinations.check_files`.
        resumable
            Whether the text can be read again, so that a killed run can resume.

        Raises
        ------
        NormLensError
            If a file can't or mustn't be written; if a finished result exists, or one that was started with other settings.
        """
        check_ending(self.view, (".html",))
        check_files(self.output, self.view, reads=reads, overwrite=overwrite)
        if self.output is not None and resumable and not overwrite:
            from normlens.corpus.run_settings import check_settings

            check_settings(self.output, settings)

    def draw(self) -> None:
        """Write the page with the first pairs, if there is one."""
        if self.view is None:
            return
        from normlens.alignment import write_links_page

        write_links_page(self.shown, self.view)
        messages().print(f"Wrote {self.view}", markup=False, soft_wrap=True)

    def write(self, alignments: Iterable[Alignment], file: IO[bytes], progress: Progress) -> None:
        """Write alignments one by one, each line as soon as it is done."""
        from normlens.alignment.aligner import FORMATS

        for alignment in alignments:
            file.write(FORMATS[self.form](alignment, self.base).encode("utf-8", "replace") + b"\n")
            progress.advance(progress.task_ids[0])
            self.aligned += 1
            if alignment.skipped is not None:
                self._skip(alignment)
            elif self.view is not None and len(self.shown) < _MOST_SHOWN:
                self.shown.append(alignment)
        file.flush()

    def _skip(self, alignment: Alignment) -> None:
        self.skipped += 1
        if self.skipped <= _MOST_SKIPPED:
            reason = printable(str(alignment.skipped))
            messages().print(f"line {alignment.line} skipped: {reason}", markup=False, soft_wrap=True)

    def report(self, seconds: float) -> None:
        """Print the number of lines, the speed, and the number of skipped lines."""
        rate = self.aligned / seconds if seconds > 0 else 0
        skipped = f", {self.skipped} of them skipped (empty lines in the result)" if self.skipped else ""
        where = "" if self.output is None else f"; wrote {self.output}"
        text = f"Aligned {counted(self.aligned, 'line')} in {seconds:.1f} s, {rate:.0f} per second{skipped}{where}"
        messages().print(text, markup=False, soft_wrap=True)


def write(aligner: Aligner, lines: Iterable[Line], texts: ParallelTexts, result: LinksOutput, settings: Mapping[str, Any],
          window: int, overwrite: bool) -> None:  # fmt: skip
    """Align a text and write the result, resuming where an earlier run stopped.

    Parameters
    ----------
    aligner
        The aligner.
    lines, texts
        The lines to align, and the text that they come from.
    result
        Where to write the alignments.
    settings
        All settings that the result depends on.
    window
        Lines that are sorted by length together; so many are lost by a kill.
    overwrite
        Whether to replace a result, and start from the first line.

    Raises
    ------
    NormLensError
        If the file can't be written, or was started with other settings.
    """
    start = time.perf_counter()
    if result.output is None or texts.files is None:
        with _streamed(result.output) as file, _counting(texts.number, 0) as progress, quiet():
            result.write(aligner.align(lines), file, progress)
    else:
        _resumed(aligner, texts, result, settings, window, overwrite)
    result.report(time.perf_counter() - start)
    result.draw()


def _resumed(aligner: Aligner, texts: ParallelTexts, result: LinksOutput, settings: Mapping[str, Any], window: int,
             overwrite: bool) -> None:  # fmt: skip
    """Align a text that can be read again as a run, which a later command goes on with."""
    import torch

    from normlens.corpus.line_run import LineRun

    assert result.output is not None and texts.files is not None and texts.number is not None
    with LineRun.planned(
        result.output, texts.files, texts.number, settings, shard_rows=window, threads=torch.get_num_threads(),
        overwrite=overwrite,
    ) as run:  # fmt: skip
        if run.done:
            messages().print(f"Resuming after line {run.done}", markup=False)
        reader = _Reader(texts.lines)
        with _counting(texts.number, run.done) as progress, quiet():

            def lines(first: int, last: int) -> list[bytes]:
                shard = io.BytesIO()
                result.write(aligner.align(reader.rows(first, last)), shard, progress)
                return shard.getvalue().split(b"\n")[:-1]

            try:
                run.compute(lines)
            except KeyboardInterrupt:
                messages().print("Stopped. What is finished is kept; the same command goes on.", markup=False)
                raise
        run.write()


class _Reader:
    """Ranges of lines of a text, which is read once if they come in order."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines, self._iterator, self._at = lines, iter(lines), 0

    def rows(self, start: int, stop: int) -> Iterator[Line]:
        """The lines of a range."""
        if start < self._at:
            self._iterator, self._at = iter(self._lines), 0
        skipped, self._at = start - self._at, stop
        return islice(self._iterator, skipped, skipped + stop - start)


@contextmanager
def _streamed(output: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a new file, to be written line by line."""
    if output is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    output.unlink(missing_ok=True)
    with output.open("xb") as file:
        yield file


class _Rate(ProgressColumn):
    """Sentence pairs per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.0f} per second", style="progress.data.speed")


@contextmanager
def _counting(total: int | None, done: int) -> Iterator[Progress]:
    """A progress bar with the rate on standard error; a single line if that isn't a terminal."""
    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    if not console.is_terminal:
        console.print(f"Aligning {'lines' if total is None else counted(total, 'line')}", soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task("Aligning", total=total, completed=done)
        yield progress
