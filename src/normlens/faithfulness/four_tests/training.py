"""Training: one loop for every classifier and every loss, with the best epoch chosen on the dev split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn

from normlens.errors import InvalidInput
from normlens.faithfulness.four_tests.encoded_texts import Batch, EncodedTexts
from normlens.faithfulness.four_tests.models import Prediction

Read = Callable[[nn.Module, Batch, str], Prediction]
"""How a model reads a batch of a split: with its own attention, uniform, or guided."""

Objective = Callable[[Prediction, Batch, str], Tensor]
"""The loss of a batch of a split."""


@dataclass(frozen=True)
class TrainingOptions:
    """How a classifier is trained.

    Attributes
    ----------
    epochs
        Passes over the training texts; the one with the best dev result is kept.
    batch_size
        Texts in a batch.
    learning_rate
        Of Adam; with a warmup, its peak.
    weight_decay
        Of all parameters except those of additive attention.
    warmup
        Share of the steps in which the learning rate rises from 0, before it falls to 0 linearly. None: it is constant.
    """

    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    warmup: float | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            require_integer(name, getattr(self, name), 1)
        for name in ("learning_rate", "weight_decay", "warmup"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < (1 if name == "warmup" else np.inf):
                raise InvalidInput(f"{name} is {value}; expected a finite number from 0.")


def require_integer(name: str, value: int | None, smallest: int, largest: int = 100_000) -> None:
    """Refuse a number of an experiment that is too small, or so large that a slip of the pen is likelier than an intention.

    Raises
    ------
    InvalidInput
        Naming the option.
    """
    if value is not None and not smallest <= value <= largest:
        raise InvalidInput(f"{name} is {value!s:.40}; expected an integer from {smallest} to {largest:,}.")


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes
    ----------
    loss
        Mean loss of the dev texts.
    accuracy
        Share of the dev texts that are classified right, from 0 to 1.
    """

    loss: float
    accuracy: float


def train(
    model: nn.Module,
    splits: dict[str, EncodedTexts],
    read: Read,
    objective: Objective,
    options: TrainingOptions,
    seed: int,
    *,
    by_loss: bool = False,
    device: torch.device | str = "cpu",
) -> list[Epoch]:
    """Train a model in place; it ends with the parameters of its best epoch, in evaluation mode.

    Parameters
    ----------
    model
        The classifier.
    splits
        "train" and "dev".
    read, objective
        How it reads a batch, and the loss.
    options
        Epochs, batches and rates.
    seed
        Of the order of the texts and of dropout.
    by_loss
        Choose the epoch by the smallest dev loss. Default: by accuracy, then by loss.
    device
        Where the model is.

    Returns
    -------
    list of Epoch
        Dev results of all epochs.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    steps = options.epochs * -(-len(splits["train"]) // options.batch_size)
    optimizer, schedule = optimizer_of(model, options, steps)
    history: list[Epoch] = []
    best: dict[str, Tensor] = {}
    for _ in range(options.epochs):
        model.train()
        for batch in splits["train"].batches(options.batch_size, generator=generator, device=device):
            optimizer.zero_grad(set_to_none=True)
            loss = objective(read(model, batch, "train"), batch, "train")
            loss.backward()
            if options.warmup is not None:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        history.append(evaluated(model, splits["dev"], read, objective, device))
        if _best(history, by_loss) == len(history) - 1:
            best = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    model.eval()
    return history


def optimizer_of(
    model: nn.Module, options: TrainingOptions, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam with amsgrad and no weight decay on additive attention, as the paper trains; AdamW where there is a warmup."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    spared = [parameter for name, parameter in trained if name.startswith("attention.") or parameter.ndim < 2]
    others = [parameter for name, parameter in trained if not (name.startswith("attention.") or parameter.ndim < 2)]
    groups = [{"params": others, "weight_decay": options.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    if options.warmup is None:
        optimizer: torch.optim.Optimizer = torch.optim.Adam(groups, lr=options.learning_rate, amsgrad=True, fused=True)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    rising = max(1, round(options.warmup * steps))
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)
    factor = lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))  # noqa: E731
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def predicted(
    model: nn.Module,
    encoded: EncodedTexts,
    read: Read,
    split: str,
    *,
    device: torch.device | str = "cpu",
    size: int = 64,
) -> tuple[Float[np.ndarray, "text class"], list[Float[np.ndarray, " token"]]]:
    """Probabilities and attention of all texts of a split, in their order.

    Parameters
    ----------
    model, encoded, read, split, device
        As in :func:`train`.
    size
        Texts that run together.

    Returns
    -------
    probabilities, attention
        The second has one array for each text, as long as its ids.
    """
    probabilities: dict[int, Float[np.ndarray, " class"]] = {}
    attention: dict[int, Float[np.ndarray, " token"]] = {}
    with torch.no_grad():
        for batch in encoded.batches(size, device=device):
            prediction = read(model, batch, split)
            pairs = zip(
                prediction.probabilities.double().cpu().numpy(), prediction.attention.cpu().numpy(), strict=True
            )
            for row, (classes, alpha) in zip(batch.rows, pairs, strict=True):
                probabilities[row], attention[row] = classes, alpha[: len(encoded.ids[row])]
    order = range(len(encoded))
    return np.stack([probabilities[row] for row in order]), [attention[row] for row in order]


def f1(probabilities: Float[np.ndarray, "text class"], labels: Int[np.ndarray, " text"]) -> float:
    """F1 of the second of two classes, or the mean over more classes, from 0 to 1."""
    average = "binary" if probabilities.shape[1] == 2 else "macro"
    return float(f1_score(labels, probabilities.argmax(axis=1), average=average, zero_division=0.0))


def accuracy(probabilities: Float[np.ndarray, "text class"], labels: Int[np.ndarray, " text"]) -> float:
    """Share of the texts whose most probable class is theirs, from 0 to 1."""
    return float(accuracy_score(labels, probabilities.argmax(axis=1)))


def evaluated(
    model: nn.Module, dev: EncodedTexts, read: Read, objective: Objective, device: torch.device | str
) -> Epoch:
    """What a model comes to on the dev split, in evaluation mode."""
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for batch in dev.batches(64, device=device):
            prediction = read(model, batch, "dev")
            loss += float(objective(prediction, batch, "dev")) * len(batch.rows)
            right += int((prediction.probabilities.argmax(dim=-1) == batch.labels).sum())
    return Epoch(loss / len(dev), right / len(dev))


def _best(history: list[Epoch], by_loss: bool) -> int:
    """Number of the best epoch; the first of equals."""
    return min(range(len(history)), key=lambda k: (0.0 if by_loss else -history[k].accuracy, history[k].loss))
