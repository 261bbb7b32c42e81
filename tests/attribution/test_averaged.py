"""DecompX averaged over frozen models on the path to a text, against contributions propagated by hand along it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from attribution_models import by_hand, gauss_legendre, lens_on, model_with_head
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import normlens
from normlens.attribution import LogProbability
from normlens.errors import InvalidInput

IDS = [11, 12, 13, 14, 15]
TEXTS = [IDS, [21, 22, 23], [31, 33, 34, 35, 36, 37]]


def shrunk(model: Any, factor: float) -> Any:
    """The model with word embeddings so much shorter."""
    smaller = copy.deepcopy(model)
    smaller.bert.embeddings.word_embeddings.weight.data *= factor
    return smaller


@pytest.mark.parametrize("steps", [1, 3])
def test_shares_are_the_mean_of_those_propagated_by_hand(steps: int) -> None:
    """From zeros: at t the embeddings are t x, and ⟨gradient, x⟩ is the share there over t."""
    model, total = model_with_head("SequenceClassification", "bert"), torch.zeros(5, dtype=torch.float64)
    for point, weight in gauss_legendre(steps):
        total += weight * by_hand(shrunk(model, point), IDS)[0][0, :, 1] / point
    lens = lens_on("SequenceClassification", "bert")
    result = lens.attribute(IDS, target=1, steps=steps, baseline="zero")
    assert np.abs(result.values - total.numpy()).max() < 1e-10
    assert np.abs(result.values - lens.attribute(IDS, target=1).values).max() > 1e-3
    assert float(result.sum()) + result.attrs["bias_share"] == pytest.approx(result.attrs["value"], abs=1e-10)
    assert result.attrs["conservation_error"] < 1e-10


def test_what_does_not_change_on_the_way_gets_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=2,
        max_position_embeddings=40, initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    lens = normlens.load((BertForSequenceClassification(config).eval(), tokenizer))
    result = lens.attribute("the zebra sat", target=1, steps=2, baseline="unknown")
    assert result["source_id"].values[2] == tokenizer.unk_token_id
    assert (result.values[[0, 2, 4]] == 0).all()  # [CLS], the unknown word, [SEP]
    assert (result.values[[1, 3]] != 0).all()


@pytest.mark.parametrize(
    ("task", "model_type"), [("SequenceClassification", "bert"), ("CausalLM", "llama"), ("Seq2SeqLM", "marian")]
)
def test_batches_are_single_runs(task: str, model_type: str) -> None:
    second, options = [[41, 42], [51, 52, 53, 54], [61]], {"target": 2, "steps": 2, "baseline": "mean"}
    target_texts = second if task == "Seq2SeqLM" else None
    lens = lens_on(task, model_type)
    for k, result in enumerate(lens.attribute(TEXTS, target_text=target_texts, **options)):
        alone = lens.attribute(TEXTS[k], target_text=target_texts and target_texts[k], **options)
        assert np.abs(alone.values - result.values).max() < 1e-10
        assert np.abs(alone.values).max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1, "steps": 0}, "an integer from 1"),
        ({"target": 1, "steps": 2, "baseline": "noise"}, "expected one of"),
        ({"target": 1, "steps": 2}, "no mask token"),
        ({"target": 1, "steps": 2, "sources": "bert.embeddings"}, "omit sources"),
    ],
)
def test_what_cannot_be_averaged_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens_on("SequenceClassification", "bert").attribute(IDS, **options)


def test_a_model_without_a_head_has_nothing_to_average() -> None:
    with pytest.raises(InvalidInput, match="Name a target"):
        normlens.load((tiny.build("bert"), None)).attribute(IDS, steps=2)


def test_a_function_is_linearized_at_every_point() -> None:
    lens, options = lens_on("SequenceClassification", "bert"), {"steps": 3, "baseline": "zero"}
    one = lens.attribute(IDS, target=LogProbability(1), **options)
    other = lens.attribute(IDS, target=lambda output: output.logits.log_softmax(-1)[:, 1], **options)
    assert np.abs(one.values - other.values).max() < 1e-10
