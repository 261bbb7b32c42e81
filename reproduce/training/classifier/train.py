"""Fine-tune an encoder as a classifier of SST's sentences, AG News or ScoNe's pairs; the rate is chosen on dev.

``python -m reproduce train-classifier --task sst --data DATA --out runs/sst``; the same command resumes a killed
run. One training per learning rate; ``out/model`` is the one with the best accuracy on dev, and only that one is
measured on the test split.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from normlens.errors import NormLensError
from normlens.loading.catalog import BUNDLED
from reproduce.data.classified_texts import ClassifiedTexts, DataSplit, read_classified
from reproduce.study.training import hardware, keep_settings, last_checkpoint
from reproduce.training.classifier.settings import Settings, read_arguments

Rows = list[dict[str, Any]]


class Clock(TrainerCallback):  # type: ignore[misc]
    """Logs the duration of the training, over all its runs."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Start from the times of earlier runs."""
        last: dict[str, float] = max(state.log_history, key=lambda entry: entry.get("seconds", 0.0), default={})
        self.started = time.monotonic() - last.get("seconds", 0.0)
        self.started_cpu = time.process_time() - last.get("cpu_seconds", 0.0)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add the times to the entry."""
        state.log_history[-1]["seconds"] = round(time.monotonic() - self.started, 1)
        state.log_history[-1]["cpu_seconds"] = round(time.process_time() - self.started_cpu, 1)


def finetune(settings: Settings, data: Path, out: Path) -> Path:
    """Train with each learning rate, or resume, and keep the best model on dev.

    Parameters
    ----------
    settings
        Settings of the training.
    data
        Folder with the data sets.
    out
        Output folder of trainings and model.

    Returns
    -------
    Path
        Folder of the finished model, with ``training.json``.

    Raises
    ------
    InvalidInput
        If data are missing, or ``out`` has a training with other settings.
    """
    finished = out / "model"
    if finished.exists():
        print(f"{finished} is finished")
        return finished
    texts = read_classified(settings.task, data)
    keep_settings(settings, out)
    tried = [_trained(settings, rate, texts, out / f"rate-{rate:g}") for rate in settings.learning_rates]
    best = max(tried, key=lambda one: one["dev_accuracy"])
    _finish(settings, texts, tried, best, out)
    return finished


def _trained(settings: Settings, rate: float, texts: ClassifiedTexts, folder: Path) -> dict[str, Any]:
    """Train with one learning rate, unless that is done; return its accuracy on dev and its cost."""
    report = folder / "report.json"
    if report.exists():
        return dict(json.loads(report.read_text(encoding="utf-8")))
    set_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(_place(settings.model))
    trainer = trainer_of(settings, rate, texts, tokenizer, folder)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    log = trainer.state.log_history
    results = {
        "learning_rate": rate,
        "dev_accuracy": accuracy(trainer, texts.dev.limited(settings.limit), tokenizer),
        "dev_by_epoch": [round(entry["eval_accuracy"], 4) for entry in log if "eval_accuracy" in entry],
        "steps": trainer.state.global_step,
        "seconds": max(entry.get("seconds", 0.0) for entry in log),
        "cpu_seconds": max(entry.get("cpu_seconds", 0.0) for entry in log),
    }
    trainer.model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    report.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    print(json.dumps(results), flush=True)
    return results


def trainer_of(
    settings: Settings, rate: float, texts: ClassifiedTexts, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> Trainer:
    """Set up transformers' trainer: measured on dev after every epoch, the best epoch kept.

    Parameters
    ----------
    settings, texts
        Settings and data of the training.
    rate
        Peak learning rate.
    tokenizer
        The model's.
    folder
        Folder of checkpoints.
    """
    model = AutoModelForSequenceClassification.from_pretrained(
        _place(settings.model),
        id2label=dict(enumerate(texts.classes)),
        label2id={name: k for k, name in enumerate(texts.classes)},
        dtype=torch.float32,
    )
    training = rows(texts.training.limited(settings.limit), tokenizer, settings.longest)
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=settings.seed,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=64,
        train_sampling_strategy="group_by_length",
        learning_rate=rate,
        warmup_steps=0.1,
        weight_decay=0.01,
        use_cpu=not torch.accelerator.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        logging_steps=20,
        disable_tqdm=not sys.stderr.isatty(),
        report_to=[],
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=rows(texts.dev.limited(settings.limit), tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda predicted: {"accuracy": share_right(predicted)},
        callbacks=[Clock()],
    )


def rows(split: DataSplit, tokenizer: PreTrainedTokenizerBase, longest: int | None = None) -> Rows:
    """Tokenize texts for the trainer."""
    encoded = tokenizer(split.texts, split.second, truncation=longest is not None, max_length=longest, verbose=False)
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in encoded]
    return [{**{name: encoded[name][k] for name in names}, "label": label} for k, label in enumerate(split.labels)]


def share_right(predicted: EvalPrediction) -> float:
    """Share of the texts whose largest logit is that of their class."""
    return float(np.mean(predicted.predictions.argmax(axis=-1) == predicted.label_ids))


def accuracy(trainer: Trainer, split: DataSplit, tokenizer: PreTrainedTokenizerBase) -> float:
    """Accuracy of the trainer's model on a split, from 0 to 1."""
    return round(share_right(trainer.predict(rows(split, tokenizer))), 4)


def _finish(
    settings: Settings, texts: ClassifiedTexts, tried: list[dict[str, Any]], best: dict[str, Any], out: Path
) -> None:
    """Measure the chosen model on the test split, and write it; the folder appears only when it is complete."""
    folder = out / f"rate-{best['learning_rate']:g}" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(folder),
        args=TrainingArguments(
            output_dir=str(out),
            per_device_eval_batch_size=64,
            use_cpu=not torch.accelerator.is_available(),
            disable_tqdm=True,
            report_to=[],
        ),
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    splits = {name: getattr(texts, name).limited(settings.limit) for name in ("training", "dev", "test")}
    training = {
        "settings": asdict(settings),
        "data": texts.about,
        "texts": {name: len(split) for name, split in splits.items()},
        "learning_rate": best["learning_rate"],
        "dev_accuracy": best["dev_accuracy"],
        "test_accuracy": accuracy(trainer, splits["test"], tokenizer),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "seconds": round(sum(one["seconds"] for one in tried), 1),
        "cpu_seconds": round(sum(one["cpu_seconds"] for one in tried), 1),
        "hardware": hardware(),
        "tried": tried,
    }
    unfinished = out / "model.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(folder, unfinished, ignore=shutil.ignore_patterns("*.bin"))
    (unfinished / "training.json").write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")
    unfinished.rename(out / "model")
    print(json.dumps(training, indent=1))


def _place(model: str) -> str:
    """The argument of from_pretrained for a model: the folder of a bundled one, or the name itself."""
    return str(BUNDLED[model].require()) if model in BUNDLED else model


def main(arguments: Sequence[str] | None = None) -> int:
    """Fine-tune as set on the command line."""
    try:
        finetune(*read_arguments(__doc__, arguments))
    except NormLensError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
