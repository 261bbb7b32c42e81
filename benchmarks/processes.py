"""Memory of a process, now and at its peak, and fresh processes for measurements."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start_peak() -> int:
    """Reset the peak of this process's resident memory; return the bytes in use now."""
    _CLEAR.write_text("5")
    return _resident("VmRSS")


def peak() -> int:
    """Peak resident memory of this process since `start_peak`, in bytes."""
    return _resident("VmHWM")


def resident() -> int:
    """Resident memory of this process now, in bytes."""
    return _resident("VmRSS")


def in_fresh_process(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module arguments``; freed memory is returned to the system at once."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a process printed.

    Raises
    ------
    RuntimeError
        If it failed, with its output.
    """
    if done.returncode:
        raise RuntimeError(f"{' '.join(done.args)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


def _resident(field: str) -> int:
    line = next(x for x in _STATUS.read_text().splitlines() if x.startswith(field))
    return 1024 * int(line.split()[1])
