"""DecompX against contributions propagated by hand; conservation; both directions; batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pushed_by_hand
import pytest
import torch
from architectures import tiny
from attribution_models import by_hand, lens_on, model_with_head
from transformers import FSMTForConditionalGeneration

import normlens
from normlens.attribution import LogProbability, VectorNorm
from normlens.errors import InvalidInput, UnsupportedArchitecture

IDS = [11, 12, 13, 14, 15]
TEXTS = [IDS, [21, 22, 23], [31, 33, 34, 35, 36, 37]]
SECOND = [[41, 42], [51, 52, 53, 54], [61]]
MODELS = [
    ("SequenceClassification", "bert"), ("SequenceClassification", "gpt2"), ("TokenClassification", "bert"),
    ("MaskedLM", "bert"), ("CausalLM", "gpt2"), ("CausalLM", "llama"), ("Seq2SeqLM", "marian"), ("Seq2SeqLM", "t5"),
    ("QuestionAnswering", "bert"), ("CausalLM", "mixtral"), ("CausalLM", "gemma2"),
]  # fmt: skip


def asked(task: str) -> dict[str, Any]:
    """A target that the head has, and what goes with it."""
    options: dict[str, Any] = {"target": "start" if task == "QuestionAnswering" else 2}
    if task in ("TokenClassification", "MaskedLM", "QuestionAnswering"):
        options["position"] = 1
    return options


def test_shares_are_those_of_vectors_carried_by_hand() -> None:
    vectors, bias = by_hand(model_with_head("SequenceClassification", "bert"), IDS)
    lens = lens_on("SequenceClassification", "bert")
    for k, name in enumerate(["bad", "good", "So-so"]):
        result = lens.attribute(IDS, target=name)
        assert result.dims == ("source",)
        assert np.abs(result.values - vectors[0, :, k].numpy()).max() < 1e-10
        assert abs(result.attrs["bias_share"] - float(bias[0, k])) < 1e-10


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "marian"])
def test_other_blocks_carry_vectors_by_the_same_rules(model_type: str) -> None:
    task, second = ("Seq2SeqLM", [41, 42, 43]) if model_type == "marian" else ("CausalLM", None)
    lens = lens_on(task, model_type)
    read = [IDS] if second is None else [IDS, [lens.model.config.decoder_start_token_id, *second[:-1]]]
    vectors, bias = getattr(pushed_by_hand, model_type)(lens.model, *read)
    tolerance = 1e-6 if model_type == "llama" else 1e-10  # Llama's file computes σ in float32
    for token in (3, 17):
        result = lens.attribute(IDS, target=token, target_text=second)
        largest = float(vectors[0, :, token].abs().max())
        assert np.abs(result.values - vectors[0, :, token].numpy()).max() < tolerance * largest
        assert result.attrs["bias_share"] == pytest.approx(float(bias[0, token]), abs=tolerance * largest * 10)


def test_the_whole_embedding_may_be_the_source() -> None:
    vectors, bias = by_hand(model_with_head("SequenceClassification", "bert"), IDS, with_positions=True)
    result = lens_on("SequenceClassification", "bert").attribute(IDS, target=1, sources="bert.embeddings")
    assert np.abs(result.values - vectors[0, :, 1].numpy()).max() < 1e-10
    assert abs(result.attrs["bias_share"] - float(bias[0, 1])) < 1e-10


def test_vectors_at_a_module_are_those_carried_by_hand() -> None:
    lens = lens_on("SequenceClassification", "bert")
    vectors, _ = by_hand(lens.model, IDS)
    contributions = lens.attribute(IDS, at="bert.encoder", vectors=True, chunk_size=2)
    assert contributions.dims == ("target", "source", "feature")
    first = torch.from_numpy(contributions.values[0])
    whole = lens.model.bert(torch.tensor([IDS])).last_hidden_state[0, 0]
    dense = lens.model.bert.pooler.dense
    gain = torch.tanh(dense(whole)) / dense(whole)
    logits = ((first @ dense.weight.T) * gain) @ lens.model.classifier.weight.T
    assert (logits - vectors[0]).abs().max() < 1e-10
    norms = lens.attribute(IDS, at="bert.encoder")
    assert np.allclose(norms.values, np.linalg.norm(contributions.values, axis=-1), atol=1e-12)
    assert norms.attrs["conservation_error"] < 1e-10


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama"])
def test_pull_back_is_push_forward(model_type: str) -> None:
    lens = lens_on("CausalLM" if model_type != "bert" else "MaskedLM", model_type)
    vectors = lens.attribute(IDS, vectors=True).values[3]
    body = lens.model.base_model
    weights = torch.linspace(-1, 1, vectors.shape[-1], dtype=torch.float64)
    plain = normlens.load((body, None))
    shares = plain.attribute(IDS, target=lambda output: output.last_hidden_state[:, 3] @ weights)
    assert np.abs(vectors @ weights.numpy() - shares.values).max() < 1e-6 * np.abs(shares.values).max()
    assert abs(shares.attrs["remainder"]) < 1e-10


@pytest.mark.parametrize(("task", "model_type"), MODELS)
def test_shares_add_up_in_single_precision(task: str, model_type: str) -> None:
    second = {"target_text": SECOND[0]} if task == "Seq2SeqLM" else {}
    result = lens_on(task, model_type, torch.float32).attribute(IDS, **asked(task), **second)
    assert result.attrs["conservation_error"] < 1e-5
    scale = float(abs(result).sum()) + abs(result.attrs["bias_share"])
    assert abs(float(result.sum()) + result.attrs["bias_share"] - result.attrs["value"]) < 1e-6 * scale
    assert float(abs(result).max()) > 0


@pytest.mark.parametrize("options", [{}, {"target": 1}], ids=["vectors", "shares"])
@pytest.mark.parametrize(
    ("task", "model_type"), [("SequenceClassification", "bert"), ("CausalLM", "llama"), ("Seq2SeqLM", "marian")]
)
def test_batches_are_single_runs(task: str, model_type: str, options: dict[str, Any]) -> None:
    lens, is_pair = lens_on(task, model_type), task == "Seq2SeqLM"
    together = list(lens.attribute(TEXTS, target_text=SECOND if is_pair else None, **options))
    for k, (text, result) in enumerate(zip(TEXTS, together, strict=True)):
        alone = lens.attribute(text, target_text=SECOND[k] if is_pair else None, **options)
        assert alone.shape == result.shape
        assert np.abs(alone.values - result.values).max() < 1e-10
        assert alone.attrs["bias_share"] == pytest.approx(result.attrs["bias_share"], abs=1e-10)


def test_a_causal_prediction_owes_nothing_to_later_tokens() -> None:
    result = lens_on("CausalLM", "llama").attribute(IDS, target=(5, 9), position=2)
    assert (result.values[3:] == 0).all()
    assert (result.values[:3] != 0).all()


def test_an_encoder_decoders_sources_are_both_texts() -> None:
    result = lens_on("Seq2SeqLM", "marian").attribute(IDS, target_text=[41, 42, 43], target=7)
    assert result["side"].values.tolist() == ["source"] * 5 + ["target"] * 3
    assert result["source_id"].values.tolist()[:5] == IDS
    assert result["source_id"].values.tolist()[6:] == [41, 42]
    encoder = lens_on("Seq2SeqLM", "marian").attribute(IDS, target_text=[41, 42, 43], at="model.encoder")
    assert encoder.shape == (5, 8)
    assert (encoder.values[:, 5:] == 0).all()


def test_a_pair_is_the_difference() -> None:
    lens = lens_on("CausalLM", "gpt2")
    one, other = (lens.attribute(IDS, target=token).values for token in (5, 9))
    assert np.abs(lens.attribute(IDS, target=(5, 9)).values - (one - other)).max() < 1e-12


@pytest.mark.parametrize("product", ["first", "second"])
def test_the_product_rule_moves_shares_but_not_their_sum(product: str) -> None:
    lens = lens_on("CausalLM", "llama")
    half, other = lens.attribute(IDS, target=5), lens.attribute(IDS, target=5, product=product)
    assert other.attrs["rule"].startswith(f"product: {product}")
    assert np.abs(half.values - other.values).max() > 1e-3
    assert float(other.sum()) + other.attrs["bias_share"] == pytest.approx(half.attrs["value"], abs=1e-9)


def test_a_norm_leaves_no_remainder() -> None:
    lens = lens_on("CausalLM", "gpt2")
    result = lens.attribute(IDS, target=VectorNorm(), position=1)
    hidden = lens.model.base_model(torch.tensor([IDS])).last_hidden_state[0, 1].detach()
    assert result.attrs["value"] == pytest.approx(float(hidden.norm()), abs=1e-12)
    assert abs(result.attrs["remainder"]) < 1e-12
    assert result.attrs["linear_form"] == "local, at the output"
    assert float(result.sum()) + result.attrs["bias_share"] == pytest.approx(float(hidden.norm()), abs=1e-10)


@pytest.mark.parametrize(
    ("task", "model_type", "path"),
    [
        ("Seq2SeqLM", "t5", "decoder"), ("Seq2SeqLM", "marian", "model"), ("CausalLM", "opt", "model.decoder"),
        ("CausalLM", "bart", "model.decoder"), ("CausalLM", "llama", "model"), ("SequenceClassification", "bert", "bert"),
    ],
)  # fmt: skip
def test_the_last_hidden_states_are_those_before_the_head(task: str, model_type: str, path: str) -> None:
    lens = lens_on(task, model_type)
    second = {"target_text": SECOND[0]} if task == "Seq2SeqLM" else {}
    contributions, there = (lens.attribute(IDS, vectors=True, **second, **at) for at in ({}, {"at": path}))
    assert contributions.sizes["feature"] == lens.model.config.hidden_size
    assert np.array_equal(contributions.values, there.values)
    assert contributions.attrs["conservation_error"] < 1e-6


def test_a_stand_alone_decoder_runs_without_its_head() -> None:
    lens = lens_on("CausalLM", "bart")
    result = lens.attribute(IDS, target=VectorNorm(), position=1)
    with torch.no_grad():
        states = lens.model.model.decoder(torch.tensor([IDS])).last_hidden_state[0]
    assert result.attrs["value"] == pytest.approx(float(states[1].norm()), abs=1e-10)
    assert result.attrs["conservation_error"] < 1e-6


@pytest.mark.parametrize("options", [{"target": VectorNorm(), "position": 0}, {"vectors": True}])
def test_hidden_states_that_are_not_at_hand_are_refused(options: dict[str, Any]) -> None:
    model_type = "t5" if "target" in options else "fsmt"
    message = "can't run without its head" if "target" in options else "returns its logits"
    with pytest.raises(InvalidInput, match=message):
        lens_on("Seq2SeqLM", model_type, torch.float32).attribute(IDS, target_text=SECOND[0], **options)


def test_vectors_with_a_target_are_refused() -> None:
    with pytest.raises(InvalidInput, match="choose contribution vectors"):
        lens_on("CausalLM", "gpt2").attribute(IDS, target=5, vectors=True)


@pytest.mark.parametrize(
    ("at", "message"), [("lm_heed", "no module 'lm_heed'"), (3, "at=3; expected the path"), ("transformer.drop", None)]
)
def test_a_place_that_does_not_exist_is_refused(at: Any, message: str | None) -> None:
    lens = lens_on("CausalLM", "gpt2")
    if message is None:
        assert lens.attribute(IDS, at=at).shape == (5, 5)
        return
    with pytest.raises(InvalidInput, match=message):
        lens.attribute(IDS, at=at)


def test_padding_that_a_model_embeds_apart_is_no_second_text() -> None:
    result = lens_on("Seq2SeqLM", "led").attribute([11, 12, 13, 14], target=7, target_text=[21, 22, 23])
    assert result["side"].values.tolist() == ["source"] * 4 + ["target"] * 3
    assert float(result.sum()) + result.attrs["bias_share"] == pytest.approx(result.attrs["value"], abs=1e-6)


@pytest.mark.parametrize("method", ["decompx", "gradient_input"])
def test_a_decoder_with_a_table_of_its_own_has_sources(method: str) -> None:
    lens = normlens.load((FSMTForConditionalGeneration(tiny.configuration("fsmt")).eval(), None))
    result = lens.attribute(list(range(11, 19)), target=7, target_text=[21, 22, 23, 24, 25], method=method)
    assert result["side"].values.tolist() == ["source"] * 8 + ["target"] * 5
    assert (result.values != 0).all()


def test_a_target_whose_tokens_enter_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.engine.frozen.sources._tables_of_plain_decoders", lambda model: [])
    lens = normlens.load((FSMTForConditionalGeneration(tiny.configuration("fsmt")).eval(), None))
    with pytest.raises(UnsupportedArchitecture, match="alti_plus"):
        lens.attribute(list(range(11, 19)), target=7, target_text=[21, 22, 23, 24, 25])


def test_each_of_several_targets_says_whether_it_is_linear() -> None:
    lens = lens_on("SequenceClassification", "bert")
    results = lens.attribute([[11, 12], [13, 14]], target=[1, LogProbability(1)])
    assert [result.attrs["linear_form"] for result in results] == ["exact", "local, at the output"]
