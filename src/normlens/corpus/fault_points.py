"""Points at which a test can kill this process, to show that nothing is lost there."""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "NORMLENS_KILL_AT"
"""Environment variable: the name of a point, or ``name:n`` for the nth time that it is passed."""

_passed: Counter[str] = Counter()


def fault_point(name: str) -> None:
    """Kill this process, as the kernel would, if the environment asks for it here; else do nothing."""
    asked = os.environ.get(VARIABLE)
    if asked is None:
        return
    _passed[name] += 1
    point, _, count = asked.partition(":")
    if point == name and _passed[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
