"""Attributions of what people hand in: tokenizer output, padded batches, embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny
from read_alone import TEXTS, Ids, same
from transformers import (
    BatchEncoding,
    BertForSequenceClassification,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5ForConditionalGeneration,
)

import normlens
from normlens.errors import InvalidInput

# Attribution


def test_attributions_of_a_padded_batch_are_those_of_each_text(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    for model in (
        BertForSequenceClassification(tiny.configuration("bert")).eval(),
        GPT2LMHeadModel(tiny.configuration("gpt2")).eval(),
    ):
        lens = normlens.load((model, tokenizer))
        alone = [lens.attribute(text, target=1) for text in TEXTS]
        for side in ("right", "left"):
            batch = tokenizer(TEXTS, padding=True, padding_side=side, return_tensors="pt")
            for form in (batch, batch["input_ids"]):
                for shares, expected in zip(lens.attribute(form, target=1), alone, strict=True):
                    np.testing.assert_allclose(shares, expected, atol=1e-6)
        one = tokenizer(TEXTS[0], return_tensors="pt")
        np.testing.assert_allclose(lens.attribute(one, target=1), alone[0], atol=1e-6)


@pytest.mark.parametrize("method", ["decompx", "gradient_input", "alti_logit", "value_zeroing"])
def test_attributions_of_embeddings_are_those_of_their_ids(method: str, tokens: Ids) -> None:
    torch.manual_seed(0)
    for model in (
        GPT2LMHeadModel(tiny.configuration("gpt2")).eval(),
        LlamaForCausalLM(tiny.configuration("llama")).eval(),
    ):
        lens, ids = normlens.load((model, None)), tokens(6)
        asked = {"method": method, **({} if method == "value_zeroing" else {"target": 5})}
        vectors = model.get_input_embeddings()(torch.tensor([ids]))
        shares, expected = lens.attribute({"inputs_embeds": vectors}, **asked), lens.attribute(ids, **asked)
        np.testing.assert_allclose(shares, expected, atol=1e-6)
        several = {"inputs_embeds": vectors.repeat(2, 1, 1)}
        for one in lens.attribute(several, **asked):
            np.testing.assert_allclose(one, expected, atol=1e-6)


def test_a_token_that_the_mask_leaves_out_has_no_share_of_what_the_model_says(tokens: Ids) -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(tiny.configuration("gpt2")).eval()
    encoded = {"input_ids": torch.tensor([tokens(6)]), "attention_mask": torch.tensor([[1, 1, 0, 1, 1, 1]])}
    shares = normlens.load((model, None)).attribute(encoded, target=5)
    with torch.no_grad():
        value = float(model(**encoded).logits[0, -1, 5])
    assert abs(float(shares.sum()) + shares.attrs["bias_share"] - value) < 1e-5
    assert shares[2] == 0 and (shares[[0, 1, 3, 4, 5]] != 0).all()


def test_an_attribution_s_second_text_may_be_tokenizer_output(tokens: Ids) -> None:
    torch.manual_seed(0)
    lens = normlens.load((T5ForConditionalGeneration(tiny.configuration("t5")).eval(), None))
    source, target = tokens(4), tokens(3, 1)
    expected = lens.attribute(source, target_text=target, target=7)
    forms = [({"input_ids": [source]}, {"input_ids": [target]}), ({"input_ids": source, "labels": target}, None)]
    for inputs, target_text in [*forms, (BatchEncoding({"input_ids": source, "labels": target}), None)]:
        np.testing.assert_allclose(lens.attribute(inputs, target_text=target_text, target=7), expected, atol=1e-6)
    (shares,) = lens.attribute([{"input_ids": source, "labels": target}], target=7)
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    with pytest.raises(InvalidInput, match="target_text="):
        lens.attribute({"input_ids": source}, target=7)


def test_tokenizer_output_is_continued(tokens: Ids) -> None:
    model = GPT2LMHeadModel(tiny.configuration("gpt2")).eval()
    lens = normlens.load((model, None))
    assert same(lens.analyze({"input_ids": [tokens(4)]}, generate=3), lens.analyze(tokens(4), generate=3))
    with pytest.raises(InvalidInput, match="generate= continues one text"):
        lens.analyze({"input_ids": tokens(4), "attention_mask": [1, 0, 1, 1]}, generate=3)


def test_one_input_may_come_with_the_options_of_several(reader: normlens.Lens) -> None:
    assert same(reader.analyze(TEXTS[0], progress=True, batch_size=2, padding="left"), reader.analyze(TEXTS[0]))
    assert list(reader.analyze([], progress=False)) == []
    with pytest.raises(InvalidInput, match="has no rows"):
        reader.analyze(torch.empty(0, 3, dtype=torch.long), progress=False)
