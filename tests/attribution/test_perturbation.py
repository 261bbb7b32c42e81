"""Occlusion, Shapley values and ContextCite against runs of the model on texts written without the words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attribution_models import lens_on, model_with_head
from sklearn.linear_model import Lasso
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.attribution import LogProbability
from normlens.attribution.methods.contextcite import lasso, log_odds
from normlens.errors import InvalidInput

TEXT, ANSWER = "the cat sat. the dog ran. a dog is here. the", " unhappiness is"
SENTENCES = r"[^.]+\."


@pytest.fixture(scope="module")
def decoder(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A tiny GPT-2 that reads text."""
    return normlens.load((model_with_head("CausalLM", "gpt2", torch.float64), tokenizer))


def answer_log_probability(lens: normlens.Lens, prompt: list[int], answer: list[int]) -> float:
    with torch.no_grad():
        logits = lens.model(torch.tensor([[*prompt, *answer]])).logits[0].double().log_softmax(-1)
    return float(sum(logits[len(prompt) - 1 + k, token] for k, token in enumerate(answer)))


def ids_without(lens: normlens.Lens, removed: list[str]) -> list[int]:
    """The prompt's tokens without some sentences, and without the mark at the end of a text."""
    text = TEXT
    for sentence in removed:
        text = text.replace(sentence, "", 1)
    ids: list[int] = lens.tokenizer(text)["input_ids"]
    return ids[:-1]


def sentences() -> list[str]:
    return ["the cat sat.", " the dog ran.", " a dog is here."]


def answer_ids(lens: normlens.Lens) -> list[int]:
    ids: list[int] = lens.tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    return ids


def value_without(lens: normlens.Lens, removed: list[str]) -> float:
    return answer_log_probability(lens, ids_without(lens, removed), answer_ids(lens))


def test_occlusion_is_the_fall_without_each_sentence(decoder: normlens.Lens) -> None:
    options: dict[str, Any] = {"answer": ANSWER, "method": "occlusion", "spans": SENTENCES}
    whole = decoder.attribute(TEXT, whole=True, **options)
    full = value_without(decoder, [])
    assert whole["source_token"].values.tolist() == [sentence.strip() for sentence in sentences()]
    assert np.allclose(whole, [full - value_without(decoder, [one]) for one in sentences()], atol=1e-8)
    assert whole.attrs["value"] == pytest.approx(full, abs=1e-8) and whole.attrs["runs"] == 4
    each = decoder.attribute(TEXT, **options)
    assert each.shape == (len(answer_ids(decoder)), 3)
    assert np.allclose(each.sum("target"), whole, atol=1e-8)
    assert int(each.attrs["runs"]) == 4  # the same runs for all tokens


def test_occlusion_of_words_in_every_kind_of_model(tokenizer: PreTrainedTokenizerFast) -> None:
    text, words = "the unhappiness sat", ["the", "unhappiness", "sat"]
    for task, options in (
        ("SequenceClassification", {"target": "good"}),
        ("MaskedLM", {"target": "cat", "position": 1}),
        ("CausalLM", {"target": "cat"}),
    ):
        model = model_with_head(task, "gpt2" if task == "CausalLM" else "bert", torch.float64)
        lens = normlens.load((model, tokenizer))
        result = lens.attribute(text, method="occlusion", **options)
        assert result["source_token"].values.tolist() == words
        full = lens.attribute(text, method="gradient_input", **options).attrs["value"]
        without = lens.attribute("the unhappiness", method="gradient_input", **options).attrs["value"]
        assert float(result[2]) == pytest.approx(full - without, abs=1e-8)


def test_a_replaced_word_keeps_its_place(tokenizer: PreTrainedTokenizerFast) -> None:
    lens = normlens.load((model_with_head("SequenceClassification", "bert"), tokenizer))
    ids = lens.tokenizer("the cat sat")["input_ids"]
    result = lens.attribute("the cat sat", method="occlusion", target="good", replacement="unknown")
    changed = [*ids[:2], lens.tokenizer.unk_token_id, *ids[3:]]
    with torch.no_grad():
        before, after = (float(lens.model(torch.tensor([read])).logits[0, 1]) for read in (ids, changed))
    assert float(result[1]) == pytest.approx(before - after, abs=1e-9)


