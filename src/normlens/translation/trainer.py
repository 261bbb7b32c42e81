"""The training of one direction: loss, clock, log, snapshots of the weights, and the times of checkpoints."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import (
    MarianTokenizer,
    PreTrainedModel,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from normlens.errors import InvalidInput
from normlens.files.atomic import write_atomically
from normlens.translation.batches import IGNORED, Course, EncodedPairs
from normlens.translation.guidance import guided_loss
from normlens.translation.recipe import Precision
from normlens.translation.scoring import held_out_loss

SECONDS_BETWEEN_CHECKPOINTS = 300


class Reporter(Protocol):
    """Receives the progress of a training."""

    def message(self, text: str) -> None:
        """Announce a stage of the training, or its estimated time."""

    def steps(self, direction: str, done: int, total: int) -> None:
        """Report that ``done`` of the ``total`` steps of a direction are done."""


class Silent:
    """A reporter that says nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def steps(self, direction: str, done: int, total: int) -> None:
        """Say nothing."""


def only_item(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return an item of the course, which is a batch."""
    (item,) = items
    return item


def smoothed_loss(outputs: Any, labels: Tensor) -> Tensor:
    """Cross-entropy with a tenth of the mass spread over the vocabulary, mean over pieces."""
    logits = outputs.logits.float().flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, label_smoothing=0.1)


def training_loss(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Loss of one batch of a :class:`Course`; the guide, if there is one, applies to the decoder's first layer."""
    batch = dict(inputs)
    guide, labels = batch.pop("guide", None), batch.pop("labels")
    outputs = model(**batch, use_cache=False, output_attentions=guide is not None)
    loss = smoothed_loss(outputs, labels)
    if guide is not None:
        loss = loss + guided_loss(outputs.cross_attentions[0], guide, batch["decoder_input_ids"])
    return loss


class GuidedTrainer(Seq2SeqTrainer):  # type: ignore[misc]
    """transformers' trainer with :func:`training_loss`."""

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *further: Any, **options: Any) -> Tensor:
        """Loss of one batch."""
        return training_loss(model, inputs)


def half_epochs(steps: int, epochs: float) -> set[int]:
    """Number of the step that ends each half epoch, and the last."""
    halves = max(1, round(2 * epochs))
    return {round(steps * k / halves) for k in range(1, halves + 1)} - {0}


@dataclass(frozen=True)
class TrainingDirection:
    """One direction of a training.

    Attributes
    ----------
    name
        Such as "de→fr".
    course
        Its batches.
    held_out
        Pairs for the held-out loss; may be empty.
    folder
        Of checkpoints, ``log.json`` and ``snapshots``.
    snapshot_tokenizer
        Saved beside a snapshot of the weights at the end of every half epoch, so that each loads as a model; None for no
        snapshots.
    """

    name: str
    course: Course
    held_out: EncodedPairs
    folder: Path
    snapshot_tokenizer: MarianTokenizer | None = None


class Record(TrainerCallback):  # type: ignore[misc]
    """Times a training, logs it, takes snapshots of the weights, and requests a checkpoint every few minutes.

    Parameters
    ----------
    direction
        The direction that is trained.
    measured
        Steps after which the held-out loss is logged.
    reporter
        Receives the number of steps done.
    """

    def __init__(self, direction: TrainingDirection, measured: set[int], reporter: Reporter) -> None:
        self.direction, self.measured, self.reporter = direction, measured, reporter

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Start the clocks from the times of earlier runs."""
        last: Mapping[str, float] = max(state.log_history, key=lambda entry: entry.get("seconds", 0.0), default={})
        self.started = time.monotonic() - last.get("seconds", 0.0)
        self.started_cpu = time.process_time() - last.get("cpu_seconds", 0.0)
        self.saved = time.monotonic()
        self.reporter.steps(self.direction.name, state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, model: Any, **kwargs: Any) -> None:
        """Request a checkpoint or measure the held-out loss when one is due."""
        self.reporter.steps(self.direction.name, state.global_step, state.max_steps)
        if state.global_step == state.max_steps or time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
            control.should_log = control.should_save = True
            self.saved = time.monotonic()
        if state.global_step in self.measured:
            self._measure(state, model)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add times and pairs to the entry, and write the log."""
        state.log_history[-1] |= self._progress(state.global_step)
        write_atomically(self.direction.folder / "log.json", json.dumps(state.log_history, indent=1) + "\n")

    def _measure(self, state: TrainerState, model: Any) -> None:
        entry: dict[str, float] = {"step": state.global_step, **self._progress(state.global_step)}
        if len(self.direction.held_out):
            entry["dev_loss"] = held_out_loss(model, self.direction.held_out)
        state.log_history.append(entry)
        if self.direction.snapshot_tokenizer is not None:
            folder = self.direction.folder / "snapshots" / f"step-{state.global_step:06d}"
            copy.deepcopy(model).half().save_pretrained(folder)
            self.direction.snapshot_tokenizer.save_pretrained(folder)

    def _progress(self, step: int) -> dict[str, float]:
        return {
            "seconds": round(time.monotonic() - self.started, 1),
            "cpu_seconds": round(time.process_time() - self.started_cpu, 1),
            "pairs": int(self.direction.course.pairs_seen[step]),
        }


class Schedule(Protocol):
    """What a recipe says about the steps of a training: see :class:`~normlens.translation.Recipe`."""

    @property
    def epochs(self) -> float:
        """Passes over the pairs."""

    @property
    def learning_rate(self) -> float:
        """Its peak."""

    @property
    def warmup(self) -> int:
        """Most steps until the peak."""

    @property
    def precision(self) -> Precision:
        """Of the products."""

    @property
    def seed(self) -> int:
        """Of every random number."""


def trainer_of(
    recipe: Schedule, model: PreTrainedModel, direction: TrainingDirection, device: str, reporter: Reporter
) -> GuidedTrainer:
    """Set up transformers' trainer: one item of the course is one batch, taken in order."""
    steps = len(direction.course)
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(direction.folder),
        seed=recipe.seed,
        num_train_epochs=1,
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        learning_rate=recipe.learning_rate,
        warmup_steps=min(recipe.warmup, steps // 10),
        lr_scheduler_type="cosine",
        optim="adamw_torch_fused" if device in ("cpu", "cuda") else "adamw_torch",
        adam_beta2=0.98,
        weight_decay=0.0,
        max_grad_norm=1.0,
        use_cpu=device == "cpu",
        bf16=recipe.precision == "bfloat16",
        logging_steps=50,
        save_strategy="no",
        save_total_limit=2,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # batches of the course are those of one device
    trainer = GuidedTrainer(
        model=model,
        args=arguments,
        train_dataset=direction.course,
        data_collator=only_item,
        callbacks=[Record(direction, half_epochs(steps, recipe.epochs), reporter)],
    )
    trainer.remove_callback(PrinterCallback)  # standard output belongs to results
    return trainer


def device_for_training(named: str | None) -> str:
    """The device: as named, or a GPU if there is one.

    Raises
    ------
    InvalidInput
        If there is no such device.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    available = ["cpu", *([accelerator.type] if accelerator is not None else [])]
    if named is None:
        return available[-1]
    if named not in available:
        raise InvalidInput(
            f"A model can't be trained on {named!r}; expected one of {', '.join(available)}. To choose one of several GPUs, "
            "set CUDA_VISIBLE_DEVICES."
        )
    return named
