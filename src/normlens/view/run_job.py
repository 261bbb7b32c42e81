"""A run that was asked for, and how far it is."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RunJob:
    """A run and how far it is.

    Attributes
    ----------
    state
        "waiting", "loading", "running", "done", "failed" or "cancelled".
    message
        What happened, if it failed.
    done, total
        Number of layers.
    is_cancelled
        Set by whoever no longer needs it.
    """

    name: str
    state: str = "waiting"
    message: str = ""
    done: int = 0
    total: int = 0
    since: float = field(default_factory=time.monotonic)
    is_cancelled: threading.Event = field(default_factory=threading.Event)

    def facts(self) -> dict[str, Any]:
        """What the page shows of it."""
        seconds = round(time.monotonic() - self.since, 1)
        return {
            "run": self.name, "state": self.state, "message": self.message, "done": self.done, "total": self.total,
            "seconds": seconds,
        }  # fmt: skip

    def advance(self, done: int, total: int) -> None:
        """Note how far the run is, and end it if it was cancelled."""
        from normlens.view.kept_runs import RunCancelled

        self.done, self.total = done, total
        if self.is_cancelled.is_set():
            raise RunCancelled