def test_shapley_values_are_the_mean_over_orders(decoder: normlens.Lens) -> None:
    options: dict[str, Any] = {"answer": ANSWER, "whole": True, "method": "shapley", "spans": SENTENCES, "seed": 3}
    result = decoder.attribute(TEXT, **options, samples=12)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        orders = [torch.randperm(3).tolist() for _ in range(12)]
    expected = np.zeros(3)
    for order in orders:
        for place, unit in enumerate(order):
            before = [sentences()[k] for k in range(3) if k not in order[:place]]
            after = [sentence for sentence in before if sentence != sentences()[unit]]
            expected[unit] += (value_without(decoder, after) - value_without(decoder, before)) / len(orders)
    assert np.allclose(result, expected, atol=1e-4)  # captum adds up in float32
    nothing = value_without(decoder, sentences())
    assert result.attrs["bias_share"] == pytest.approx(nothing, abs=1e-8)
    assert float(result.sum()) == pytest.approx(value_without(decoder, []) - nothing, abs=1e-4)
    assert result.attrs["runs"] <= 8  # every set of sentences once
    assert np.array_equal(result.values, decoder.attribute(TEXT, **options, samples=12).values)


def test_contextcite_is_a_lasso_on_log_odds_of_random_ablations(decoder: normlens.Lens) -> None:
    options: dict[str, Any] = {"answer": ANSWER, "whole": True, "method": "contextcite", "spans": SENTENCES}
    result = decoder.attribute(TEXT, **options, ablations=20, seed=1, alpha=1e-4)
    kept = np.random.default_rng(1).random((20, 3)) < 0.5
    values = []
    for row in kept:
        log = value_without(decoder, [sentence for sentence, stays in zip(sentences(), row, strict=True) if not stays])
        values.append(np.log(np.exp(log) / (1 - np.exp(log))))
    tokens = len(answer_ids(decoder))
    scale = kept.std(0)
    fit = Lasso(alpha=1e-4, max_iter=100_000).fit((kept - kept.mean(0)) / scale, np.array(values) / tokens)
    assert np.allclose(result, fit.coef_ / scale * tokens, atol=1e-7)
    assert float(np.abs(result).max()) > 0
    sparse = decoder.attribute(TEXT, **options, alpha=1e6)
    assert not sparse.values.any()  # a measurement, not a failure


def test_contextcite_takes_out_sentences_unless_spans_are_named_and_says_log_odds(decoder: normlens.Lens) -> None:
    result = decoder.attribute(TEXT, method="contextcite", target="logprob: cat")
    assert str(result.attrs["target"]).startswith("log-odds")
    assert decoder.attribute(TEXT, method="occlusion", target="logprob: cat").sizes["source"] > result.sizes["source"]


def test_log_odds_of_tiny_and_large_probabilities() -> None:
    p = np.array([0.2, 0.5, 0.999])
    assert np.allclose(log_odds(np.log(p)), np.log(p / (1 - p)))
    assert np.isfinite(log_odds(np.array([-1e-20, -800.0]))).all()
    weights, intercept = lasso(np.array([[True], [False], [True], [False]]), np.array([3.0, 1.0, 3.0, 1.0]), 1e-9)
    assert weights == pytest.approx([2.0], abs=1e-6) and intercept == pytest.approx(1.0, abs=1e-6)


def test_a_translation_without_words_of_its_source() -> None:
    lens = lens_on("Seq2SeqLM", "marian")
    source, answer = [11, 12, 13], [41, 42]
    result = lens.attribute(source, answer=answer, whole=True, method="occlusion")
    with torch.no_grad():
        start = lens.model.config.decoder_start_token_id

        def value(ids: list[int]) -> float:
            read = torch.tensor([[start, *answer[:-1]]])
            logs = lens.model(input_ids=torch.tensor([ids]), decoder_input_ids=read).logits[0].log_softmax(-1)
            return float(logs[range(2), answer].sum())

        falls = [value(source) - value([one for one in source if one != out]) for out in source]
    assert np.allclose(result, falls, atol=1e-8)


def test_nothing_left_reads_the_mark_that_begins_texts() -> None:
    model = model_with_head("CausalLM", "gpt2", torch.float64)
    result = lens_on("CausalLM", "gpt2").attribute([11, 12], target=LogProbability(3), method="shapley", samples=2)
    with torch.no_grad():
        alone = model(torch.tensor([[model.config.bos_token_id]])).logits[0, -1].log_softmax(-1)[3]
    assert result.attrs["bias_share"] == pytest.approx(float(alone), abs=1e-9)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("occlusion", {"replacement": "zero"}, "expected one of mask, pad, unknown"),
        ("shapley", {"samples": 0}, "samples is 0"),
        ("shapley", {"seed": -1}, "seed is -1"),
        ("contextcite", {"ablations": 1}, "ablations is 1"),
        ("contextcite", {"alpha": 0}, "alpha is 0"),
        ("contextcite", {"target": "cat"}, "log-odds"),
        ("occlusion", {"target": lambda output: output.logits[:, -1, 3]}, "positions of its own choice"),
        ("occlusion", {"replacement": "mask"}, "has no mask token"),
    ],
)
def test_what_cant_be_measured_is_refused(
    decoder: normlens.Lens, method: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        decoder.attribute("the cat sat. the dog ran.", method=method, spans=SENTENCES, **options)
