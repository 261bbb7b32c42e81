"""Shares of a token's logit, or a class's, in float32, in every model type with a head that reads text: they add up.

The biases and gains are random; so is what is explained. What can't be frozen is refused by name.
"""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

import normlens
from normlens.errors import NormLensError, UnknownOperation

from . import tiny, weights

HEADS = {
    "decoder": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
    "encoder–decoder": AutoModelForSeq2SeqLM,
    "classes": AutoModelForSequenceClassification,
}
CUSTOM = (UnknownOperation, "custom autograd")
REFUSED: dict[tuple[str, str], tuple[type[NormLensError], str]] = {
    ("blt", "decoder"): (UnknownOperation, "scatter_reduce"),
    ("mra", "classes"): CUSTOM,
    ("mra", "masked"): CUSTOM,
    ("reformer", "classes"): CUSTOM,
    ("yoso", "classes"): (UnknownOperation, "acos"),
    ("yoso", "masked"): (UnknownOperation, "acos"),
}
"""What the closed list of the frozen model doesn't cover, with what the error must name."""

NOT_BUILT = {
    ("musicgen", "decoder"),
    ("musicgen_melody", "decoder"),
    ("reformer", "decoder"),
    ("reformer", "masked"),
}
"""Heads that belong to something larger, or refuse the type's own configuration."""


def pairs() -> list[tuple[str, str]]:
    """Every model type of the matrix with every head it has."""
    return [
        (name, head)
        for name in tiny.model_types()
        for head, auto in HEADS.items()
        if name in auto._model_mapping._model_mapping and (name, head) not in NOT_BUILT
    ]


@pytest.mark.parametrize(("model_type", "head"), pairs())
def test_shares_and_bias_share_add_up(model_type: str, head: str) -> None:
    lens = normlens.load((built(model_type, head), None))
    reads_two = bool(lens.model.config.is_encoder_decoder)
    if head == "encoder–decoder" and not reads_two:
        pytest.skip("reads sounds, and continues one text")
    asked = {"target": 1 if head == "classes" else 5, "position": None if head == "classes" else -1}
    ids = [7, 5, 9, 4, lens.model.config.get_text_config().eos_token_id] if reads_two else [7, 5, 9, 4, 11]
    second_text = {"target_text": ids} if reads_two else {}
    if (model_type, head) in REFUSED:
        kind, named = REFUSED[model_type, head]
        with pytest.raises(kind, match=named):
            lens.attribute(ids, method="decompx", **asked, **second_text)
        return
    shares = lens.attribute(ids, method="decompx", **asked, **second_text)
    total = float(shares.sum()) + shares.attrs["bias_share"]
    assert total == pytest.approx(shares.attrs["value"], abs=1e-9)
    assert shares.attrs["conservation_error"] < 1e-5


def built(model_type: str, head: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = HEADS[head].from_config(
        tiny.configuration(model_type), attn_implementation="eager", experts_implementation="eager"
    )
    weights.randomize(model, 0)
    return model.eval()
