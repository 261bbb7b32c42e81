"""How long a training will take, measured on a few of its real steps."""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from transformers import PreTrainedModel

from normlens.translation.batches import Course
from normlens.translation.trainer import Schedule, training_loss

TIMED_STEPS = 4


def seconds_of_training(model: PreTrainedModel, course: Course, recipe: Schedule, device: str) -> float:
    """Estimate the time of a whole course: seconds per padded position of a few batches, times all positions.

    Parameters
    ----------
    model
        With its first weights; a copy is trained.
    course
        All batches.
    recipe
        Precision and learning rate.
    device
        Where it is trained.
    """
    trained = copy.deepcopy(model).to(device).train()
    optimizer = torch.optim.AdamW(trained.parameters(), lr=recipe.learning_rate)
    positions = _positions(course)
    chosen = np.argsort(positions)[np.linspace(0, len(positions) - 1, TIMED_STEPS + 2).astype(int)[1:-1]]
    _step(trained, course, int(chosen[0]), recipe, optimizer, device)  # the first is slower than the others
    started = time.perf_counter()
    for number in chosen:
        _step(trained, course, int(number), recipe, optimizer, device)
    return (time.perf_counter() - started) * float(positions.sum() / positions[chosen].sum())


def duration(seconds: float) -> str:
    """A duration in words.

    Examples
    --------
    >>> duration(8), duration(130), duration(5400)
    ('8 s', '2 min', '1.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _step(
    model: PreTrainedModel, course: Course, number: int, recipe: Schedule, optimizer: torch.optim.Optimizer, device: str
) -> None:
    batch = {name: tensor.to(device) for name, tensor in course[number].items()}
    with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        loss = training_loss(model, batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    loss.item()  # waits for the device


def _positions(course: Course) -> np.ndarray:
    """Padded positions of every batch, both sides."""
    source, target = course.pairs.lengths()
    return np.array([len(batch) * (source[batch].max() + target[batch].max()) for batch in course.batches])
