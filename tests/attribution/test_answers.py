"""Whole answers: every step against an attribution of its own, sums against log-probabilities, words and spans by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attribution_models import lens_on, model_with_head
from transformers import PreTrainedTokenizerFast

import normlens
from normlens.attribution import LogProbability
from normlens.errors import InvalidInput

PROMPT, ANSWER = [11, 12, 13, 14], [21, 22, 23]
SOURCE, TRANSLATION = [11, 12, 13, 14, 15], [41, 42, 43]


def log_probabilities(lens: normlens.Lens, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = lens.model(torch.tensor([ids])).logits[0]
    return logits.double().log_softmax(-1)


@pytest.mark.parametrize("method", ["decompx", "gradient_input"])
@pytest.mark.parametrize("score", ["logprob", "logit"])
@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_every_step_is_the_attribution_of_its_own_prefix(model_type: str, score: Any, method: str) -> None:
    lens = lens_on("CausalLM", model_type)
    result = lens.attribute(PROMPT, answer=ANSWER, score=score, method=method, batch_size=2)
    assert result.dims == ("target", "source") and result.shape == (3, 6)
    assert result["source_role"].values.tolist() == ["prompt"] * 4 + ["answer"] * 2
    for k, token in enumerate(ANSWER):
        read = [*PROMPT, *ANSWER[:k]]
        alone = lens.attribute(read, target=LogProbability(token) if score == "logprob" else token, method=method)
        assert np.abs(result.values[k, : len(read)] - alone.values).max() < 1e-9 * np.abs(alone.values).max()
        assert not result.values[k, len(read) :].any()
        assert float(result["target_value"][k]) == pytest.approx(alone.attrs["value"], abs=1e-9)
        assert float(result["target_bias_share"][k]) == pytest.approx(alone.attrs["bias_share"], abs=1e-8)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_steps_have_the_models_probabilities_and_entropies(model_type: str) -> None:
    lens = lens_on("CausalLM", model_type)
    result = lens.attribute(PROMPT, answer=ANSWER)
    logs = log_probabilities(lens, [*PROMPT, *ANSWER])[3:6]
    expected = logs[range(3), ANSWER].numpy()
    assert np.allclose(result["target_probability"], np.exp(expected), atol=1e-9)
    assert np.allclose(result["target_value"], expected, atol=1e-7)
    assert np.allclose(result["target_entropy"], -(logs.exp() * logs).sum(-1), atol=1e-9)
    assert np.allclose(result["target_remainder"], -result["target_entropy"], atol=1e-6)
    sums = result.sum("source") + result["target_bias_share"] + result["target_remainder"]
    assert np.allclose(sums, result["target_value"], atol=1e-9)
    assert result.attrs["value"] == pytest.approx(float(expected.sum()), abs=1e-7)


@pytest.mark.parametrize("method", ["decompx", "gradient_input"])
def test_the_answer_as_one_target_is_the_sum_of_its_tokens(method: str) -> None:
    lens = lens_on("CausalLM", "llama")
    each = lens.attribute(PROMPT, answer=ANSWER, method=method)
    whole = lens.attribute(PROMPT, answer=ANSWER, whole=True, method=method)
    assert whole.dims == ("source",) and whole["source_role"].values.tolist() == ["prompt"] * 4 + ["answer"] * 2
    assert np.abs(whole.values - each.sum("target").values).max() < 1e-6 * np.abs(whole.values).max()
    for name in ("value", "bias_share"):
        assert whole.attrs[name] == pytest.approx(each.attrs[name], abs=1e-6)
    assert whole.attrs["target"].startswith("log-probability of the answer")


@pytest.mark.parametrize("model_type", ["marian", "t5"])
def test_a_translation_is_explained_at_every_position_of_the_decoder(model_type: str) -> None:
    lens = lens_on("Seq2SeqLM", model_type)
    result = lens.attribute(SOURCE, answer=TRANSLATION)
    assert result.shape == (3, 8) and result["target_id"].values.tolist() == TRANSLATION
    assert result["source_role"].values.tolist() == ["prompt"] * 5 + ["answer"] * 3
    for k, token in enumerate(TRANSLATION):
        alone = lens.attribute(SOURCE, target_text=TRANSLATION, target=LogProbability(token), position=k)
        assert np.abs(result.values[k] - alone.values).max() < 1e-9 * np.abs(alone.values).max()


@pytest.mark.parametrize(("task", "model_type"), [("CausalLM", "gpt2"), ("Seq2SeqLM", "marian")])
def test_a_generated_answer_is_the_greedy_one(task: str, model_type: str) -> None:
    lens = lens_on(task, model_type)
    generated = lens.attribute(PROMPT, generate=3)
    ids = generated["target_id"].values.tolist()
    assert 1 <= len(ids) <= 3
    brought = lens.attribute(PROMPT, answer=ids)
    assert np.array_equal(generated.values, brought.values)
    if task == "CausalLM":
        read = list(PROMPT)
        for token in ids:
            assert int(log_probabilities(lens, read)[-1].argmax()) == token
            read.append(token)


@pytest.fixture(scope="module")
def decoder(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A tiny GPT-2 that reads text."""
    return normlens.load((model_with_head("CausalLM", "gpt2", torch.float32), tokenizer))


