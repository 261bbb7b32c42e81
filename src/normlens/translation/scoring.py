"""How good a translation model is: its loss on pairs, and BLEU and chrF of its translations by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import MarianMTModel, MarianTokenizer, PreTrainedModel

from normlens.errors import InvalidInput, install_command
from normlens.translation.batches import IGNORED, EncodedPairs, padded


@dataclass(frozen=True)
class TranslationScores:
    """Scores of translations against one reference each.

    Attributes
    ----------
    bleu, chrf
        From 0 to 100, over the corpus.
    bleu_signature, chrf_signature
        How they were computed, as sacrebleu says it.
    sentences
        Number of sentences.
    """

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str
    sentences: int

    def as_data(self) -> dict[str, Any]:
        """The scores as plain data."""
        return asdict(self)


def score(
    translations: Sequence[str], references: Sequence[str], *, tokenized: bool = False, lowercase: bool = False
) -> TranslationScores:
    """Score translations by BLEU and chrF.

    Parameters
    ----------
    translations, references
        Sentence by sentence.
    tokenized
        Whether both are split into words already, so that BLEU doesn't split them again.
    lowercase
        Whether case is ignored.

    Raises
    ------
    InvalidInput
        If the two differ in length, there are none, or sacrebleu isn't installed.
    """
    sacrebleu = _sacrebleu()
    if len(translations) != len(references) or not references:
        raise InvalidInput(
            f"There are {len(translations)} translations and {len(references)} references; expected one reference for each, "
            "and at least one."
        )
    bleu = sacrebleu.BLEU(tokenize="none" if tokenized else "13a", lowercase=lowercase, force=True)
    chrf = sacrebleu.CHRF(lowercase=lowercase)
    return TranslationScores(
        round(bleu.corpus_score(list(translations), [list(references)]).score, 1),
        round(chrf.corpus_score(list(translations), [list(references)]).score, 1),
        str(bleu.get_signature()),
        str(chrf.get_signature()),
        len(references),
    )


@torch.no_grad()
def held_out_loss(model: PreTrainedModel, held_out: EncodedPairs, batch_size: int = 50) -> float:
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
def translate_pairs(
    model: MarianMTModel, tokenizer: MarianTokenizer, pairs: EncodedPairs, batch_size: int = 50
) -> list[str]:
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


def in_order_of_length(pairs: EncodedPairs, batch_size: int) -> list[NDArray[np.intp]]:
    """Cut the pairs, shortest sources first, into batches."""
    order = np.argsort(pairs.lengths()[0], kind="stable")
    return [order[k : k + batch_size] for k in range(0, len(order), batch_size)]


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError as error:
        raise InvalidInput(
            f"Translations are scored by sacrebleu, which isn't installed. Run `{install_command('translation')}`."
        ) from error
    return sacrebleu
