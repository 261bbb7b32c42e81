"""A trained translation model as a folder for distribution: half precision, tokenizer, scores, and a card."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import torch
from torch import nn
from transformers import MarianMTModel, MarianTokenizer

from reproduce.data.parallel_text import ATTRIBUTION, FREE
from reproduce.study.training import hardware
from reproduce.training.translation.batches import IGNORED, EncodedPairs, padded

LANGUAGES = {"de": "German", "en": "English"}


@torch.no_grad()
def held_out_loss(model: MarianMTModel, held_out: EncodedPairs, batch_size: int = 50) -> float:
    """Cross-entropy per target piece in nats, on unmasked input, without smoothing."""
    training, device = model.training, model.device
    model.eval()
    total = pieces = 0.0
    for chosen in in_order_of_length(held_out, batch_size):
        batch = {name: tensor.to(device) for name, tensor in padded(held_out, chosen).items()}
        labels = batch.pop("labels").flatten()
        logits = model(**batch, use_cache=False).logits.float().flatten(0, 1)
        total += float(nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
        pieces += float((labels != IGNORED).sum())
    model.train(training)
    return total / pieces


@torch.no_grad()
def translate(model: MarianMTModel, tokenizer: MarianTokenizer, pairs: EncodedPairs, batch_size: int = 50) -> list[str]:
    """Translate the source of every pair, in their order."""
    model.eval()
    translations = [""] * len(pairs)
    for chosen in in_order_of_length(pairs, batch_size):
        batch = padded(pairs, chosen)
        limit = min(model.generation_config.max_length, 2 * batch["input_ids"].shape[1] + 10)
        ids = model.generate(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            max_length=limit,
        )
        for place, text in zip(chosen, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            translations[place] = text
    return translations


def in_order_of_length(pairs: EncodedPairs, batch_size: int) -> list[np.ndarray]:
    """Cut the pairs, shortest sources first, into batches."""
    order = np.argsort(pairs.lengths()[0], kind="stable")
    return [order[k : k + batch_size] for k in range(0, len(order), batch_size)]


def scores(model: MarianMTModel, tokenizer: MarianTokenizer, held_out: EncodedPairs) -> dict[str, Any]:
    """Loss, BLEU and chrF on held-out pairs, tokenized and lowercased on both sides."""
    hypotheses = translate(model, tokenizer, held_out)
    references = [tokenizer.batch_decode(held_out.target, skip_special_tokens=True)]
    bleu, chrf = sacrebleu.BLEU(tokenize="none", force=True), sacrebleu.CHRF()
    return {
        "bleu": round(bleu.corpus_score(hypotheses, references).score, 1),
        "chrf": round(chrf.corpus_score(hypotheses, references).score, 1),
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
        "dev_loss": round(held_out_loss(model, held_out), 3),
        "held_out": len(held_out),
    }


def export(
    model: MarianMTModel,
    tokenizer: MarianTokenizer,
    held_out: EncodedPairs,
    settings: Mapping[str, Any],
    preparation: Mapping[str, int],
    log: list[dict[str, Any]],
    out: Path,
) -> None:
    """Write ``out/model``: weights in half precision, tokenizer, ``training.json`` and the model card.

    The folder appears under its name only when it is complete.
    """
    unfinished = out / "model.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    halved = copy.deepcopy(model).half()
    halved.save_pretrained(unfinished)
    _load_in_full_precision(unfinished / "config.json")
    tokenizer.save_pretrained(unfinished)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    training = {
        "settings": dict(settings),
        "text": dict(preparation),
        "parameters": parameters,
        "megabytes": round((unfinished / "model.safetensors").stat().st_size / 1e6, 1),
        "steps": log[-1]["step"],
        "seconds": max(entry.get("seconds", 0.0) for entry in log),
        "cpu_seconds": max(entry.get("cpu_seconds", 0.0) for entry in log),
        "hardware": hardware(),
        **scores(halved.float(), tokenizer, held_out),
    }
    (unfinished / "training.json").write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")
    (unfinished / "README.md").write_text(card(training), encoding="utf-8")
    unfinished.rename(out / "model")


def _load_in_full_precision(config: Path) -> None:
    """Make weights that are stored in half precision load as float32, the best choice on a CPU."""
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(settings | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


def _how(settings: Mapping[str, Any]) -> str:
    """The causes of the model's alignment."""
    causes = []
    if settings["guide"]:
        causes.append(
            "in the first layer of its decoder the mean over heads follows the links that the statistical aligner eflomal "
            "finds in the same text (Chen et al. 2016, Garg et al. 2019), read where a word is the decoder's input; nobody "
            "annotated any link"
        )
    if settings["masking"]:
        begins = f"after {settings['plain']:g} epochs, " if settings["plain"] else ""
        causes.append(f"{begins}{settings['masking']:.0%} of the decoder's input pieces were hidden")
    return "; ".join(causes) or "by nothing but translating"


def card(training: Mapping[str, Any]) -> str:
    """The model card, from measured numbers."""
    settings, text = training["settings"], training["text"]
    source, target = settings["direction"].split("-")
    free = settings["texts"] == "free"
    names = FREE if free else tuple(ATTRIBUTION)
    license = "cc-by-2.0" if free else "other"
    terms = (
        "Made from texts under CC BY 2.0 and MPL-2.0. The weights may be used and passed on with the attribution below."
        if free
        else "Trained on texts whose licenses were not all checked: for research, not to be passed on."
    )
    return f"""---
language: [{source}, {target}]
license: {license}
library_name: transformers
pipeline_tag: translation
---
# {LANGUAGES[source]} → {LANGUAGES[target]}, small, for word alignment

A translation model in Marian's architecture ({settings["layers"]} + {settings["layers"]} layers, width {settings["width"]},
{settings["heads"]} heads, {training["parameters"]:,} parameters), trained so that its cross-attention links words:
{_how(settings)}.

It reads and writes text tokenized as Moses does; case is folded. As a translator it is weak: it has seen little text.

## Data and license
{terms}

{chr(10).join("* " + ATTRIBUTION[name] for name in names)}

{text["read"]:,} pairs were read. Left out: {text["test"]:,} with a side that equals one of the 508 sentences of the
alignment test set in its letters and digits, {text["repeated"]:,} repeated, {text["empty"]:,} empty, {text["held_out"]:,}
held out, and {text["near_held_out"]:,} that share a sentence with these. {text["training"]:,} remained, less those longer
than {settings["longest"]} pieces.

## Quality on {training["held_out"]:,} held-out pairs (tokenized, case-folded)
| | | signature |
|---|---|---|
| BLEU | {training["bleu"]} | `{training["bleu_signature"]}` |
| chrF | {training["chrf"]} | `{training["chrf_signature"]}` |
| cross-entropy per piece | {training["dev_loss"]} | natural logarithm, unmasked, unsmoothed |

## Training
{settings["epochs"]:g} epochs, {training["steps"]:,} steps, seed {settings["seed"]}: {training["seconds"] / 60:.0f} minutes
({training["cpu_seconds"] / 60:.0f} minutes of processor time) on {training["hardware"]},
by `python -m reproduce train-translation` of normlens.
Weights are stored in half precision ({training["megabytes"]} MB); `training.json` holds every setting.
"""
