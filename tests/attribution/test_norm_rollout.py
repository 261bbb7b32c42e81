"""Norm rollout at every scope against explicit vectors; N-Enc (GlobEnc) by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from direct_formula import Attention, _layer_norm
from slow_formulas import (
    TEXT,
    blocks_of,
    chained,
    chained_pair,
    divided,
    float64_lens,
    run_with_hooks,
    shared_with_own,
    texts_of,
    vectors_of,
)
from torch import nn

import normlens
from normlens.analysis.measurement import Measurement
from normlens.errors import InvalidInput, UnsupportedArchitecture


def norms(block: Attention, scope: str) -> np.ndarray:
    return vectors_of(block, scope)[0].norm(dim=-1).numpy()


def second_norms(block: Attention, module: nn.LayerNorm, before: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """‖LN₂(c_ij)‖ without its shift, σ that of what the second LayerNorm took; the same of the own vector."""
    second = _layer_norm(module)
    vectors, own, _ = vectors_of(block, "layernorm")
    sigma = second.sigma(before)
    moved = (second.linear(vectors) / sigma[:, None]).norm(dim=-1)
    return moved.detach().numpy(), (second.linear(own) / sigma).norm(dim=-1).detach().numpy()


@pytest.mark.parametrize("scope", ["attention", "residual", "layernorm"])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama"])
def test_norms_of_the_attention_block(model_type: str, scope: str) -> None:
    lens = float64_lens(model_type)
    if scope == "layernorm" and model_type != "bert":
        with pytest.raises(UnsupportedArchitecture, match="'attention', 'residual'"):
            lens.attribute(TEXT, method="norm_rollout", scope=scope)
        return
    (blocks,) = blocks_of(lens.model).values()
    shares = lens.attribute(TEXT, method="norm_rollout", scope=scope)
    np.testing.assert_allclose(shares.values, chained([divided(norms(b, scope)) for b in blocks]), atol=1e-10)
    assert shares.attrs["scope"] == scope


@pytest.mark.parametrize(("scope", "rule"), [("attention", "N"), ("residual", "N-Res"), ("encoder", "N-Enc")])
def test_the_rule_is_called_as_in_the_paper(lens_of, scope: str, rule: str) -> None:
    assert lens_of("bert").attribute([11, 12, 13], method="norm_rollout", scope=scope).attrs["rule"] == rule


def test_fixed_residual_and_rows_left_as_they_are() -> None:
    lens = float64_lens("bert")
    blocks = blocks_of(lens.model)["encoder"]
    fixed = [0.5 * divided(norms(b, "attention")) + 0.5 * np.eye(len(TEXT)) for b in blocks]
    shares = lens.attribute(TEXT, method="norm_rollout", scope="attention", residual=0.5)
    np.testing.assert_allclose(shares.values, chained(fixed), atol=1e-10)
    published = lens.attribute(TEXT, method="norm_rollout", scope="layernorm", normalized=False)
    np.testing.assert_allclose(published.values, chained([norms(b, "layernorm") for b in blocks]), rtol=1e-9)


@pytest.mark.parametrize("chunk_size", [2, 32])
def test_globenc_goes_through_the_second_layer_norm(chunk_size: int) -> None:
    lens = float64_lens("bert")
    paths = [f"encoder.layer.{n}.output.LayerNorm" for n in range(lens.model.config.num_hidden_layers)]
    seen = run_with_hooks(lens.model, paths)
    maps = [
        divided(second_norms(block, lens.model.get_submodule(path), seen[path][0])[0])
        for block, path in zip(blocks_of(lens.model)["encoder"], paths, strict=True)
    ]
    shares = lens.attribute(TEXT, method="norm_rollout", chunk_size=chunk_size)
    assert shares.attrs["scope"] == "encoder"
    np.testing.assert_allclose(shares.values, chained(maps), atol=1e-10)


def test_globenc_for_marian_ends_each_part_where_it_ends() -> None:
    """Encoder and cross-attention go through the norm behind their feed-forward; decoder self-attention ends before."""
    lens = float64_lens("marian")
    model, blocks = lens.model, blocks_of(lens.model)
    paths = {
        side: [f"{side}.layers.{n}.final_layer_norm" for n in range(len(model.get_submodule(side).layers))]
        for side in ("encoder", "decoder")
    }
    seen = run_with_hooks(model, [*paths["encoder"], *paths["decoder"]])

    def behind(group: str, side: str) -> list[tuple[np.ndarray, np.ndarray]]:
        pairs = zip(blocks[group], paths[side], strict=True)
        return [second_norms(block, model.get_submodule(path), seen[path][0]) for block, path in pairs]

    cross, own = zip(*(shared_with_own(*pair) for pair in behind("cross", "decoder")), strict=True)
    encoder = [divided(moved) for moved, _ in behind("encoder", "encoder")]
    decoder = [divided(norms(block, "layernorm")) for block in blocks["decoder"]]
    shares = lens.attribute(TEXT, method="norm_rollout", **texts_of(model))
    np.testing.assert_allclose(shares.values, chained_pair(encoder, decoder, list(cross), list(own)), atol=1e-10)


def test_marian_at_the_residual() -> None:
    lens = float64_lens("marian")
    blocks = blocks_of(lens.model)
    pairs = [(norms(b, "residual"), vectors_of(b, "residual")[1].norm(dim=-1).numpy()) for b in blocks["cross"]]
    cross, own = zip(*(shared_with_own(*pair) for pair in pairs), strict=True)
    encoder, decoder = ([divided(norms(b, "residual")) for b in blocks[name]] for name in ("encoder", "decoder"))
    shares = lens.attribute(TEXT, method="norm_rollout", scope="residual", **texts_of(lens.model))
    np.testing.assert_allclose(shares.values, chained_pair(encoder, decoder, list(cross), list(own)), atol=1e-10)


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gemma2", "gpt_neox"])
def test_without_a_second_norm_the_encoder_scope_is_the_residual(model_type: str, lens_of) -> None:
    one, other = (lens_of(model_type).attribute(TEXT, method="norm_rollout", scope=s) for s in ("encoder", "residual"))
    np.testing.assert_allclose(one.values, other.values, atol=1e-6)


def test_globenc_of_a_batch(lens_of, tokens) -> None:
    texts = [tokens(8, 1), tokens(5, 2), tokens(3, 3)]
    for text, shares in zip(texts, lens_of("bert").attribute(texts, method="norm_rollout"), strict=True):
        np.testing.assert_allclose(shares, lens_of("bert").attribute(text, method="norm_rollout"), atol=1e-6)


def test_no_hook_stays_behind(lens_of) -> None:
    lens_of("bert").attribute(TEXT, method="norm_rollout")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lens_of("bert").model.modules())


def test_the_whole_block(lens_of) -> None:
    each = lens_of("bert").attribute(TEXT, method="norm_rollout", scope="block", layers="each")
    data = lens_of("bert")._runner.run([lens_of("bert")._maker.make(TEXT)], Measurement(product="half"))[0]["encoder"]
    expected = data["norm_block"] / data["norm_block"].sum("source")
    np.testing.assert_allclose(each.values, expected.values, rtol=1e-5)


@pytest.mark.parametrize("options", [{"scope": "residual", "residual": 0.5}, {"normalized": 1}, {"scope": "head"}])
def test_bad_options_are_refused(lens_of, options: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        lens_of("bert").attribute(TEXT, method="norm_rollout", **options)


def test_a_layer_without_a_norm_behind_its_feed_forward_is_refused() -> None:
    """A post-norm layer whose second norm takes something else than the second sum."""
    model = float64_lens("bert").model
    for layer in model.encoder.layer:
        output = layer.output
        output.forward = lambda hidden, residual, output=output: output.LayerNorm(2 * (output.dense(hidden) + residual))
    with pytest.raises(UnsupportedArchitecture, match="'encoder' isn't defined"):
        normlens.load((model, None)).attribute(TEXT, method="norm_rollout")
