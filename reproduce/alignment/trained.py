"""The folders of ``python -m reproduce train-translation``: one direction of a run, its model, text and settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainedDirection:
    """One direction of a run.

    Attributes
    ----------
    run
        Folder of the run.
    direction
        "de-en" or "en-de".
    """

    run: Path
    direction: str

    @property
    def name(self) -> str:
        """Name in the results."""
        return f"{self.direction}-{self.run.name}"

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.run / self.direction

    @property
    def course(self) -> Path:
        """Folder of log and snapshots."""
        return self.run / "training" / self.direction

    def settings(self) -> dict[str, Any]:
        """The recipe, with the direction and whether the text was "free" or "all"."""
        kept = self.run / "training"
        texts = _read(kept / "run.json")["text"]
        kind = "all" if any(name.startswith("opennmt") for name in texts) else "free"
        recipe = _read(kept / "recipe.json")
        guide = None if recipe["guide"] == "none" else recipe["guide"]
        return {"direction": self.direction, "texts": kind, **recipe, "guide": guide}

    def training(self) -> dict[str, Any]:
        """What is known of the finished model, as results are kept."""
        return {**_read(self.model / "training.json"), "settings": self.settings()}


def text_file(run: Path, which: str, side: str) -> Path:
    """A file of a run's text: ``which`` is "train" or "held_out"."""
    return run / "training" / "text" / f"{which}.{side}"


def directions_of(runs: Sequence[Path], *, finished: bool = True) -> list[TrainedDirection]:
    """Every direction of some runs; those in training, too, unless they must be finished."""
    every = [TrainedDirection(run, direction) for run in runs for direction in ("de-en", "en-de")]
    return [one for one in every if one.model.is_dir() or (not finished and (one.course / "log.json").exists())]


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
