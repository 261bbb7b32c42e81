"""One thread that computes for everyone, one request at a time, with a bounded queue."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from normlens.errors import TooBusy

MOST_WAITING = 16
"""Requests that may wait while one is computed."""
Result = TypeVar("Result")


class ComputationQueue:
    """A thread that runs functions in the order in which they were submitted."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="normlens-view", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have a function run.

        Parameters
        ----------
        work
            The function.

        Raises
        ------
        TooBusy
            If the queue is full.
        """
        future: Future[Result] = Future()
        try:
            self._waiting.put_nowait((future, work))
        except queue.Full:
            raise TooBusy(
                f"{MOST_WAITING} requests are waiting already, so this one was not taken. Wait for a moment, and repeat it."
            ) from None
        return future

    def close(self) -> None:
        """Drop what waits; the thread ends after the function that runs."""
        with contextlib.suppress(queue.Empty):
            while (entry := self._waiting.get_nowait()) is not None:
                entry[0].cancel()
        self._waiting.put(None)

    def _work(self) -> None:
        while (entry := self._waiting.get()) is not None:
            future, work = entry
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # whoever waits for the future raises it
                future.set_exception(error)
            del entry, future, work
