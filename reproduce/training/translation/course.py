"""The course of a training: loss, clock, log, snapshots of the weights, and the times of checkpoints."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import MarianTokenizer, Seq2SeqTrainer, TrainerCallback, TrainerControl, TrainerState

from normlens.errors import InvalidInput
from reproduce.training.translation.batches import IGNORED, Course, EncodedPairs
from reproduce.training.translation.export import held_out_loss
from reproduce.training.translation.guide import guided_loss

SECONDS_BETWEEN_CHECKPOINTS = 600


def only_item(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return an item of the course, which is a batch."""
    if len(items) != 1:
        raise InvalidInput(
            f"{len(items)} batches came at once; expected one per device. Use accelerate launch for several GPUs."
        )
    return items[0]


def smoothed_loss(outputs: Any, labels: Tensor) -> Tensor:
    """Cross-entropy with a tenth of the mass spread over the vocabulary, mean over pieces."""
    logits = outputs.logits.float().flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORED, label_smoothing=0.1)


class GuidedTrainer(Seq2SeqTrainer):  # type: ignore[misc]
    """transformers' trainer with the smoothed loss, plus the guide's if a batch has one."""

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *further: Any, **options: Any) -> Tensor:
        """Loss of one batch; the guide applies to the decoder's first layer."""
        guide, labels = inputs.pop("guide", None), inputs.pop("labels")
        outputs = model(**inputs, use_cache=False, output_attentions=guide is not None)
        loss = smoothed_loss(outputs, labels)
        if guide is not None:
            loss = loss + guided_loss(outputs.cross_attentions[0], guide, inputs["decoder_input_ids"])
        return loss


def steps_of_snapshots(steps: int, epochs: float) -> set[int]:
    """Number of the step that ends each half epoch, and the last."""
    halves = max(1, round(2 * epochs))
    return {round(steps * k / halves) for k in range(1, halves + 1)}


def progress_at_end(training: Path) -> dict[str, float]:
    """Seconds, processor seconds and pairs of a finished training."""
    log = json.loads((training / "log.json").read_text(encoding="utf-8"))
    return {name: max(entry.get(name, 0) for entry in log) for name in ("seconds", "cpu_seconds", "pairs")}


class Record(TrainerCallback):  # type: ignore[misc]
    """Times a training, logs it, takes snapshots of the weights, and requests a checkpoint every ten minutes.

    Parameters
    ----------
    course
        The course, which counts the pairs seen.
    tokenizer
        Saved beside each snapshot, so that it loads as a model.
    held_out
        Pairs for the held-out loss.
    out
        Folder for ``log.json`` and ``snapshots``.
    snapshots
        Steps after which the weights are kept.
    before
        Cost of the training that this one starts from; see :func:`progress_at_end`.
    """

    def __init__(
        self,
        course: Course,
        tokenizer: MarianTokenizer,
        held_out: EncodedPairs,
        out: Path,
        snapshots: set[int],
        before: Mapping[str, float] | None = None,
    ) -> None:
        self.course, self.tokenizer, self.held_out = course, tokenizer, held_out
        self.out, self.snapshots = out, snapshots
        self.before = before or {}

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Start the clocks from the times of earlier runs."""
        last: Mapping[str, float] = max(
            state.log_history, key=lambda entry: entry.get("seconds", 0.0), default=self.before
        )
        self.started = time.monotonic() - last.get("seconds", 0.0)
        self.started_cpu = time.process_time() - last.get("cpu_seconds", 0.0)
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, model: Any, **kwargs: Any) -> None:
        """Request a checkpoint or take a snapshot when one is due."""
        last = state.global_step == state.max_steps
        if last or (time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS and args.world_size == 1):
            control.should_log = control.should_save = True
            self.saved = time.monotonic()
        if args.world_size > 1 and state.global_step in self.snapshots:
            control.should_log = control.should_save = True
        if state.global_step in self.snapshots and state.is_world_process_zero:
            self._snapshot(state, model)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add times and pairs to the entry, and write the log."""
        state.log_history[-1] |= self._progress(args.world_size, state.global_step)
        if state.is_world_process_zero:
            (self.out / "log.json").write_text(json.dumps(state.log_history, indent=1) + "\n", encoding="utf-8")

    def _snapshot(self, state: TrainerState, model: Any) -> None:
        bare = getattr(model, "module", model)
        loss = held_out_loss(bare, self.held_out)
        state.log_history.append({"dev_loss": loss, "step": state.global_step, **self._progress(1, state.global_step)})
        folder = self.out / "snapshots" / f"step-{state.global_step:06d}"
        copy.deepcopy(bare).half().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _progress(self, devices: int, step: int) -> dict[str, float]:
        seen = self.course.pairs_seen[min(step * devices, len(self.course))]
        return {
            "seconds": round(time.monotonic() - self.started, 1),
            "cpu_seconds": round(time.process_time() - self.started_cpu, 1),
            "pairs": int(seen + self.before.get("pairs", 0)),
        }
