"""A Transformer under test: its α is the lens's, and putting weights in changes what it should, nothing else."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from small_transformers import MODELS, SMALL, Batch, bert, randomized
from torch import Tensor
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

import normlens
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.faithfulness.four_tests.permutations import random_orders
from normlens.faithfulness.four_tests.transformer import TransformerClassifier


@pytest.mark.parametrize("kind", MODELS)
def test_alpha_is_the_row_that_the_head_reads_as_a_lens_measures_it(
    kind: str, batch: Batch, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = MODELS[kind]()
    classifier = TransformerClassifier(model, layers=[1, 2], heads=[0, 3]).eval()
    ids, lengths, readable = batch
    prediction = classifier(ids, lengths, readable)
    assert classifier.row == {"bert": "first", "llama": "last"}[kind]
    mask = (torch.arange(7) < lengths[:, None]).long()
    torch.testing.assert_close(prediction.logits, model(input_ids=ids, attention_mask=mask).logits)
    lens = normlens.load((model, tokenizer))
    for text, length in enumerate(lengths.tolist()):
        analysis = lens.analyze(ids[text : text + 1, :length])
        data = analysis[analysis.groups[0]].data
        row = data["weight"].sel(layer=[1, 2], head=[0, 3]).isel(target=0 if kind == "bert" else -1)
        weights = row.mean(["layer", "head"]).values * readable[text, :length].numpy()
        expected = weights / weights.sum()
        np.testing.assert_allclose(prediction.attention[text, :length].detach(), expected, atol=1e-6)
        assert not prediction.attention[text, length:].any()


@pytest.mark.parametrize("kind", MODELS)
def test_the_models_own_weights_put_in_change_nothing(kind: str, batch: Batch) -> None:
    """With one head, the row can be put in as it is."""
    model = MODELS[kind]()
    ids, lengths, readable = batch
    classifier = TransformerClassifier(model, heads=[1]).eval()
    own = classifier(ids, lengths, readable)
    again = classifier(ids, lengths, readable, own.attention.detach())
    torch.testing.assert_close(again.logits, own.logits, rtol=1e-5, atol=1e-5)
    identity = torch.arange(7).expand(2, 7)
    torch.testing.assert_close(classifier.permuted(ids, lengths, readable, identity).logits, own.logits)


@pytest.mark.parametrize("kind", MODELS)
def test_a_permutation_moves_the_weights_of_readable_tokens(kind: str, batch: Batch) -> None:
    ids, lengths, readable = batch
    classifier = TransformerClassifier(MODELS[kind]()).eval()
    order = random_orders(readable, torch.Generator().manual_seed(2))
    own, moved = classifier(ids, lengths, readable), classifier.permuted(ids, lengths, readable, order)
    torch.testing.assert_close(moved.attention, own.attention.gather(1, order))
    assert (moved.logits - own.logits).abs().max() > 1e-4


@pytest.mark.parametrize("kind", MODELS)
def test_attention_of_the_callers_is_mixed_as_by_hand(kind: str, batch: Batch) -> None:
    """Half of the readable weight on each of two tokens is what is seen; it is neither the one nor the other."""
    ids, lengths, readable = batch
    classifier = TransformerClassifier(MODELS[kind](), heads=[0]).eval()
    one, other = torch.zeros(2, 7), torch.zeros(2, 7)
    one[:, 1], other[:, 2] = 1, 1
    mixed = classifier(ids, lengths, readable, (one + other) / 2)
    torch.testing.assert_close(mixed.attention, (one + other) / 2)
    for single in (one, other):
        assert (classifier(ids, lengths, readable, single).logits - mixed.logits).abs().max() > 1e-4


def test_uniform_attention_is_even_over_the_real_tokens_in_every_row_of_its_layer(batch: Batch) -> None:
    ids, lengths, readable = batch
    model = bert()
    classifier = TransformerClassifier(model, layers=[1], uniform=True).eval()
    prediction = classifier(ids, lengths, readable)
    torch.testing.assert_close(prediction.attention, readable / readable.sum(-1, keepdim=True))
    layer = model.bert.encoder.layer[1].attention.self
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output[0]))
    try:
        classifier(ids, lengths, readable)
    finally:
        handle.remove()
    for text, length in enumerate(lengths.tolist()):
        rows = seen[0][text, :length]
        torch.testing.assert_close(rows, rows[:1].expand_as(rows), rtol=1e-4, atol=1e-5)  # all see the same mean


def test_the_gradient_of_alpha_reaches_queries_and_keys_and_dropout_stays_off_in_the_tested_layer(batch: Batch) -> None:
    config = BertConfig(**SMALL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    first = TransformerClassifier(randomized(BertForSequenceClassification(config)), layers=[0])
    before = first(*batch).attention
    torch.testing.assert_close(first.train()(*batch).attention, before)
    model = bert()
    classifier = TransformerClassifier(model)
    classifier.train()
    classifier(*batch).attention[0, 2].backward()
    attention = model.bert.encoder.layer[2].attention.self
    assert attention.query.weight.grad.abs().max() > 0 and attention.value.weight.grad is None


def test_other_calls_of_the_model_are_left_alone(batch: Batch) -> None:
    ids, lengths, readable = batch
    model = bert()
    before = model(input_ids=ids[:1]).logits
    TransformerClassifier(model, uniform=True)(ids, lengths, readable)
    torch.testing.assert_close(model(input_ids=ids[:1]).logits, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"layers": [3]}, "layers are .3.; the model has attention in layers 0 to 2"), ({"heads": [4]}, "heads are .4."),
     ({"layers": [2, -1]}, "each once"), ({"layers": []}, "Name some"), ({"heads": []}, "numbers from 0 to 3")],
)  # fmt: skip
def test_layers_and_heads_that_dont_exist_are_refused(options: dict[str, list[int]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        TransformerClassifier(bert(), **options)


def test_models_that_cant_take_the_tests_are_refused() -> None:
    small = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    bart = BartForSequenceClassification(BartConfig(vocab_size=99, **small, **heads))
    with pytest.raises(UnsupportedArchitecture, match="an encoder and a decoder"):
        TransformerClassifier(bart)
    config = ModernBertConfig(**SMALL, classifier_pooling="mean", cls_token_id=1, sep_token_id=2)
    with pytest.raises(UnsupportedArchitecture, match=r"reads 7 of 7 tokens.*Name a row"):
        TransformerClassifier(ModernBertForSequenceClassification(config).eval())


@pytest.mark.parametrize("row", ["first", "last"])
def test_a_row_is_named_whatever_the_head_reads(row: Literal["first", "last"], batch: Batch) -> None:
    ids, lengths, readable = batch
    model = bert()
    prediction = TransformerClassifier(model, row=row).eval()(ids, lengths, readable)
    model.set_attn_implementation("eager")
    mask = (torch.arange(7) < lengths[:, None]).long()
    weights = model(input_ids=ids, attention_mask=mask, output_attentions=True).attentions[-1].mean(dim=1)
    for text, length in enumerate(lengths.tolist()):
        expected = weights[text, 0 if row == "first" else length - 1] * readable[text]
        torch.testing.assert_close(prediction.attention[text], expected / expected.sum())