def test_words_of_an_answer_add_up_their_pieces(decoder: normlens.Lens) -> None:
    tokens = decoder.attribute("the cat sat", answer=" unhappiness here")
    words = tokens.words()
    assert tokens.sizes["target"] > words.sizes["target"] == 2
    assert words["target_token"].values.tolist() == ["unhappiness", "here"]
    pieces = tokens["target_word"].values == tokens["target_word"].values[0]
    assert np.allclose(words.sum("source")[0], tokens.sum("source")[pieces].sum(), atol=1e-6)
    assert float(words["target_probability"][0]) == pytest.approx(float(tokens["target_probability"][pieces].prod()))
    assert float(words["target_value"].sum()) == pytest.approx(float(tokens["target_value"].sum()), abs=1e-6)
    assert float(words.sum()) == pytest.approx(float(tokens.sum()), abs=1e-5)


def test_spans_add_up_the_shares_of_their_tokens(decoder: normlens.Lens) -> None:
    text = "the cat sat. the cat was here. the cat"
    tokens = decoder.attribute(text, answer=" sat here")
    spans = decoder.attribute(text, answer=" sat here", spans="[^.]*[.]")
    assert spans["source_token"].values.tolist() == ["the cat sat.", "the cat was here.", "[rest]", "[answer]"]
    first = (
        (tokens["source_role"] == "prompt") & (tokens["source_end"] <= 12) & (tokens["source_category"] != "special")
    )
    assert np.allclose(spans[:, 0], tokens[:, first.values].sum("source"), atol=1e-6)
    assert np.allclose(spans.sum("source"), tokens.sum("source"), atol=1e-5)
    assert np.array_equal(spans.values, tokens.spans([(0, 12), (13, 30)]).values)
    assert spans.words()["target_token"].values.tolist() == ["sat", "here"]
    named = decoder.attribute(text, target="sat", spans="sentences")
    assert named["source_token"].values.tolist()[:3] == ["the cat sat. the cat was here. the cat"[:38], "[rest]"][:3]


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 7), (4, 11)], "overlap"),
        ([(0, 7), (50, 60)], "holds no text"),
        ([(0, 2), (2, 7)], "lies in two spans"),
        ([(0, 7, 9)], "expected first character"),
        ("(", "is no regular expression"),
        ("x+y", "has no spans"),
        ([], "no spans"),
    ],
)
def test_spans_that_say_nothing_are_refused(decoder: normlens.Lens, spans: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decoder.attribute("the cat sat here", target="sat", spans=spans)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer": ANSWER, "generate": 2}, "expected one of them"),
        ({"answer": ANSWER, "target": 3}, "target= was passed with an answer"),
        ({"answer": ANSWER, "position": 1}, "position= was passed with an answer"),
        ({"answer": ANSWER, "target_text": [1]}, "target_text= was passed with an answer"),
        ({"answer": ANSWER, "method": "rollout"}, "takes no target"),
        ({"answer": ANSWER, "score": "odds"}, "expected one of logprob, logit"),
        ({"answer": []}, "no tokens"),
        ({"answer": " "}, "The answer is empty"),
        ({"answer": "text"}, "no tokenizer"),
        ({"generate": 0}, "positive integer"),
        ({"generate": 10**6}, "takes at most"),
        ({"answer": [11] * 10**4}, "prompt with its answer has 10004 tokens"),
        ({"whole": True}, "whole= belongs to whole answers"),
        ({"score": "logit"}, "score= belongs to whole answers"),
    ],
)
def test_answers_that_cant_be_explained_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens_on("CausalLM", "gpt2").attribute(PROMPT, **options)


def test_an_encoder_writes_no_answers() -> None:
    with pytest.raises(InvalidInput, match="no head that predicts the next token"):
        lens_on("MaskedLM", "bert").attribute(PROMPT, answer=ANSWER)


def test_an_answer_that_the_tokenizer_joins_to_the_prompt_is_refused(decoder: normlens.Lens) -> None:
    with pytest.raises(InvalidInput, match="joins the answer to the prompt"):
        decoder.attribute("the c", answer="at sat")
    pieces = decoder.attribute("the un", answer="happiness")  # a word may be divided where a token ends
    assert pieces["target_token"].values.tolist() == ["happi", "ness"]


def test_several_prompts_at_once_are_refused() -> None:
    with pytest.raises(InvalidInput, match="one prompt at a time"):
        lens_on("CausalLM", "gpt2").attribute([PROMPT, PROMPT], answer=ANSWER)
