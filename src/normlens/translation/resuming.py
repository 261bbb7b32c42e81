"""A training that is run to its end, or resumed at its last checkpoint."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from normlens.errors import InvalidInput, install_command
from normlens.translation.durations import seconds_of_training
from normlens.translation.run_folder import last_checkpoint
from normlens.translation.trainer import GuidedTrainer, Reporter, Schedule, TrainingDirection, trainer_of


def run_or_resume(
    recipe: Schedule, model: PreTrainedModel, direction: TrainingDirection, device: str, reporter: Reporter
) -> GuidedTrainer:
    """Train a model to the end of its course.

    Parameters
    ----------
    recipe, direction, device, reporter
        As in :func:`~normlens.translation.trainer.trainer_of`.
    model
        With its first weights, the same in every run.

    Returns
    -------
    GuidedTrainer
        With the trained model.
    """
    done = last_checkpoint(direction.folder)
    for path in direction.folder.glob("checkpoint-*"):
        if done is None or _step(path) > _step(done):
            shutil.rmtree(path)  # incomplete
    reporter.message(f"{direction.name}: {'resuming' if done else 'training'}")
    trainer = trainer_of(recipe, model, direction, device, reporter)
    trainer.train(resume_from_checkpoint=None if done is None else str(done))
    return trainer


def seconds_left(model: PreTrainedModel, direction: TrainingDirection, recipe: Schedule, device: str) -> float:
    """Estimated time of the rest of a training, measured on a few of its steps."""
    course, done = direction.course, last_checkpoint(direction.folder)
    left = 1 - (_step(done) / len(course) if done else 0)
    return left * seconds_of_training(model, course, recipe, device)


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished training."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)


def require_packages() -> None:
    """Refuse to begin without the packages of the extra.

    Raises
    ------
    InvalidInput
        Naming the first that is missing.
    """
    from importlib.util import find_spec

    for name in ("sentencepiece", "accelerate", "sacrebleu"):
        if find_spec(name) is None:
            raise InvalidInput(
                f"Translation models are trained with {name}, which isn't installed. Run "
                f"`{install_command('translation')}`."
            )


@contextmanager
def own_random_state() -> Iterator[None]:
    """Leave the caller's random generators as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])
