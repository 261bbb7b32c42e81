"""The settings of a fine-tuning, and its command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from normlens.errors import InvalidInput
from reproduce.data.classified_texts import READERS


@dataclass(frozen=True)
class Settings:
    """Everything that determines the result of a training; kept with it, so that it resumes only with equal settings.

    Attributes
    ----------
    task
        "sst", "ag_news" or "scone".
    model
        A bundled name, a folder or a hub id.
    seed
        Random seed of the head's weights, order and dropout.
    epochs
        Passes over the texts; the best epoch on dev is kept.
    batch_size
        Texts per step.
    longest
        Maximum number of tokens in training; longer texts are cut, but not in measurements.
    learning_rates
        Peaks to try, with linear warmup over the first tenth of the steps and linear decay to zero.
    limit
        Maximum number of texts per split; None for all.
    """

    task: str
    model: str = "minilm-l6"
    seed: int = 1
    epochs: int = 3
    batch_size: int = 32
    longest: int = 64
    learning_rates: list[float] = field(default_factory=lambda: [5e-5, 1e-4, 2e-5])
    limit: int | None = None

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or self.longest < 8 or min(self.learning_rates, default=0) <= 0:
            raise InvalidInput(
                f"Epochs {self.epochs}, batch size {self.batch_size}, longest {self.longest}, learning rates "
                f"{self.learning_rates}; expected at least 1, 1 and 8, and learning rates above 0."
            )


def read_arguments(about: str | None = None, arguments: Sequence[str] | None = None) -> tuple[Settings, Path, Path]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(READERS), required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("NORMLENS_DATA"), help="default: $NORMLENS_DATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default=Settings.model)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=Settings("").learning_rates)
    for name in ("seed", "epochs", "batch_size", "longest", "limit"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Settings, name))
    options = vars(parser.parse_args(arguments))
    data, out = options.pop("data"), options.pop("out")
    if data is None:
        parser.error("name the data folder with --data or NORMLENS_DATA")
    return Settings(**options), Path(data), out
