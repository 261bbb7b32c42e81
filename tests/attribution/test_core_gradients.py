"""Gradient × input and integrated gradients against derivatives and quadrature written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from attribution_models import gauss_legendre, lens_on
from torch import Tensor

import normlens
from normlens.attribution.methods import embedding_function as embedded
from normlens.errors import ConservationError, InvalidInput

IDS = [11, 12, 13, 14, 15]
TEXTS = [IDS, [21, 22, 23], [31, 33, 34, 35, 36, 37]]


SECOND = [41, 42, 43]
MODELS = [("SequenceClassification", "bert"), ("CausalLM", "gpt2"), ("CausalLM", "llama"), ("Seq2SeqLM", "marian")]


def logit_of(model: Any, vectors: Tensor, index: int) -> Tensor:
    read = {"inputs_embeds": vectors[None, : len(IDS)]}
    if model.config.is_encoder_decoder:
        read["decoder_inputs_embeds"] = vectors[None, len(IDS) :]
    logits = model(**read).logits[0]
    return logits[index] if logits.ndim == 1 else logits[-1, index]


def embedded_ids(model: Any) -> Tensor:
    """What goes in: an encoder–decoder's two texts one behind the other, with its scale."""
    pair = model.config.is_encoder_decoder
    ids = [*IDS, model.config.decoder_start_token_id, *SECOND[:-1]] if pair else IDS
    vectors: Tensor = model.get_input_embeddings()(torch.tensor(ids)).detach()
    return vectors * model.model.encoder.embed_scale if pair else vectors


def second_text(task: str) -> dict[str, Any]:
    return {"target_text": SECOND} if task == "Seq2SeqLM" else {}


@pytest.mark.parametrize(("task", "model_type"), MODELS)
def test_gradient_times_input_is_the_derivative_times_the_embedding(task: str, model_type: str) -> None:
    lens = lens_on(task, model_type)
    vectors = embedded_ids(lens.model).requires_grad_()
    (gradient,) = torch.autograd.grad(logit_of(lens.model, vectors, 2), vectors)
    result = lens.attribute(IDS, method="gradient_input", target=2, **second_text(task))
    assert np.abs(result.values - (gradient * vectors).sum(-1).detach().numpy()).max() < 1e-10
    assert math.isnan(result.attrs["conservation_error"])


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize(("task", "model_type"), MODELS)
def test_integrated_gradients_are_the_quadrature(task: str, model_type: str, steps: int) -> None:
    lens = lens_on(task, model_type)
    vectors, total = embedded_ids(lens.model), torch.zeros(1, dtype=torch.float64)
    for point, weight in gauss_legendre(steps):
        there = (point * vectors).requires_grad_()
        (gradient,) = torch.autograd.grad(logit_of(lens.model, there, 2), there)
        total = total + weight * (gradient * vectors).sum(-1)
    options = {"steps": steps, "chunk_size": 2, "tolerance": 10, **second_text(task)}
    result = lens.attribute(IDS, method="integrated_gradients", target=2, **options)
    assert np.abs(result.values - total.numpy()).max() < 1e-7 * float(total.abs().sum())  # captum's weights are float32


def test_integrated_gradients_add_up_from_the_baseline() -> None:
    lens = lens_on("SequenceClassification", "bert")
    result = lens.attribute(IDS, method="integrated_gradients", target=2)
    base = float(logit_of(lens.model, torch.zeros(5, 32, dtype=torch.float64), 2).detach())
    assert result.attrs["bias_share"] == pytest.approx(base, abs=1e-12)
    assert float(result.sum()) + base == pytest.approx(result.attrs["value"], abs=1e-7)
    assert result.attrs["conservation_error"] < 1e-7


def test_a_zero_baseline_is_a_cliff_under_a_bare_rms_norm() -> None:
    lens = lens_on("CausalLM", "llama")
    asked = {"method": "integrated_gradients", "target": 5}
    with pytest.raises(ConservationError, match=r"miss \d\d% of Σ.* at most 10%"):
        lens.attribute(IDS, **asked)
    assert lens.attribute(IDS, **asked, tolerance=1).attrs["conservation_error"] > 0.1
    assert lens.attribute(IDS, **asked, baseline="mean").attrs["conservation_error"] < 1e-4


@pytest.mark.parametrize("method", ["gradient_input", "integrated_gradients"])
def test_batches_are_single_runs(method: str) -> None:
    lens = lens_on("Seq2SeqLM", "marian")
    second, options = [[41, 42], [51, 52, 53, 54], [61]], {"method": method, "target": 5}
    for text, other, result in zip(TEXTS, second, lens.attribute(TEXTS, target_text=second, **options), strict=True):
        alone = lens.attribute(text, target_text=other, **options)
        assert np.abs(alone.values - result.values).max() < 1e-10
        assert result["side"].values.tolist() == ["source"] * len(text) + ["target"] * len(other)


def test_a_nonlinear_target_is_differentiated_as_it_is() -> None:
    lens = lens_on("CausalLM", "gpt2")
    vectors = embedded_ids(lens.model).requires_grad_()
    value = lens.model(inputs_embeds=vectors[None]).logits[0, -1].log_softmax(-1)[5]
    (gradient,) = torch.autograd.grad(value, vectors)
    result = lens.attribute(IDS, method="gradient_input", target=normlens.attribution.LogProbability(5))
    assert np.abs(result.values - (gradient * vectors).sum(-1).detach().numpy()).max() < 1e-10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; expected an integer"),
        ({"baseline": "noise"}, "baseline='noise'; expected one of zero, mean"),
        ({"baseline": "mask"}, "the tokenizer has no mask token"),
    ],
)
def test_unknown_paths_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        lens_on("CausalLM", "gpt2").attribute(IDS, method="integrated_gradients", target=5, **options)


def test_the_mean_of_scaled_embeddings_is_scaled() -> None:
    lens = lens_on("CausalLM", "gemma")
    mean = lens.model.get_input_embeddings()(torch.arange(99)).mean(0).detach()
    with torch.no_grad():
        value = float(lens.model(inputs_embeds=mean.expand(1, len(IDS), -1)).logits[0, -1, 7])
    options = {"method": "integrated_gradients", "baseline": "mean", "tolerance": math.inf, "steps": 2}
    assert lens.attribute(IDS, target=7, **options).attrs["bias_share"] == pytest.approx(value, abs=1e-6)


def test_without_captum_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(embedded.importlib, "import_module", missing)
    with pytest.raises(InvalidInput, match=r'pip install "normlens\[compare\]"'):
        embedded.captum_class("IntegratedGradients")


@pytest.mark.parametrize("method", ["gradient_input", "integrated_gradients", "decompx"])
def test_inference_mode_is_refused_with_what_works(method: str) -> None:
    lens = lens_on("SequenceClassification", "bert")
    with torch.inference_mode(), pytest.raises(InvalidInput, match="no_grad"):
        lens.attribute(IDS, method=method, target=1)
