"""The card of a trained translation model, from measured numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normlens.translation.durations import duration
from normlens.translation.preparation import described


def card(training: Mapping[str, Any]) -> str:
    """The model card.

    Parameters
    ----------
    training
        The contents of ``training.json``.
    """
    recipe = training["recipe"]
    source, target = training["source"], training["target"]
    words = "words split as Moses does" if training["tokenize"] else "the words of its training text"
    case = "case is folded" if training["lowercase"] else "case is kept"
    return f"""---
library_name: transformers
pipeline_tag: translation
---
# {source} → {target}

A translation model in Marian's architecture ({recipe["layers"]} + {recipe["layers"]} layers, width {recipe["width"]},
{recipe["heads"]} heads, {training["parameters"]:,} parameters). It reads and writes {words}; {case}.
{_aligned(recipe)}
## Data
{described(training["text"])}, less those longer than {recipe["longest"]} pieces. The licenses of these texts apply to the
weights as far as they reach.
{_quality(training)}
## Training
{recipe["epochs"]:g} epochs, {training["steps"]:,} steps, seed {recipe["seed"]}: {duration(training["seconds"])}
({duration(training["cpu_seconds"])} of processor time) on {training["hardware"]}, by `normlens translation train`.
Weights are stored in half precision ({training["megabytes"]} MB); `training.json` holds every setting.
"""


def _aligned(recipe: Mapping[str, Any]) -> str:
    """The causes of the model's alignment, if there are any beside translating."""
    causes = []
    if recipe["guide"] != "none":
        causes.append(
            "In the first layer of its decoder the mean over heads follows the links that the statistical aligner\n"
            f"{recipe['guide']} finds in the same text (Chen et al. 2016, Garg et al. 2019), read where a word is the\n"
            "decoder's input; nobody annotated any link."
        )
    if recipe["masking"]:
        causes.append(
            f"After {recipe['plain']:.0%} of the epochs, {recipe['masking']:.0%} of the decoder's input pieces were hidden."
        )
    return "\n".join(["", *causes, ""]) if causes else ""


def _quality(training: Mapping[str, Any]) -> str:
    if "bleu" not in training:
        return ""
    return f"""
## Quality on {training["sentences"]:,} held-out pairs, word by word as in the training text
| | | signature |
|---|---|---|
| BLEU | {training["bleu"]} | `{training["bleu_signature"]}` |
| chrF | {training["chrf"]} | `{training["chrf_signature"]}` |
| cross-entropy per piece | {training["dev_loss"]} | natural logarithm, unmasked, unsmoothed |
"""
