"""ALTI-Logit: the algebra by hand, decoders against updates of the logit written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny, weights
from direct_formula import attentions
from slow_formulas import TEXT, chained, divided, inputs_of, run_with_hooks, texts_of, vectors_of
from test_alti import closenesses
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel

import normlens
from normlens.attribution import VectorNorm
from normlens.attribution.methods.alti_logit import tracked_back, tracked_back_pair
from normlens.errors import InvalidInput, UnsupportedArchitecture

PAIR = (7, 8)
FLOAT32_SIGMA = 1e-6
"""Llama computes σ in float32 whatever the model's dtype."""


def with_head(model_type: str) -> PreTrainedModel:
    config = tiny.configuration(model_type)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager")
    weights.randomize(model, 0)
    return model.double().eval()


def final_direction(model: PreTrainedModel, norm: str, centered: bool, epsilon: float, at: int) -> Tensor:
    """d logit / d residual stream at a position with the final norm's σ held fixed."""
    head = model.get_output_embeddings().weight.detach()
    stream = run_with_hooks(model, [norm])[norm][0][at]
    spread = stream - stream.mean() if centered else stream
    sigma = (spread.square().mean() + epsilon).sqrt()
    u = (head[PAIR[0]] - head[PAIR[1]]) * model.get_submodule(norm).weight.detach()
    return (u - u.mean() if centered else u) / sigma


def direct_shares(model: PreTrainedModel, direction: Tensor, at: int) -> np.ndarray:
    """Σ_j Δ_j M_js, layer by layer, the layers below chained path by path."""
    (blocks,) = attentions(model.base_model, inputs_of(model)).values()
    maps, tokens, shares = [], len(TEXT), []
    for block in blocks:
        vectors, own, _ = vectors_of(block, "residual")
        updates = [float(vectors[at, j] @ direction - (own[at] @ direction if j == at else 0)) for j in range(tokens)]
        below = chained(maps) if maps else np.eye(tokens)
        shares.append(np.array(updates) @ below)
        maps.append(divided(closenesses(block, "residual")))
    return np.array(shares)


def test_updates_are_tracked_back_by_hand() -> None:
    """Layer 0 takes its updates from the tokens themselves, layer 1 through layer 0's map."""
    maps = np.array([[[1.0, 0.0], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]])
    updates = np.array([[2.0, 1.0], [0.0, 4.0]])
    np.testing.assert_allclose(tracked_back(updates, maps), [[2, 1], [1, 3]])


