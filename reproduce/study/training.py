"""Kept by every training: its settings, its checkpoints, and its hardware."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from normlens.errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def keep_settings(settings: DataclassInstance, out: Path) -> None:
    """Write the settings into a new folder, or compare them with those of the existing training."""
    path = out / "settings.json"
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        other = [
            f"{name} {kept.get(name)!r}, now {value!r}"
            for name, value in asdict(settings).items()
            if kept.get(name) != value
        ]
        if other:
            raise InvalidInput(
                f"{out} holds a training with other settings ({'; '.join(other)}). Repeat its settings, or name another "
                "folder with --out."
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")


def last_checkpoint(out: Path) -> str | None:
    """Find the latest complete checkpoint."""
    checkpoints = [path.parent for path in out.glob("checkpoint-*/trainer_state.json")]
    return str(max(checkpoints, key=lambda path: int(path.name.split("-")[1]))) if checkpoints else None


def hardware() -> str:
    """The hardware of the training."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{torch.get_num_threads()} threads of a CPU ({name}), shared with other work"
