"""What the model says, split over the text: the shares of an attribution, where the page asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from architectures import tiny, weights
from exploring import TEXT, explored, opened, service_of
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.attribution import VectorNorm
from normlens.errors import InvalidInput
from normlens.view import attributed_text


def model_that_says(task: str, model_type: str) -> Any:
    """A tiny model of ``transformers.AutoModelFor{task}``."""
    config = tiny.configuration(model_type)
    model = getattr(transformers, f"AutoModelFor{task}").from_config(config, attn_implementation="eager")
    weights.randomize(model, 0)
    return model.eval()


@pytest.fixture(scope="module")
def writer(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A lens on a tiny decoder that says tokens."""
    return normlens.load((model_that_says("CausalLM", "llama"), tokenizer))


def test_the_split_of_what_comes_next_adds_up_and_is_that_of_the_library(writer: normlens.Lens) -> None:
    service = service_of(writer)
    facts, arrays = opened(service.attribute(explored(service)))
    expected = writer.attribute(TEXT)
    assert np.array_equal(arrays["shares"], expected.values.astype(np.float64))
    assert facts["value"] == expected.attrs["value"]
    assert arrays["shares"].sum() + facts["biasShare"] == pytest.approx(facts["value"], abs=1e-5)
    tokens = writer.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        probabilities = writer.model(**tokens).logits[0, -1].softmax(-1)
    best = int(probabilities.argmax())
    assert facts["expected"][0]["id"] == best
    assert facts["expected"][0]["probability"] == pytest.approx(float(probabilities[best]), abs=1e-6)
    assert len(facts["sides"]) == 1 and len(facts["sides"][0]) == len(arrays["shares"])
    assert facts["last"] == len(arrays["shares"]) - 1


def test_a_token_of_the_text_is_explained_where_the_model_says_it(writer: normlens.Lens) -> None:
    service = service_of(writer)
    run, ids = explored(service), writer.tokenizer(TEXT)["input_ids"]
    facts, arrays = opened(service.attribute(run, place=4))
    expected = writer.attribute(TEXT, target=ids[4], position=3)
    assert np.array_equal(arrays["shares"], expected.values)
    assert facts["last"] == 3
    assert not arrays["shares"][4:].any()  # it hasn't read them
    other = writer.tokenizer.decode([ids[5]])
    _, arrays = opened(service.attribute(run, place=4, against=other))
    assert np.array_equal(arrays["shares"], writer.attribute(TEXT, target=(ids[4], ids[5]), position=3).values)
    facts, arrays = opened(service.attribute(run, place=4, token=other, method="gradient_input"))
    assert facts["conservationError"] is None
    expected = writer.attribute(TEXT, target=ids[5], position=3, method="gradient_input")
    assert np.array_equal(arrays["shares"], expected.values)


def test_the_difference_to_what_the_model_expects_needs_no_name(writer: normlens.Lens) -> None:
    service = service_of(writer)
    run = explored(service)
    likely = opened(service.attribute(run))[0]["expected"]
    second = next(one for one in likely[1:] if one["isName"])
    facts, _ = opened(service.attribute(run, against=writer.tokenizer.decode([second["id"]])))
    with torch.no_grad():
        logits = writer.model(**writer.tokenizer(TEXT, return_tensors="pt")).logits[0, -1]
    assert facts["value"] == pytest.approx(float(logits[likely[0]["id"]] - logits[second["id"]]), abs=1e-5)


def test_a_model_without_a_head_has_its_vectors_split(reader: normlens.Lens) -> None:
    service = service_of(reader)
    run = explored(service)
    facts, arrays = opened(service.attribute(run, place=2))
    assert np.array_equal(arrays["shares"], reader.attribute(TEXT, target=VectorNorm(), position=2).values)
    assert facts["head"] == "none" and facts["expected"] == []
    with pytest.raises(InvalidInput, match=r"has no head that says tokens\. Leave the tokens empty"):
        service.attribute(run, token="cat")


def test_an_encoder_decoder_has_the_tokens_of_both_texts(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((model_that_says("Seq2SeqLM", "marian"), tokenizer))
    service = service_of(lens)
    target = "the dog is here"
    facts, arrays = opened(service.attribute(explored(service, TEXT, target), place=2))
    source, decoded = (len(side) for side in facts["sides"])
    assert len(arrays["shares"]) == source + decoded
    assert facts["last"] == source + 1
    assert not arrays["shares"][source + 2 :].any() and arrays["shares"][:source].all()


def test_what_cannot_be_split_is_refused_in_a_sentence(writer: normlens.Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_of(writer)
    run = explored(service)
    with pytest.raises(InvalidInput, match=r"no split by 'rollout'; expected one of decompx, alti_logit"):
        service.attribute(run, method="rollout")
    for place in (-1, 0, 99):
        with pytest.raises(InvalidInput, match=rf"no token {place} that the model could say; it says 1 to \d+ of this"):
            service.attribute(run, place=place)
    with pytest.raises(InvalidInput, match=r"'the dog' is not one token of this model"):
        service.attribute(run, token="the dog")
    monkeypatch.setattr(attributed_text, "MOST_TOKENS", 3)
    with pytest.raises(InvalidInput, match=r"texts of at most 3 tokens\. Shorten the text"):
        service.attribute(run)
