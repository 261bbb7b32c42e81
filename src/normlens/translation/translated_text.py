"""A test set translated by a model, and scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normlens.errors import InvalidInput
from normlens.loading.load import LoadedModel, load_model
from normlens.translation.translator import TokenizerVocabulary, TranslatedText, Translator, require_references


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
    require_references(source, target)
    translator = translator_of(load_model(model, device=device), training_facts(model))
    return translator.evaluate(
        source, target, tokenized=tokenized, beams=beams, batch_size=batch_size, progress=progress
    )


def translator_of(loaded: LoadedModel, training: Mapping[str, Any]) -> Translator:
    """A translator of a loaded model.

    Raises
    ------
    InvalidInput
        If it doesn't translate between two languages.
    """
    if not getattr(loaded.model.config, "is_encoder_decoder", False) or not loaded.model.can_generate():
        raise InvalidInput(f"{loaded.name} is no translation model; expected an encoder–decoder that generates text.")
    if loaded.tokenizer is None or hasattr(loaded.tokenizer, "src_lang"):
        raise InvalidInput(
            f"{loaded.name} has {'no tokenizer' if loaded.tokenizer is None else 'a tokenizer of many languages'}; expected "
            "a translation model from one language to another, such as Marian's."
        )
    return Translator(loaded.model, TokenizerVocabulary(loaded.tokenizer), training)


def training_facts(model: Any) -> dict[str, Any]:
    """What a model of :func:`train` says about its text; empty for others."""
    path = Path(model) / "training.json" if isinstance(model, str | Path) else None
    try:
        return {} if path is None else dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
