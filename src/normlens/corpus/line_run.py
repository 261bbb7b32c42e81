"""A run whose result is a text file with a line for each line of its input, computed in this process, shard by shard."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from normlens.corpus.commits import CommitFolder
from normlens.corpus.corpus_row import Columns
from normlens.corpus.model_identity import installed_versions
from normlens.corpus.planned_files import planned_file
from normlens.corpus.run_plan import CorpusPlan, Shard, remove_run, run_beside, write_plan
from normlens.corpus.run_settings import check_settings
from normlens.corpus.runs import run
from normlens.corpus.shard_results import ShardResult
from normlens.corpus.workers import InlineBackend
from normlens.errors import NormLensError
from normlens.files.atomic import reason, temporary_folder
from normlens.files.exclusive_folder import exclusive

Lines = Callable[[int, int], Sequence[bytes]]
"""Computes the lines of a range of rows."""


@dataclass(frozen=True)
class LineRun:
    """A run beside the file that it will become.

    Attributes
    ----------
    output
        The file.
    plan
        What is computed.
    """

    output: Path
    plan: CorpusPlan

    @classmethod
    @contextmanager
    def planned(
        cls,
        output: Path,
        files: tuple[Path, Path | None],
        rows: int,
        settings: Mapping[str, Any],
        *,
        shard_rows: int,
        threads: int,
        overwrite: bool = False,
    ) -> Iterator[LineRun]:
        """Plan a run, or find the one that was begun; other commands are kept out of its folder meanwhile.

        Parameters
        ----------
        output
            The file that the run becomes.
        files, rows
            The input, one file or two, and its number of lines.
        settings
            Everything else that the lines depend on, as plain data.
        shard_rows
            Lines of a shard.
        threads
            Threads that compute.
        overwrite
            Whether another run is removed first.

        Raises
        ------
        NormLensError
            If another run was begun, another command works on it, or the run can't be written.
        """
        if not overwrite:
            check_settings(output, settings)
        plan = CorpusPlan(
            (planned_file(*files, rows),), Columns(lines=True), shard_rows, "", {}, {}, {"kind": "lines", **settings},
            0, 0, threads, installed_versions(),
        )  # fmt: skip
        folder = run_beside(output)
        with exclusive(folder):
            write_plan(folder, plan, replace=overwrite)
            yield cls(output, plan)

    @property
    def done(self) -> int:
        """The number of lines in finished shards."""
        finished = CommitFolder(run_beside(self.output)).committed()
        return sum(shard.stop - shard.start for shard in self.plan.shards if shard.number in finished)

    def compute(self, lines: Lines) -> None:
        """Compute the shards that aren't finished, in order.

        Raises
        ------
        NormLensError
            If a shard fails, or can't be written; what was finished is kept.
        """
        folder = run_beside(self.output)
        report = run(folder, backend=_LineBackend(folder, lines), retry=True)
        for why in report.set_aside.values():
            raise NormLensError(f"{why} What is finished is kept in {folder}; the same command tries again.")

    def write(self) -> None:
        """Write the lines of all shards into the file, and remove the run.

        Raises
        ------
        NormLensError
            If it can't be written; the run is kept.
        """
        folder = run_beside(self.output)
        commits = CommitFolder(folder)
        try:
            with temporary_folder(self.output.parent) as partial:
                with (partial / "lines").open("wb") as file:
                    for _, commit in sorted(commits.committed().items()):
                        file.writelines(line + b"\n" for line in commits.table(commit)["line"].to_pylist())
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial / "lines", self.output)
        except OSError as error:
            raise NormLensError(
                f"{self.output} can't be written: {reason(error)}. All lines are kept in {folder}; make space, and repeat "
                "the command."
            ) from error
        remove_run(folder)


class _LineBackend(InlineBackend):
    """One worker, this process, with what computes lines in place of a model."""

    def __init__(self, folder: Path, lines: Lines) -> None:
        super().__init__(folder)
        self._lines = lines

    def _opened(self) -> _LineWorker:
        return _LineWorker(CommitFolder(self._folder), self._lines)


@dataclass(frozen=True)
class _LineWorker:
    """Computes and commits shards of lines."""

    folder: CommitFolder
    lines: Lines

    def run(self, shard: Shard) -> None:
        """Compute a shard, and commit it."""
        start = time.perf_counter()
        lines = list(self.lines(shard.start, shard.stop))
        table = pa.table({"line": pa.array(lines, pa.binary())})
        self.folder.commit(shard, ShardResult(table, {}, len(lines), 0, 0, 0, (), 0, time.perf_counter() - start))
