"""A trained translation model as a folder for use: half precision, tokenizer, scores, and a card."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel, MarianTokenizer

from normlens.files.atomic import temporary_folder
from normlens.translation.batches import EncodedPairs
from normlens.translation.cards import card
from normlens.translation.preparation import Preparation, TrainingText
from normlens.translation.recipe import Recipe
from normlens.translation.scoring import held_out_loss, score, translate_pairs


def export(
    model: MarianMTModel,
    tokenizer: MarianTokenizer,
    held_out: EncodedPairs,
    described: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    folder: Path,
) -> None:
    """Write weights in half precision, tokenizer, ``training.json`` and the model card.

    The folder appears under its name only when it is complete.

    Parameters
    ----------
    model, tokenizer
        The trained model.
    held_out
        Pairs to score it on; may be empty.
    described
        From :func:`description`.
    log
        The training's log.
    folder
        The new folder.
    """
    halved = copy.deepcopy(model).half()
    with temporary_folder(folder.parent) as unfinished:
        halved.save_pretrained(unfinished)
        _load_in_full_precision(unfinished / "config.json")
        tokenizer.save_pretrained(unfinished)
        training = {
            **described,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "megabytes": round((unfinished / "model.safetensors").stat().st_size / 1e6, 1),
            "steps": log[-1]["step"],
            "seconds": max(entry.get("seconds", 0.0) for entry in log),
            "cpu_seconds": max(entry.get("cpu_seconds", 0.0) for entry in log),
            "hardware": hardware(),
            **(quality(halved.float(), tokenizer, held_out) if len(held_out) else {}),
        }
        (unfinished / "training.json").write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")
        (unfinished / "README.md").write_text(card(training), encoding="utf-8")
        unfinished.rename(folder)


def description(text: TrainingText, counts: Preparation, recipe: Recipe, languages: tuple[str, str]) -> dict[str, Any]:
    """What a model was trained on and how, as plain data: part of its ``training.json``."""
    return {
        "source": languages[0], "target": languages[1], "tokenize": text.tokenize, "lowercase": text.lowercase,
        "recipe": asdict(recipe), "text": asdict(counts),
    }  # fmt: skip


def quality(model: MarianMTModel, tokenizer: MarianTokenizer, held_out: EncodedPairs) -> dict[str, Any]:
    """Loss, BLEU and chrF on held-out pairs, in the words of the training text."""
    hypotheses = translate_pairs(model, tokenizer, held_out)
    references = tokenizer.batch_decode(held_out.target, skip_special_tokens=True)
    scores = score(hypotheses, references, tokenized=True).as_data()
    return {**scores, "dev_loss": round(held_out_loss(model, held_out), 3)}


def hardware() -> str:
    """The hardware of the training."""
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    threads = torch.get_num_threads()
    return f"{threads} thread{'' if threads == 1 else 's'} of a CPU ({name})"


def _load_in_full_precision(config: Path) -> None:
    """Make weights that are stored in half precision load as float32, the best choice on a CPU."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(settings | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
