"""Results with the machine and the versions of their measurement."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

import normlens


def machine() -> dict[str, str]:
    """Processor, cores, memory, load at the start, and versions; no names of hosts or users."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "memory": f"{memory:.0f} GiB",
        "load average at the start": f"{os.getloadavg()[0]:.1f}",
        "normlens": normlens.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def free_memory() -> int:
    """Bytes of memory available now."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), platform.machine())


@dataclass(frozen=True)
class Page:
    """One benchmark's outcome.

    Attributes
    ----------
    title
        Title of the page.
    notes
        Paragraphs above the table.
    table
        Rows of cells; the first is the head.
    numbers
        All measurements, for the JSON.
    """

    title: str
    notes: list[str]
    table: list[list[str]]
    numbers: list[dict[str, Any]]
    machine: dict[str, str] = field(default_factory=machine)

    def markdown(self) -> str:
        """The page in Markdown."""
        head, *rows = self.table
        lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
        described = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        return "\n\n".join([f"### {self.title}", f"Machine: {described}.", *self.notes, "\n".join(lines)]) + "\n"

    def write(self, name: str) -> None:
        """Write ``results/NAME.md`` and ``results/NAME.json``."""
        folder = Path(__file__).parent / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(self.markdown(), encoding="utf-8")
        numbers = {"machine": self.machine, "measured": self.numbers}
        (folder / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
