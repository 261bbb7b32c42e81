"""The run: trains every cell once, side by side where there are cores, keeps each, and resumes where it stopped."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from normlens.errors import InvalidInput, NormLensError
from normlens.faithfulness.four_tests.cell_work import Workplace, train_cell, workplace
from normlens.faithfulness.four_tests.cells import (
    Cell,
    base_cell,
    diagnostic_cells,
    repeated_adversaries,
    trained_cells,
)
from normlens.faithfulness.four_tests.divergences import jensen_shannon
from normlens.faithfulness.four_tests.experiment import Experiment
from normlens.faithfulness.four_tests.outcomes import Outcome
from normlens.faithfulness.four_tests.training import accuracy
from normlens.loading.progress_bars import bars_console

Outcomes = dict[Cell, Outcome]

_PLACE: Workplace | None = None  # of a worker's process


def run_cells(
    experiment: Experiment,
    folder: Path,
    *,
    workers: int = 1,
    device: str = "cpu",
    progress: bool = True,
) -> tuple[Workplace, Outcomes]:
    """Train every cell of an experiment that the folder doesn't hold yet.

    A cell is computed on one thread, so that its numbers depend neither on the number of workers nor on which cells ran
    before a stop. On any device other than the CPU, cells run one after the other.

    Parameters
    ----------
    experiment
        What to do.
    folder
        Keeps a folder for each cell, named by a hash of its settings, the texts and the cells that it depends on.
    workers
        Cells that run side by side, each in a process of its own.
    device
        Where models run, such as "cpu" or "cuda".
    progress
        Show a progress bar on standard error.

    Returns
    -------
    workplace, outcomes
        The texts as they were used, and the outcome of each cell.

    Raises
    ------
    InvalidInput
        If the experiment can't be run; nothing has been trained then.
    NormLensError
        If a worker was killed; the finished cells are kept.
    """
    if workers < 1:
        raise InvalidInput(f"workers is {workers}; expected an integer from 1.")
    place = workplace(experiment, device)
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(place, folder)
    first = trained_cells(experiment)
    placeholder = base_cell() if _adversaries(first) else None
    later = len(diagnostic_cells(experiment, placeholder)) + len(repeated_adversaries(experiment, placeholder))
    slots = workers if device == "cpu" else 1
    with _shown(len(first) + later, progress) as advance, _trainer(place, slots) as start:
        outcomes = _complete(first, {}, store, start, slots, advance)
        chosen = chosen_adversary(place, outcomes)
        second = [*repeated_adversaries(experiment, chosen), *diagnostic_cells(experiment, chosen)]
        outcomes = _complete(second, outcomes, store, start, slots, advance)
    return place, outcomes


class Store:
    """The folders of the cells.

    Parameters
    ----------
    place
        What all cells share.
    folder
        Holds a folder for each.
    """

    def __init__(self, place: Workplace, folder: Path) -> None:
        self._place, self._folder, self._data = place, folder, place.fingerprint

    def path(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self._folder / cell.key(self._place.experiment, self._data)

    def load(self, cell: Cell) -> Outcome | None:
        """The outcome of a cell, if it is there and whole."""
        return Outcome.load(self.path(cell))

    def save(self, cell: Cell, outcome: Outcome) -> None:
        """Keep an outcome."""
        outcome.save(self.path(cell), {"cell": cell.name})


def chosen_adversary(place: Workplace, outcomes: Mapping[Cell, Outcome]) -> Cell | None:
    """The adversary that guides the diagnostic: chosen on dev, the one whose attention is farthest from the base model's.

    Only adversaries whose dev accuracy is at least that of the worst seed are eligible (where no seeds are compared, at
    least that of the base model less its standard error); where there is none, the one with the best dev accuracy is taken.
    Further seeds of a λ play no part. None: there is no adversary.
    """
    dev = place.splits["dev"]
    adversaries = [cell for cell in _adversaries(outcomes) if cell.seed == 1]
    if not adversaries:
        return None
    right = {
        cell: accuracy(outcomes[cell].probabilities["dev"], dev.labels)
        for cell in outcomes
        if cell.role != "diagnostic"
    }
    worst = min(right[cell] for cell in outcomes if cell.role == "learned")
    if not place.experiment.compares_seeds:
        worst -= float(np.sqrt(worst * (1 - worst) / len(dev)))
    eligible = [cell for cell in adversaries if right[cell] >= worst]
    if not eligible:
        return max(adversaries, key=lambda cell: right[cell])
    base = outcomes[base_cell()].scores["weight"]["dev"]

    def distance(cell: Cell) -> float:
        pairs = zip(outcomes[cell].scores["weight"]["dev"], base, dev.readable, strict=True)
        return float(np.mean([jensen_shannon(own, other, mask) for own, other, mask in pairs]))

    return max(eligible, key=distance)


def _adversaries(cells: Mapping[Cell, Outcome] | Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell.role == "adversary"]


Start = Callable[[Cell, Mapping[Cell, Outcome]], "Future[Outcome]"]


def _complete(
    cells: Sequence[Cell], outcomes: Outcomes, store: Store, start: Start, slots: int, advance: Callable[[str], None]
) -> Outcomes:
    """All outcomes: those that are kept, and those of cells that are trained now, at most ``slots`` at a time."""
    outcomes = dict(outcomes)
    waiting: list[Cell] = []
    for cell in cells:
        kept = store.load(cell)
        if kept is None:
            waiting.append(cell)
        else:
            outcomes[cell] = kept
            advance(cell.name)
    running: dict[Future[Outcome], Cell] = {}
    try:
        while waiting or running:
            ready = [cell for cell in waiting if all(needed in outcomes for needed in cell.needs)]
            for cell in ready[: slots - len(running)]:
                waiting.remove(cell)
                running[start(cell, {needed: outcomes[needed] for needed in cell.needs})] = cell
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                cell = running.pop(future)
                outcomes[cell] = future.result()
                store.save(cell, outcomes[cell])
                advance(cell.name)
    except BrokenProcessPool as error:
        raise NormLensError(
            "A worker was killed, perhaps because the memory was full. Finished cells are kept: run the same command again, "
            "with fewer workers if memory is short."
        ) from error
    finally:
        for future in running:
            future.cancel()
    return {cell: outcomes[cell] for cell in [*(cell for cell in outcomes if cell not in cells), *cells]}


@contextmanager
def _trainer(place: Workplace, workers: int) -> Iterator[Start]:
    """What trains a cell: this process, or a pool of others."""
    if workers == 1:

        def here(cell: Cell, needed: Mapping[Cell, Outcome]) -> Future[Outcome]:
            future: Future[Outcome] = Future()
            with _one_thread():
                future.set_result(train_cell(place, cell, needed))
            return future

        yield here
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(place.experiment, place.device))
    try:
        yield lambda cell, needed: pool.submit(_work, cell, needed)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):  # the standard library stops no running call before 3.14
            process.terminate()


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)


def _begin(experiment: Experiment, device: str) -> None:
    """Prepare a worker's process, which ends when the process that started it is killed."""
    global _PLACE
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _PLACE = workplace(experiment, device)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(cell: Cell, needed: Mapping[Cell, Outcome]) -> Outcome:
    assert _PLACE is not None
    return train_cell(_PLACE, cell, needed)


@contextmanager
def _shown(total: int, progress: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar; what it yields is called with the name of each finished cell."""
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"),
        TimeRemainingColumn(elapsed_when_finished=True), TextColumn("[dim]{task.description}"),
    )  # fmt: skip
    with Progress(*columns, console=bars_console(), disable=not progress) as bar:
        task = bar.add_task("", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
