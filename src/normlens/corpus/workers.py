"""Who computes shards: this process, or processes of their own. Behind three calls: start, submit, next event."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from normlens.corpus.commits import CommitFolder, ResultsNotWritten
from normlens.corpus.fault_points import fault_point
from normlens.corpus.merged_numbers import STATISTICS_SETTINGS
from normlens.corpus.model_identity import installed_versions, mismatch, model_identity
from normlens.corpus.planned_frequency import read_frequency
from normlens.corpus.run_plan import Shard, read_plan
from normlens.corpus.shard_run import run_shard
from normlens.errors import InvalidInput, NormLensError
from normlens.lens import Lens

_PATIENCE = 5  # seconds for an idle worker to leave
READY, COMMITTED, FAILED, DIED = "ready", "committed", "failed", "died"


@dataclass(frozen=True)
class Event:
    """What happened to a worker.

    Attributes
    ----------
    kind
        "ready": it has loaded the model; "committed": a shard is finished; "failed": a shard raised an error; "died": the
        worker is gone.
    worker
        Its number.
    shard
        The number of its shard; None if it had none.
    message
        Why it failed or died.
    fatal
        Whether no other attempt could succeed.
    """

    kind: str
    worker: int
    shard: int | None = None
    message: str = ""
    fatal: bool = False


class Backend(Protocol):
    """Runs shards somewhere."""

    def start(self, worker: int) -> None:
        """Start a worker; its first event is "ready", or "failed" without a shard."""

    def submit(self, worker: int, shard: Shard) -> None:
        """Give a shard to a worker that is ready and idle."""

    def next_event(self) -> Event:
        """Wait for the next event."""

    def stop(self) -> None:
        """Stop all workers."""


class Worker(Protocol):
    """Computes and commits shards."""

    def run(self, shard: Shard) -> None:
        """Compute a shard and commit it, unless it is committed already."""


class ShardWorker:
    """A worker's own state: the plan, its model, and the folder.

    Parameters
    ----------
    folder
        The folder of the run.
    lens
        The model, if it is loaded already.
    progress
        Called with the number of texts after each batch.

    Raises
    ------
    NormLensError
        If the model can't be loaded, or model or versions are other than planned.
    """

    def __init__(self, folder: Path, lens: Lens | None = None, progress: Callable[[int], object] | None = None) -> None:
        import torch

        from normlens.front_door import load

        self.plan, self._folder = read_plan(folder), CommitFolder(folder)
        torch.set_num_threads(self.plan.threads)
        here = {**installed_versions(), **STATISTICS_SETTINGS}
        if different := mismatch({**self.plan.versions, **self.plan.statistics}, here):
            raise InvalidInput(
                f"This worker doesn't fit the plan: {different}. Install what was planned, or plan anew."
            )
        self._frequency, self._progress = read_frequency(folder, self.plan.frequency), progress
        self._lens = load(self.plan.source, **self.plan.loading) if lens is None else lens
        if different := mismatch(self.plan.model, model_identity(self._lens)):
            raise InvalidInput(f"This model isn't the planned one: {different}. Restore it, or plan anew.")

    def run(self, shard: Shard) -> None:
        """Compute a shard and commit it, unless it is committed already."""
        result = run_shard(self.plan, shard, self._lens, self._frequency, self._progress)
        fault_point("computed")
        self._folder.commit(shard, result)


class InlineBackend:
    """One worker: this process.

    Parameters
    ----------
    folder
        The folder of the run.
    lens
        The model, if it is loaded already.
    progress
        Called with the number of texts after each batch.
    """

    def __init__(self, folder: Path, lens: Lens | None = None, progress: Callable[[int], object] | None = None) -> None:
        self._folder, self._lens, self._progress = folder, lens, progress
        self._worker: Worker | None = None
        self._waiting: deque[Callable[[], Event]] = deque()

    def start(self, worker: int) -> None:
        """Load the model at the next event."""
        self._waiting.append(lambda: self._started(worker))

    def submit(self, worker: int, shard: Shard) -> None:
        """Compute the shard at the next event."""
        self._waiting.append(lambda: self._computed(worker, shard))

    def next_event(self) -> Event:
        """Do what is waiting."""
        return self._waiting.popleft()()

    def stop(self) -> None:
        """Forget the model."""
        self._worker = None

    def _started(self, worker: int) -> Event:
        self._worker = self._opened()
        return Event(READY, worker)

    def _opened(self) -> Worker:
        return ShardWorker(self._folder, self._lens, self._progress)

    def _computed(self, worker: int, shard: Shard) -> Event:
        assert self._worker is not None
        return attempted(self._worker, worker, shard)


class PoolBackend:
    """Workers that are processes of their own, started afresh, so that one may die without the others.

    Parameters
    ----------
    folder
        The folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, tuple[Any, Connection]] = {}
        self._running: dict[int, int] = {}

    def start(self, worker: int) -> None:
        """Start a process."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, str(self._folder), worker), daemon=True)
        process.start()
        theirs.close()
        self._workers[worker] = (process, ours)

    def submit(self, worker: int, shard: Shard) -> None:
        """Send the shard to the process."""
        self._running[worker] = shard.number
        try:
            self._workers[worker][1].send(shard)
        except OSError:  # it has just died; the next event says so
            return

    def next_event(self) -> Event:
        """Wait for a message, or for the end of a process."""
        by_connection = {connection: worker for worker, (_, connection) in self._workers.items()}
        connection = wait(list(by_connection))[0]
        worker = by_connection[connection]  # type: ignore[index]
        try:
            event: Event = self._workers[worker][1].recv()
        except (EOFError, OSError):
            process, ours = self._workers.pop(worker)
            process.join()
            ours.close()
            how = f"signal {-process.exitcode}" if (process.exitcode or 0) < 0 else f"exit status {process.exitcode}"
            return Event(DIED, worker, self._running.pop(worker, None), f"the worker died ({how})")
        if event.kind in (COMMITTED, FAILED):
            self._running.pop(worker, None)
        return event

    def stop(self) -> None:
        """End all processes: idle ones at once, busy ones by force."""
        for worker, (process, connection) in self._workers.items():
            connection.close()  # an idle worker reads the end, and leaves
            if worker in self._running:
                process.terminate()
        for process, _ in self._workers.values():
            process.join(_PATIENCE)
            if process.is_alive():
                process.terminate()
                process.join()
        self._workers, self._running = {}, {}


def _serve(connection: Connection, folder: str, worker: int) -> None:
    """A worker's process: load, then compute what arrives until nothing can arrive any more."""
    from transformers.utils import logging

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to stop
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        own = ShardWorker(Path(folder))
    except NormLensError as error:
        connection.send(Event(FAILED, worker, None, str(error), fatal=True))
        return
    try:
        connection.send(Event(READY, worker))
        fault_point("ready")
        while True:
            connection.send(attempted(own, worker, connection.recv()))
    except (EOFError, OSError):  # the driver has ended
        return


def attempted(own: Worker, worker: int, shard: Shard) -> Event:
    """Compute and commit a shard; what happened."""
    try:
        own.run(shard)
    except NormLensError as error:
        return Event(FAILED, worker, shard.number, str(error), fatal=isinstance(error, ResultsNotWritten))
    except Exception:
        return Event(FAILED, worker, shard.number, traceback.format_exc(limit=-3).strip())
    return Event(COMMITTED, worker, shard.number)
