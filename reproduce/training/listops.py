"""Train a small Transformer on ListOps from scratch, dense or with top-k attention, and switch dense ones afterward.

``python -m reproduce train-listops --data DATA --out runs/listops/short-dense-1 --seed 1``, and ``--k 16 --by
norm`` for one that keeps 16 sources while it trains. The same command resumes a killed run. ListOps (Nangia
and Bowman 2018) comes from the generator of the Long Range Arena (Tay et al. 2021); as there, parentheses aren't read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForSequenceClassification

from normlens import NormLensError, topk
from reproduce.data.listops import PADDING, WORDS, Batch, Example, Settings, batches, read_listops, with_subexpressions
from reproduce.study.training import keep_settings

SWITCHED_K = {"short": (1, 2, 4, 8, 16, 32, 64, 128, 256), "long": (4, 64)}
"""Numbers of sources for measurements of densely trained models, by the length of their expressions."""


def train(settings: Settings, data: Path, out: Path) -> dict[str, Any]:
    """Train, or resume, and measure.

    Parameters
    ----------
    settings
        Settings of the training.
    data
        Folder with the data sets.
    out
        Output folder of the state after each epoch and of ``report.json``.

    Returns
    -------
    dict
        Settings, accuracy on the validation split after each epoch ("curve") and at the end, loss, time; and of one that
        was trained dense, "switched": accuracy by choice and k.

    Raises
    ------
    InvalidInput
        If data are missing, or ``out`` has a training with other settings.
    """
    report = out / "report.json"
    if report.exists():
        return dict(json.loads(report.read_text(encoding="utf-8")))
    training, validation = (read_listops(data, settings.length, split, settings.limit) for split in ("train", "val"))
    if settings.subexpressions:
        training = with_subexpressions(training)
    keep_settings(settings, out)
    model = new_model(settings, max(len(example.ids) for example in training + validation))
    history = _trained(model, settings, training, validation, out / "state.pt")
    if settings.k is None:
        history["switched"] = switched(model, validation, settings.batch_tokens, SWITCHED_K[settings.length])
    labels = torch.tensor([example.label for example in validation])
    written = {
        "settings": asdict(settings),
        "texts": {"training": len(training), "validation": len(validation)},
        "most_frequent": float(labels.bincount().max()) / len(labels),
        **history,
    }
    report.with_suffix(".partial").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    report.with_suffix(".partial").rename(report)
    (out / "state.pt").unlink()
    return written


def new_model(settings: Settings, longest: int) -> BertForSequenceClassification:
    """A BERT of the requested size, with weights drawn by the seed."""
    torch.manual_seed(settings.seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.width,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        max_position_embeddings=longest,
        pad_token_id=PADDING,
        num_labels=10,
    )
    return BertForSequenceClassification(config)


def _trained(
    model: BertForSequenceClassification,
    settings: Settings,
    training: list[Example],
    validation: list[Example],
    path: Path,
) -> dict[str, Any]:
    """Train to the last epoch; the state after each is kept in a file."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    history: dict[str, Any] = {"curve": [], "loss": [], "seconds": 0.0, "cpu_seconds": 0.0}
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history = state["history"]
    with ExitStack() as stack:
        if settings.k is not None:
            stack.enter_context(topk.use(model, settings.k, settings.by))
        for epoch in range(len(history["curve"]), settings.epochs):
            started = time.perf_counter(), time.process_time()
            history["loss"].append(_epoch(model, optimizer, settings, training, epoch))
            history["seconds"] += time.perf_counter() - started[0]
            history["cpu_seconds"] += time.process_time() - started[1]
            history["curve"].append(accuracy(model, validation, settings.batch_tokens))
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}
            torch.save(state, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)
            print(f"epoch {epoch + 1}: loss {history['loss'][-1]:.3f}, accuracy {history['curve'][-1]:.3f}", flush=True)
    return {**history, "accuracy": history["curve"][-1]}


def _epoch(
    model: BertForSequenceClassification,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    training: list[Example],
    epoch: int,
) -> float:
    """One pass over the training split, order and dropout drawn by seed and epoch; returns the mean loss."""
    model.train()
    torch.manual_seed(1000 * settings.seed + epoch)
    drawn = list(batches(training, settings.batch_tokens, shuffle=True))
    total = 0.0
    for number, batch in enumerate(drawn):
        progress = (epoch + number / len(drawn)) / settings.epochs
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(
                progress / settings.warmup, (1 - progress) / (1 - settings.warmup)
            )
        optimizer.zero_grad()
        loss = cross_entropy(_logits(model, batch), batch.labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += float(loss.detach()) * len(batch.labels)
    return total / len(training)


def accuracy(model: BertForSequenceClassification, examples: list[Example], batch_tokens: int) -> float:
    """Share of the examples that a model in its current state answers correctly."""
    model.eval()
    with torch.no_grad():
        right = [(_logits(model, b).argmax(-1) == b.labels).sum() for b in batches(examples, batch_tokens)]
    return float(sum(right)) / len(examples)


def switched(
    model: BertForSequenceClassification, examples: list[Example], batch_tokens: int, ks: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Accuracy of a trained model by choice, denominator and k, without further training."""
    accuracies: dict[str, dict[str, float]] = {}
    for measure in ("weight", "norm"):
        for renormalize in (True, False):
            own = accuracies.setdefault(f"{measure} {'renormalized' if renormalize else 'full'}", {})
            for k in ks:
                with topk.use(model, k, measure, renormalize=renormalize):
                    own[str(k)] = accuracy(model, examples, batch_tokens)
    return accuracies


def reports(folder: Path) -> list[dict[str, Any]]:
    """The reports of all finished trainings in a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/report.json"))]


def _logits(model: BertForSequenceClassification, batch: Batch) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=batch.ids, attention_mask=batch.mask).logits
    return logits


def read_arguments(arguments: Sequence[str] | None = None) -> tuple[Settings, Path, Path]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("NORMLENS_DATA"), help="default: $NORMLENS_DATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--length", choices=["short", "long"], default=Settings.length)
    parser.add_argument("--k", type=int, help="sources per target while training (default: all)")
    parser.add_argument("--measure", dest="by", choices=["weight", "norm"], default=Settings.by)
    parser.add_argument("--subexpressions", action="store_true", help="train on subexpressions too")
    parser.add_argument("--epochs", type=int, help="default: 20 for short, 4 for long")
    for name, kind in _numbers():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=getattr(Settings, name))
    options = vars(parser.parse_args(arguments))
    data, out = options.pop("data"), options.pop("out")
    if data is None:
        parser.error("name the data folder with --data or NORMLENS_DATA")
    options["epochs"] = options["epochs"] or (20 if options["length"] == "short" else 4)
    return Settings(**options), Path(data), out


def _numbers() -> Iterator[tuple[str, type]]:
    for name in ("seed", "width", "layers", "heads", "batch_tokens", "limit"):
        yield name, int
    for name in ("dropout", "learning_rate", "warmup"):
        yield name, float


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as set on the command line."""
    try:
        results = train(*read_arguments(arguments))
    except NormLensError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        json.dumps(
            {name: results[name] for name in ("accuracy", "cpu_seconds", "switched") if name in results}, indent=1
        )
    )
    return 0
