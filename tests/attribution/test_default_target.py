"""Without a target: what the model itself predicts, wherever it has a head; and what is said of a decoder's first token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from attribution_models import lens_on
from transformers import BertForMaskedLM, BertForPreTraining, PreTrainedTokenizerFast

import normlens
from normlens.attribution import LogProbability, Predicted, VectorNorm
from normlens.errors import InvalidInput

IDS = [11, 12, 13, 14, 15]


@pytest.mark.parametrize("method", ["decompx", "gradient_input", "logit"])
@pytest.mark.parametrize(("task", "model_type"), [("CausalLM", "gpt2"), ("CausalLM", "llama")])
def test_of_a_decoder_the_next_token(task: str, model_type: str, method: str) -> None:
    lens = lens_on(task, model_type)
    with torch.no_grad():
        logits = lens.model(torch.tensor([IDS])).logits[0]
    shares = lens.attribute(IDS, method=method)
    assert shares.dims[-1] == "source" and "target" not in shares.dims
    assert shares.attrs["value"] == pytest.approx(float(logits[-1].max()), abs=1e-9)
    earlier = lens.attribute(IDS, method=method, position=2)
    assert earlier.attrs["value"] == pytest.approx(float(logits[2].max()), abs=1e-9)


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama"])
def test_of_a_classifier_its_class(model_type: str) -> None:
    lens = lens_on("SequenceClassification", model_type)
    with torch.no_grad():
        best = int(lens.model(torch.tensor([IDS])).logits[0].argmax())
    shares = lens.attribute(IDS)
    assert shares.attrs["target"] == f"logit of {['bad', 'good', 'So-so'][best]}"
    assert np.array_equal(shares.values, lens.attribute(IDS, target=best).values)


def test_of_an_image_its_class() -> None:
    lens = lens_on("ImageClassification", "vit")
    size = lens.model.config.image_size
    image = torch.rand(3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        best = float(lens.model(image[None]).logits.max())
    assert lens.attribute(image).attrs["value"] == pytest.approx(best, abs=1e-9)


def test_of_a_translation_model_the_next_word_and_of_a_reader_the_answers_start() -> None:
    lens = lens_on("Seq2SeqLM", "marian")
    shares, named = (lens.attribute(IDS, target_text=[41, 42, 43], **o) for o in ({}, {"target": Predicted()}))
    assert np.array_equal(shares.values, named.values) and shares.attrs["target"].startswith("logit of ")
    reader = lens_on("QuestionAnswering", "bert")
    assert reader.attribute(IDS).attrs["target"].startswith("logit of start at position")


def masked(cls: Any, tokenizer: Any) -> normlens.Lens:
    torch.manual_seed(0)
    return normlens.load((cls._from_config(tiny.configuration("bert")).eval(), tokenizer))


@pytest.mark.parametrize(("cls", "field"), [(BertForMaskedLM, "logits"), (BertForPreTraining, "prediction_logits")])
def test_of_a_masked_model_the_token_at_its_mask(cls: Any, field: str, tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", mask_token="[UNK]", pad_token="[PAD]"
    )
    lens, text = masked(cls, tokenizer), "the xyz sat here"
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        expected = float(lens.model(ids)[field][0, 2].max())
    shares = lens.attribute(text)
    assert shares.attrs["value"] == pytest.approx(expected, abs=1e-5)
    assert "at position 2" in shares.attrs["target"]
    for words in ("the cat sat", "xyz the xyz"):
        with pytest.raises(InvalidInput, match=r"holds [02] tokens .*Pass position=, or use a method without a target"):
            lens.attribute(words)


def test_what_asks_for_no_target_gives_a_map() -> None:
    lens = lens_on("CausalLM", "gpt2")
    for options in ({"method": "rollout"}, {"at": "transformer.h.0"}, {"method": "norm_rollout"}):
        assert lens.attribute(IDS, **options).dims == ("target", "source")
    assert lens.attribute(IDS, vectors=True).dims == ("target", "source", "feature")
    assert normlens.load((tiny.build("gpt2"), None)).attribute(IDS).dims == ("target", "source")


def test_every_text_of_several_has_its_own_prediction() -> None:
    lens, texts = lens_on("CausalLM", "gpt2"), [IDS, [21, 22, 23]]
    for text, shares in zip(texts, lens.attribute(texts), strict=True):
        alone = lens.attribute(text)
        assert shares.attrs["target"] == alone.attrs["target"]
        np.testing.assert_allclose(shares.values, alone.values, atol=1e-10)


def test_a_first_token_that_takes_the_largest_share_is_told_as_the_sink() -> None:
    lens = lens_on("CausalLM", "gpt2")
    texts = [[k, 12, 13] for k in range(20, 60)]
    told = {}
    for ids in texts:
        shares = lens.attribute(ids)
        told[ids[0]] = "note" in shares.attrs
        assert told[ids[0]] == (int(np.abs(shares.values).argmax()) == 0)
    assert len(set(told.values())) == 2
    first = next(k for k, is_told in told.items() if is_told)
    note = lens.attribute([first, 12, 13]).attrs["note"]
    assert note.startswith(f"The first token ('{first}') takes the largest share.") and "--against" in note
    assert "note" not in lens.attribute([first]).attrs  # nothing else could take one
    assert "note" not in lens.attribute([first, 12, 13], position=0).attrs
    for target in ((5, 9), LogProbability(5), lambda output: output.logits[:, -1, 5]):
        assert "note" not in lens.attribute([first, 12, 13], target=target).attrs
    assert "note" not in lens.attribute([first, 12, 13], target=VectorNorm(), position=2).attrs
    assert "note" not in lens.attribute([first, 12, 13], method="rollout").attrs


def test_an_encoders_first_token_is_not_told_as_a_sink() -> None:
    reader = lens_on("SequenceClassification", "bert")
    shares = [reader.attribute([k, 12, 13]) for k in range(10, 40)]
    assert any(int(np.abs(attribution.values).argmax()) == 0 for attribution in shares)
    assert not any("note" in attribution.attrs for attribution in shares)


def test_a_decoders_own_first_token_is_the_sink_of_an_encoder_decoder() -> None:
    lens = lens_on("Seq2SeqLM", "marian")
    for ids in ([41, 42, 43], [51, 52], [61, 62, 63, 64]):
        shares = lens.attribute(IDS, target_text=ids)
        first = int(np.flatnonzero(shares["side"].values == "target")[0])
        assert ("note" in shares.attrs) == (int(np.abs(shares.values).argmax()) == first)
