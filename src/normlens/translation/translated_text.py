"""A test set translated by a model, and scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from normlens.bitext.raw_text import moses_joiner, moses_rules
from normlens.errors import InvalidInput
from normlens.loading.load import load_model
from normlens.translation.scoring import TranslationScores, score


@dataclass(frozen=True)
class TranslatedText:
    """Translations of a text with their scores.

    Attributes
    ----------
    translations
        Sentence by sentence.
    scores
        BLEU and chrF against the references.
    truncated
        Number of sentences that were too long for the model, whose ends were cut off.
    """

    translations: list[str]
    scores: TranslationScores
    truncated: int


def evaluate(
    model: Any,
    source: Sequence[str],
    target: Sequence[str],
    *,
    tokenized: bool = False,
    beams: int | None = None,
    batch_size: int = 32,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> TranslatedText:
    """Translate sentences and score the translations.

    A model that :func:`train` taught raw text (``tokenize=True``) gets its words by the same rules, and its translations are
    joined to raw text again. If it folds case, case is ignored in the scores.

    Parameters
    ----------
    model
        What :func:`normlens.load` accepts: an encoder–decoder of two languages.
    source, target
        Sentences and their reference translations.
    tokenized
        Whether both are split into words already, so that BLEU doesn't split them again.
    beams
        Width of the beam search. None: as the model's generation settings say.
    batch_size
        Sentences per batch.
    device
        Where the model runs; None: the CPU.
    progress
        Called with the number of sentences after each batch.

    Raises
    ------
    InvalidInput
        If the two differ in length or are empty, or the model doesn't translate between two languages.
    NormLensError
        As :func:`normlens.load`.
    """
    if len(source) != len(target) or not source:
        raise InvalidInput(
            f"There are {len(source)} sentences and {len(target)} references; expected one reference for each, and at least "
            "one sentence."
        )
    loaded = load_model(model, device=device)
    if not getattr(loaded.model.config, "is_encoder_decoder", False) or not loaded.model.can_generate():
        raise InvalidInput(f"{loaded.name} is no translation model; expected an encoder–decoder that generates text.")
    if loaded.tokenizer is None or hasattr(loaded.tokenizer, "src_lang"):
        raise InvalidInput(
            f"{loaded.name} has {'no tokenizer' if loaded.tokenizer is None else 'a tokenizer of many languages'}; expected "
            "a translation model from one language to another, such as Marian's."
        )
    training = _training_of(model)
    split, join = _rules(training)
    tokenizer, translations = loaded.tokenizer, [""] * len(source)
    texts = [split(sentence) for sentence in source]
    lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
    options = {"max_new_tokens": _longest_translation(loaded.model, max(lengths)), "max_length": None}
    order = sorted(range(len(texts)), key=lengths.__getitem__)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        batch = tokenizer([texts[k] for k in chosen], return_tensors="pt", padding=True, truncation=True)
        with torch.no_grad():
            ids = loaded.model.generate(
                **batch.to(loaded.model.device), **options, **({"num_beams": beams} if beams else {})
            )
        for place, text in zip(chosen, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            translations[place] = join(text)
        if progress is not None:
            progress(len(chosen))
    scores = score(translations, target, tokenized=tokenized, lowercase=bool(training.get("lowercase")))
    return TranslatedText(translations, scores, sum(length > tokenizer.model_max_length for length in lengths))


def _longest_translation(model: Any, longest: int) -> int:
    """The most tokens of a translation: the same for every batch, so that results don't depend on its size."""
    return int(min(2 * longest + 10, getattr(model.config, "max_position_embeddings", None) or 1024) - 1)


def _training_of(model: Any) -> dict[str, Any]:
    """What a model of :func:`train` says about its text; empty for others."""
    path = Path(model) / "training.json" if isinstance(model, str | Path) else None
    try:
        return {} if path is None else dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _rules(training: dict[str, Any]) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """How a sentence is split into words for the model, and its translation joined."""
    if not training.get("tokenize"):
        return str.strip, str.strip
    split, _ = moses_rules(f"{training['source']}-{training['target']}")
    return lambda sentence: " ".join(split(sentence)), moses_joiner(training["target"])
