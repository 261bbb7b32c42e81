"""A run over a corpus that ends as a report: computed beside the report, so that a killed command goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlens.cli.destinations import check_creatable
from normlens.cli.opening import quiet
from normlens.cli.skipped_lines import SkippedLines
from normlens.cli.terminal import counting, messages, waiting
from normlens.errors import InvalidInput, NormLensError

if TYPE_CHECKING:
    from normlens import Lens
    from normlens.corpus import CorpusPlan, RunReport
    from normlens.statistics.report import Estimates

_TOKENS_OF_A_TEXT = 512  # for the budget of a batch of texts


def check_run_folder(output: Path) -> None:
    """Refuse a report beside which there is no place for its run, before anything is computed.

    Raises
    ------
    NormLensError
        If the folder of the run can't be written, or holds something else.
    """
    from normlens.corpus.run_plan import refuse_foreign, run_beside

    folder = run_beside(output)
    refuse_foreign(folder)
    check_creatable(folder)


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes
    ----------
    folder
        Its folder.
    numbers
        Its numbers, by kind of attention.
    texts, truncated
        Number of texts, and of those that were cut.
    skipped
        Lines that were skipped, as plain data.
    """

    folder: Path
    numbers: dict[str, Estimates]
    texts: int
    truncated: int = 0
    skipped: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ReportRun:
    """The run of a report.

    Attributes
    ----------
    lens
        The model.
    file, output
        The corpus, and the folder of the report.
    plan
        What is computed.
    skips_bad
        Whether lines that can't be computed are skipped.
    skipped
        Lines that were skipped.
    """

    lens: Lens
    file: Path
    output: Path
    plan: CorpusPlan
    skips_bad: bool = False
    skipped: SkippedLines = field(default_factory=SkippedLines)

    @classmethod
    @contextmanager
    def planned(
        cls,
        lens: Lens,
        model: str,
        file: Path,
        output: Path,
        *,
        limit: int | None = None,
        truncate: bool = False,
        skip_bad: bool = False,
        frequency: Path | None = None,
        batch_size: int = 8,
        group: str | None = None,
        overwrite: bool = False,
        **loading: Any,
    ) -> Iterator[ReportRun]:
        """Read the corpus to its end, and plan the run, or find the one that was begun.

        Other commands are kept out of its folder meanwhile.

        Parameters
        ----------
        lens, model
            The model, and its name on the command line.
        file, output, limit, truncate, skip_bad, frequency, batch_size, group, overwrite
            As on the command line.
        **loading
            How the model was loaded.

        Raises
        ------
        NormLensError
            If a line can't be read, unless bad lines are skipped; if another run was begun, unless it is overwritten; or if
            another command works on it.
        """
        import torch

        from normlens.corpus.planning import BATCH_TOKENS, plan
        from normlens.corpus.run_plan import AnotherRun, run_beside
        from normlens.files.exclusive_folder import exclusive
        from normlens.statistics import TokenFrequency

        ranks = None if frequency is None else TokenFrequency.read(frequency)
        job, place = {"kind": "analyze", "truncate": truncate, "group": group}, run_beside(output)
        with exclusive(place):
            try:
                with waiting("Counting tokens"), quiet():
                    made = plan(
                        model, [file], place, job=job, lines=True, limit=limit, strict=not skip_bad, frequency=ranks,
                        batch_texts=batch_size, batch_tokens=max(BATCH_TOKENS, batch_size * _TOKENS_OF_A_TEXT),
                        threads=torch.get_num_threads(), replace=overwrite, lens=lens, **loading,
                    )  # fmt: skip
            except AnotherRun as error:
                raise InvalidInput(f"{error} With --overwrite, it starts anew.") from error
            yield cls(lens, file, output, made, skip_bad)

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        from normlens.corpus.run_plan import run_beside

        return run_beside(self.output)

    def compute(self) -> None:
        """Compute what isn't computed yet, with a progress bar.

        Raises
        ------
        NormLensError
            If a shard fails, or a line can't be computed and bad lines aren't skipped; what was finished is kept.
        """
        from normlens.corpus.commits import CommitFolder
        from normlens.corpus.runs import run
        from normlens.corpus.workers import COMMITTED, Event, InlineBackend

        commits = CommitFolder(self.folder)
        sizes = {shard.number: shard.stop - shard.start for shard in self.plan.shards}
        finished = list(commits.committed())
        done = sum(sizes[number] for number in finished)
        if done:
            messages().print(f"Going on in {self.folder}: {done} of {self.plan.rows} lines are done", soft_wrap=True)
        for number in finished:
            self._skip(number)
        with counting("Analyzing", self.plan.rows, "line") as bar, quiet():
            task = bar.task_ids[0]
            bar.update(task, completed=done)

            def progress(event: Event, report: RunReport) -> None:
                nonlocal done
                if event.kind == COMMITTED and event.shard is not None:
                    done += sizes[event.shard]
                    bar.update(task, completed=done)
                    self._skip(event.shard)

            backend = InlineBackend(self.folder, self.lens, lambda texts: bar.advance(task, texts))
            try:
                report = run(self.folder, backend=backend, progress=progress, retry=True)
            except KeyboardInterrupt:
                messages().print(f"Stopped. What is finished is kept in {self.folder}; the same command goes on.",
                                 markup=False, soft_wrap=True)  # fmt: skip
                raise
        for why in report.set_aside.values():
            raise NormLensError(f"{why} What is finished is kept in {self.folder}; the same command tries again.")

    def write(self, title: str, name: str) -> WrittenReport:
        """Write the report, and remove the run.

        Parameters
        ----------
        title
            The first line of the page.
        name
            Name of the corpus.

        Raises
        ------
        NormLensError
            If no text could be analyzed, or the report can't be written.
        """
        from normlens.corpus.commits import CommitFolder
        from normlens.corpus.corpus_examples import examples_of_run
        from normlens.corpus.finalized import merged_numbers, token_samples
        from normlens.corpus.run_plan import remove_run
        from normlens.statistics.report import read_estimates, write_report

        run = CommitFolder(self.folder)
        commits = list(run.committed().values())
        with waiting("Writing the report"), quiet():
            numbers = merged_numbers(run, self.plan, commits)
            if not numbers:
                raise InvalidInput(f"None of the texts in {self.file} can be analyzed; all of them were left out.")
            examples, attributes = examples_of_run(self.plan, run, commits, self.lens)
            attributes = {"corpus": name, **attributes}
            if self.skipped.reasons:
                attributes["skipped lines"] = str(self.skipped)
            truncated = sum(commit.truncated for commit in commits)
            if truncated:
                attributes["truncated texts"] = truncated
            write_report(
                numbers,
                self.output,
                title=title,
                attributes=attributes,
                examples=examples,
                tokens=token_samples(numbers),
            )
            remove_run(self.folder)
        return WrittenReport(
            self.output, read_estimates(self.output), max(map(len, numbers.values())), truncated, self.skipped.as_data()
        )

    def _skip(self, number: int) -> None:
        """Name the lines that a shard left out; the first is an error if bad lines aren't skipped."""
        from normlens.corpus.commits import CommitFolder

        shard = self.plan.shards[number]
        file = self.plan.files[shard.file].opened(self.plan.columns)
        for left_out in CommitFolder(self.folder).record(number).skipped:
            row = next(file.rows(left_out.row, left_out.row + 1))
            line = row.number + 1 if row.line is None else row.line
            if not self.skips_bad:
                raise InvalidInput(
                    f"{self.file}, line {line}: {left_out.reason} With --skip-bad, the run in {self.folder} goes on without "
                    "such lines."
                )
            self.skipped.add(line, left_out.reason)
