"""Time from each command to its first output on a terminal: processor time and wall time.

Every run has its own terminal and is stopped at the first word. Run it with ``python -m benchmarks.first_sign``
(``--quick`` for one round).
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from .machine import Page, machine

_STEERING = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")
_TEXT = "The cat sat on the mat."
_COMMANDS = {
    "analyze minilm-l6": ["analyze", "minilm-l6", _TEXT],
    "analyze smollm2-135m": ["analyze", "smollm2-135m", _TEXT],
    "attribute smollm2-135m": ["attribute", "smollm2-135m", _TEXT],
    "compare smollm2-135m": ["compare", "smollm2-135m", _TEXT],
    "report minilm-l6": ["report", "minilm-l6", "corpus.txt"],
    "cluster heads minilm-l6": ["cluster", "heads", "minilm-l6", "corpus.txt"],
    "topk minilm-l6": ["topk", "minilm-l6", "corpus.txt"],
    "align": ["align", "pairs.tsv"],
}
_GOAL, _LONGEST = 0.5, 120.0  # seconds


def first_sign(arguments: list[str], folder: Path) -> tuple[float, float, str]:
    """Processor seconds and wall seconds until the first word on the terminal, and that word."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "normlens", *arguments]
    start, seen = time.perf_counter(), b""
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            while not re.search(rb"\w", _STEERING.sub(b"", seen)):
                if time.perf_counter() - start > _LONGEST:
                    raise TimeoutError(f"{' '.join(arguments)} showed nothing in {_LONGEST:.0f} seconds.")
                seen += os.read(ours, 4096)
            wall, used = time.perf_counter() - start, _processor_seconds(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            os.close(ours)
    return used, wall, _STEERING.sub(b"", seen).decode(errors="replace").strip().splitlines()[0]


def _processor_seconds(process: int) -> float:
    """User and system processor time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round; writes no results")
    options = parser.parse_args()
    described = machine()
    measured: dict[str, list[tuple[float, float, str]]] = {name: [] for name in _COMMANDS}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "corpus.txt").write_text(f"{_TEXT}\n")
        (folder / "pairs.tsv").write_text("Das ist ein Hund .\tThis is a dog .\n")
        for _ in range(1 if options.quick else 5):
            for name, arguments in _COMMANDS.items():
                measured[name].append(first_sign(arguments, folder))
    rows = [["command", "processor", "wall", "what is seen"]]
    for name, runs in measured.items():
        used, wall, words = zip(*runs, strict=True)
        rows.append([f"`normlens {name}`", f"{median(used):.2f} s", f"{median(wall):.2f} s", words[0]])
    note = (
        f"From the start of the process to the first word on a terminal; medians. The goal is {_GOAL} s of processor time. "
        "Wall time depends on the load of the machine (see the load average)."
    )
    cases = [{"command": name, "runs": runs} for name, runs in measured.items()]
    page = Page("The first sign on a terminal", [note], rows, cases, described)
    print(page.markdown())
    if not options.quick:
        page.write("first_sign")


if __name__ == "__main__":
    main()
