"""The driver of a run: gives shards to workers until all are committed, and replaces workers that die."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from normlens.corpus.commits import CommitFolder
from normlens.corpus.fault_points import fault_point
from normlens.corpus.planned_files import require_unchanged
from normlens.corpus.ray_workers import RayBackend
from normlens.corpus.run_plan import Shard, read_plan
from normlens.corpus.workers import COMMITTED, DIED, FAILED, READY, Backend, Event, InlineBackend, PoolBackend
from normlens.errors import InvalidInput, NormLensError

ATTEMPTS = 3
"""Largest number of attempts of a shard in one run; then it is set aside."""


@dataclass
class RunReport:
    """What a run has done.

    Attributes
    ----------
    committed
        Number of shards that are finished, by this and by earlier runs.
    shards
        Number of shards of the plan, or of this part of it.
    set_aside
        Why shards were set aside, by number.
    """

    committed: int = 0
    shards: int = 0
    set_aside: dict[int, str] = field(default_factory=dict)


Progress = Callable[[Event, RunReport], object]
"""Called after each event."""


def run(
    folder: str | Path,
    *,
    workers: int = 1,
    part: tuple[int, int] = (0, 1),
    retry: bool = False,
    ray: str | None = None,
    backend: Backend | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Compute the shards of a plan that aren't finished; a run that was stopped, or killed, goes on where it was.

    Any number of runs may work on one folder at a time. A shard that two of them compute is committed once.

    Parameters
    ----------
    folder
        The folder of the plan.
    workers
        Number of processes; with 1, this process computes.
    part
        ``(i, n)``: every nth shard, from the ith (counted from 0), for a job array.
    retry
        Whether to try shards again that an earlier run has set aside.
    ray
        Address of a Ray cluster on which the workers run; "local" starts Ray on this machine.
    backend
        Where else workers run. Default: in this process, or in processes on this machine.
    progress
        Called after each event.

    Returns
    -------
    RunReport

    Raises
    ------
    InvalidInput
        If the folder holds no plan, a file has changed since, or a worker doesn't fit the plan.
    NormLensError
        If results can't be written; what was committed is kept.
    """
    folder = Path(folder)
    plan, commits = read_plan(folder), CommitFolder(folder)
    index, count = part
    if workers < 1 or count < 1 or not 0 <= index < count:
        raise InvalidInput(
            f"Got {workers} workers and part {index} of {count}; expected at least one, and a part from 0."
        )
    if retry:
        commits.retry()
    own = [shard for shard in plan.shards if shard.number % count == index]
    finished, aside = commits.committed(), commits.set_aside_shards()
    pending = deque(shard for shard in own if shard.number not in finished and shard.number not in aside)
    report = RunReport(sum(shard.number in finished for shard in own), len(own), aside)
    if not pending:
        return report
    for number in sorted({shard.file for shard in pending}):
        require_unchanged(plan.files[number])
    if backend is None and ray is not None:
        backend = RayBackend(folder, ray)
    elif backend is None:
        backend = InlineBackend(folder) if workers == 1 else PoolBackend(folder)
    try:
        for worker in range(min(workers, len(pending))):
            backend.start(worker)
        _drive(backend, commits, pending, report, progress)
    finally:
        backend.stop()
    return report


def _drive(
    backend: Backend, commits: CommitFolder, pending: deque[Shard], report: RunReport, progress: Progress | None
) -> None:
    """Handle events until no shard is left."""
    running: dict[int, Shard] = {}
    attempts: Counter[int] = Counter()
    idle: set[int] = set()
    deaths_without_work = 0
    while pending or running:
        for worker in sorted(idle):
            if pending:
                running[worker] = pending.popleft()
                idle.discard(worker)
                backend.submit(worker, running[worker])
        event = backend.next_event()
        fault_point("event")
        shard = running.pop(event.worker, None)
        if event.kind == COMMITTED:
            report.committed += 1
        elif shard is not None and event.kind in (FAILED, DIED):
            if event.fatal:
                raise NormLensError(event.message)
            attempts[shard.number] += 1
            if attempts[shard.number] < ATTEMPTS:
                pending.append(shard)
            else:
                why = f"{attempts[shard.number]} attempts failed; the last: {event.message}"
                commits.set_aside(shard, why)
                report.set_aside[shard.number] = why
        elif event.kind == FAILED:
            raise InvalidInput(event.message)
        if event.kind == DIED:
            deaths_without_work = deaths_without_work + 1 if shard is None else 0
            if deaths_without_work >= ATTEMPTS:
                raise NormLensError(
                    f"Workers die before they have loaded the model: {event.message}. Check that there is enough memory for "
                    "each, or use fewer workers."
                )
            if pending or running:
                backend.start(event.worker)
        else:
            idle.add(event.worker)
            deaths_without_work = 0 if event.kind == READY else deaths_without_work
        if progress is not None:
            progress(event, report)
