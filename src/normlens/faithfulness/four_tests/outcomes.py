"""What a trained cell says of the texts: predictions and explanations, kept in a file that appears whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from normlens.faithfulness.four_tests.families import Scores
from normlens.faithfulness.four_tests.training import Epoch
from normlens.files.atomic import write_atomically

_FILE = "outcome.npz"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trained model.

    Attributes
    ----------
    history
        Dev results of its epochs.
    probabilities
        Split to ``(text, class)``.
    scores
        Explanation to split to the scores of each text's tokens.
    instances
        Name to one number for each test text that was looked at, in order; NaN where there is none.
    seconds
        What training and explaining took.
    """

    history: list[Epoch]
    probabilities: Mapping[str, Float[np.ndarray, "text class"]]
    scores: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict)
    instances: Mapping[str, Float[np.ndarray, " text"]] = field(default_factory=dict)
    seconds: float = 0.0

    def save(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write everything into a folder.

        Parameters
        ----------
        folder
            Where it goes.
        about
            What a person should know about it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {f"probabilities/{split}": x for split, x in self.probabilities.items()}
        arrays |= {f"instances/{name}": x for name, x in self.instances.items()}
        for explanation, by_split in self.scores.items():
            for split, rows in by_split.items():
                arrays[f"scores/{explanation}/{split}"] = np.concatenate(rows).astype(np.float32)
                arrays[f"lengths/{explanation}/{split}"] = np.array([len(row) for row in rows])
        record = {**about, "history": [asdict(epoch) for epoch in self.history], "seconds": self.seconds}
        arrays["record"] = np.array(json.dumps(record, ensure_ascii=False))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        write_atomically(folder / _FILE, buffer.getbuffer())

    @staticmethod
    def load(folder: Path) -> Outcome | None:
        """Read what a folder holds; None if it holds no whole outcome."""
        try:
            with np.load(folder / _FILE, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            record = json.loads(str(arrays["record"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None
        scores: dict[str, dict[str, Scores]] = {}
        for name in arrays:
            if name.startswith("scores/"):
                explanation, split = name.removeprefix("scores/").rsplit("/", 1)
                ends = np.cumsum(arrays[f"lengths/{explanation}/{split}"])[:-1]
                scores.setdefault(explanation, {})[split] = np.split(arrays[name].astype(np.float64), ends)
        return Outcome(
            [Epoch(**epoch) for epoch in record["history"]],
            {name.split("/")[1]: x for name, x in arrays.items() if name.startswith("probabilities/")},
            scores,
            {name.split("/", 1)[1]: x for name, x in arrays.items() if name.startswith("instances/")},
            record["seconds"],
        )
