"""Usages: models in which not every layer attends. A layer's number is the model's own, at every door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import JambaConfig, JambaForCausalLM, LlamaConfig, LlamaModel

import normlens
from normlens import topk
from normlens.clustering.model_heads import compare_heads
from normlens.engine.tracing.layer_numbers import layer_numbers, listed
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.statistics import CorpusStatistics

IDS = [3, 14, 15, 9, 26]


@pytest.fixture(scope="module")
def hybrid() -> normlens.Lens:
    """Attention in layers 1 and 3 of 5, Mamba in the others."""
    torch.manual_seed(0)
    config = JambaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=5,
        num_attention_heads=2,
        num_key_value_heads=1,
        attn_layer_period=2,
        attn_layer_offset=1,
        expert_layer_period=9,
        expert_layer_offset=8,
        num_experts=1,
        num_experts_per_tok=1,
        use_mamba_kernels=False,
        mamba_dt_rank=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return normlens.load((JambaForCausalLM(config).eval(), None))


def test_an_analysis_counts_as_the_model_does(hybrid: normlens.Lens, tmp_path: Path) -> None:
    analysis = hybrid.analyze(IDS)
    data = analysis["decoder"].data
    assert data["layer"].values.tolist() == [1, 3]
    assert data["layer_path"].values.tolist() == ["layers.1.self_attn", "layers.3.self_attn"]
    reduced = next(hybrid.stream([IDS], reduce="mean", progress=False))["decoder"].data
    assert reduced["layer"].values.tolist() == [1, 3]
    np.testing.assert_array_equal(reduced["weight_mean"].sel(layer=3), data["weight"].sel(layer=3).mean("head"))
    assert sorted(set(analysis.to_dataframe()["layer"])) == [1, 3]
    saved = normlens.Analysis.load(analysis.save(tmp_path / "a.nc"))
    assert saved["decoder"].data["layer"].values.tolist() == [1, 3]
    page = analysis.to_html()
    assert "map/decoder/1/0/vector_norm" in page and "map/decoder/3/0/vector_norm" in page
    assert "map/decoder/0/" not in page


def test_figures_name_the_model_s_layer(hybrid: normlens.Lens) -> None:
    analysis = hybrid.analyze(IDS)
    assert "layer 1" in analysis.plot()[0].figure.get_suptitle()
    analysis.plot(layer=3)
    with pytest.raises(InvalidInput, match="layer 0"):
        analysis.plot(layer=0)


def test_attributions_count_as_the_model_does(hybrid: normlens.Lens) -> None:
    weight = hybrid.analyze(IDS)["decoder"].data["weight"].mean("head")
    for method in ("rollout", "alti", "value_zeroing", "norm_rollout", "flow"):
        each = hybrid.attribute(IDS, method=method, layers="each")
        assert each["layer"].values.tolist() == [1, 3], method
    half = hybrid.attribute(IDS, method="rollout", layers="each", residual=0.5)
    np.testing.assert_allclose(half.sel(layer=3), weight.sel(layer=3) / 2 + np.eye(5) / 2, atol=1e-6)
    with pytest.raises(UnsupportedArchitecture, match=r"layers\.0, layers\.2"):
        hybrid.attribute(IDS, method="rollout")
    logit = hybrid.attribute(IDS, method="logit", target=7)
    assert [str(name) for name in logit["component"].values if "attention" in str(name)] == [
        "attention 1",
        "attention 3",
    ]


def test_top_k_means_the_same_layer(hybrid: normlens.Lens) -> None:
    before = hybrid.analyze(IDS)["decoder"].data["weight"]
    with topk.use(hybrid, 1, layers=[3]) as used:
        assert list(used.paths) == ["model.layers.3.self_attn"]
    with pytest.raises(InvalidInput, match="layers are 1, 3"):
        topk.use(hybrid, 1, layers=[0])
    assert before.sel(layer=3).shape == (2, 5, 5)


def test_heads_and_statistics_carry_the_number(hybrid: normlens.Lens) -> None:
    assert list(compare_heads([hybrid.analyze(IDS)]).names) == ["1.0", "1.1", "3.0", "3.1"]
    statistics = CorpusStatistics()
    statistics.add(hybrid.analyze(IDS)["decoder"].data)
    assert statistics.layers == [1, 3]


def test_layers_that_share_a_module_are_told_apart() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, head_dim=8
    )
    model = LlamaModel(config).eval()
    model.layers[2] = model.layers[0]
    lens = normlens.load((model, None))
    data: Any = lens.analyze(IDS)["decoder"].data
    assert data["layer"].values.tolist() == [0, 1, 2]
    assert data["layer_path"].values.tolist() == ["layers.0.self_attn", "layers.1.self_attn", "layers.0.self_attn"]


@pytest.mark.parametrize(
    ("paths", "numbers"),
    [
        (["layers.3.attn", "layers.7.attn", "layers.11.attn"], [3, 7, 11]),
        (["decoder.block.0.layer.1.cross", "decoder.block.1.layer.1.cross"], [0, 1]),
        (["layers.1.blocks.0.attention", "layers.1.blocks.1.attention"], [0, 1]),
        (["groups.0.attention", "groups.0.attention", "groups.0.attention"], [0, 1, 2]),
        (["layers.2.attention"], [2]),
        (["layers.1.attention", "layers.0.attention"], [0, 1]),  # the order is that in which they run
        (["attention"], [0]),
    ],
)
def test_numbers_are_read_off_paths(paths: list[str], numbers: list[int]) -> None:
    assert layer_numbers(paths) == numbers


def test_numbers_in_words() -> None:
    assert [listed(x) for x in ([0, 1, 2], [3, 7, 11], [4], [0, 2])] == ["0 to 2", "3, 7, 11", "4", "0, 2"]