def test_an_encoder_decoders_updates_by_hand() -> None:
    """One source, two targets. Layer 1's self-attention takes 4 from target 1, which is 0.5 source after layer 0."""
    joint = np.array([[[0.2, 0.8, 0.0], [0.5, 0.25, 0.25]], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    tracked = tracked_back_pair(np.array([[1.0, 0.0], [0.0, 4.0]]), np.array([[3.0], [5.0]]), np.ones((1, 1, 1)), joint)
    np.testing.assert_allclose(tracked, [[3, 1, 0], [5 + 2, 1, 1]])


@pytest.mark.parametrize("position", [None, 3])
@pytest.mark.parametrize("chunk_size", [4, 32])
def test_gpt2_by_the_definition(position: int | None, chunk_size: int) -> None:
    model = with_head("gpt2")
    at = len(TEXT) - 1 if position is None else position
    direction = final_direction(model, "transformer.ln_f", True, model.config.layer_norm_epsilon, at)
    expected = direct_shares(model, direction, at)
    lens = normlens.load((model, None))
    options = {"method": "alti_logit", "target": PAIR, "position": position, "chunk_size": chunk_size}
    shares = lens.attribute(TEXT, **options)
    np.testing.assert_allclose(shares.values, expected.sum(0), atol=1e-10)
    np.testing.assert_allclose(lens.attribute(TEXT, layers="each", **options).values, expected, atol=1e-10)
    with torch.no_grad():
        logits = model(torch.tensor([TEXT])).logits[0, at]
    value = float(logits[PAIR[0]] - logits[PAIR[1]])
    assert shares.attrs["value"] == pytest.approx(value, abs=1e-10)
    assert shares.attrs["bias_share"] == pytest.approx(left_out(model, direction, at), abs=1e-9)


def left_out(model: PreTrainedModel, direction: Tensor, at: int) -> float:
    """What the position's own embedding, feed-forward blocks and biases add to the logit."""
    layers = range(model.config.n_layer)
    mlps = [f"transformer.h.{n}.mlp" for n in layers]
    seen = run_with_hooks(model, [*mlps, "transformer.h.0"])
    added = seen["transformer.h.0"][0][at] + sum(seen[path][1][at] for path in mlps)
    added = added + sum(model.get_submodule(f"transformer.h.{n}.attn.c_proj").bias for n in layers)
    head, shift = model.lm_head.weight, model.transformer.ln_f.bias
    return float((added @ direction + (head[PAIR[0]] - head[PAIR[1]]) @ shift).detach())


def test_llama_by_the_definition() -> None:
    model = with_head("llama")
    at = len(TEXT) - 1
    direction = final_direction(model, "model.norm", False, model.config.rms_norm_eps, at)
    shares = normlens.load((model, None)).attribute(TEXT, method="alti_logit", target=PAIR)
    np.testing.assert_allclose(shares.values, direct_shares(model, direction, at).sum(0), atol=FLOAT32_SIGMA)


def test_without_tracking_updates_stay_at_their_positions() -> None:
    model = with_head("llama")
    direction = final_direction(model, "model.norm", False, model.config.rms_norm_eps, len(TEXT) - 1)
    (blocks,) = attentions(model.base_model, inputs_of(model)).values()
    expected = sum(vectors_of(block, "residual")[0][-1] @ direction for block in blocks).numpy()
    expected[-1] -= float(sum(block.own[-1] @ direction for block in blocks))
    shares = normlens.load((model, None)).attribute(TEXT, method="alti_logit", target=PAIR, rolled=False)
    np.testing.assert_allclose(shares.values, expected, atol=FLOAT32_SIGMA)


def test_texts_in_a_batch_give_what_each_gives_alone(tokens) -> None:
    lens = normlens.load((with_head("gpt2"), None))
    texts = [tokens(8, 1), tokens(3, 2), tokens(6, 3)]
    together = list(lens.attribute(texts, method="alti_logit", target=[5, 6, (7, 8)]))
    for text, target, shares in zip(texts, [5, 6, (7, 8)], together, strict=True):
        alone = lens.attribute(text, method="alti_logit", target=target)
        np.testing.assert_allclose(shares, alone, atol=1e-9)
        assert shares.attrs["bias_share"] == pytest.approx(alone.attrs["bias_share"], abs=1e-9)


def test_an_encoder_decoders_shares_lie_in_both_texts() -> None:
    lens = normlens.load((with_head("t5"), None))
    options = {"method": "alti_logit", "target": 9, "position": 1, **texts_of(lens.model)}
    shares, plain = lens.attribute(TEXT, **options), lens.attribute(TEXT, rolled=False, **options)
    assert float(shares.sum()) == pytest.approx(float(plain.sum()), abs=1e-10)
    assert list(shares["side"].values) == ["source"] * 6 + ["target"] * 4
    assert not shares.values[8:].any()  # behind position 1 of the decoder
    assert shares.values[:6].all()


def test_post_norm_models_are_refused_with_what_works(lens_of) -> None:
    with pytest.raises(
        UnsupportedArchitecture,
        match=r"Use method='decompx' for the target .*VectorNorm.*, or method='alti' without a target",
    ):
        lens_of("bert").attribute(TEXT, method="alti_logit", target=3)
    assert lens_of("bert").attribute(TEXT, method="decompx", target=VectorNorm(), position=0).dims == ("source",)
    assert lens_of("bert").attribute(TEXT, method="alti").dims == ("target", "source")


@pytest.mark.parametrize("options", [{"rolled": "yes"}, {"layers": "rolled"}])
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        normlens.load((with_head("llama"), None)).attribute(TEXT, method="alti_logit", target=3, **options)
