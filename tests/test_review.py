"""Paths to a silent wrong number that a reviewer took: each stays closed."""

from __future__ import annotations

import threading
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny
from torch import Tensor, nn
from transformers import BigBirdConfig, BigBirdModel

import normlens
from normlens.engine.frozen import pull_back
from normlens.errors import InvalidInput, NormLensError, UnsupportedArchitecture
from normlens.loading.load import LoadedModel
from normlens.words import merged_labels

IDS = [11, 12, 13, 14]


def test_dropout_is_off_also_in_a_model_that_trains() -> None:
    model = tiny.build("gpt2")
    lens = normlens.load((model, None))
    before = lens.analyze(IDS)["decoder"].norm
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    model.train()
    after = lens.analyze(IDS)["decoder"].norm
    assert np.array_equal(before, after)
    assert model.training
    assert all(module.training for module in model.modules())


def test_a_hook_on_the_projection_is_refused_whenever_it_comes() -> None:
    model = tiny.build("llama")
    lens = normlens.load((model, None))
    lens.analyze(IDS)
    handle = model.layers[1].self_attn.o_proj.register_forward_hook(lambda module, args, output: 3 * output)
    with pytest.raises(UnsupportedArchitecture, match=r"layers\.1\.self_attn\.o_proj"):
        lens.analyze(IDS)
    handle.remove()
    assert lens.analyze(IDS).conservation_error < 1e-5


class _Adapted(nn.Module):
    """y + up(relu(down(y))) behind a linear layer."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner
        self.down, self.up = nn.Linear(inner.out_features, 4), nn.Linear(4, inner.out_features)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y + self.up(torch.relu(self.down(y)))


def test_an_adapter_behind_the_projection_is_no_feed_forward_part_to_be_left_out() -> None:
    model = tiny.build("llama")
    for layer in model.layers:
        layer.self_attn.o_proj = _Adapted(layer.self_attn.o_proj)
    group = normlens.load((model, None)).analyze(IDS)["decoder"]
    assert group.data.attrs["family"] == "bare"
    assert "norm_residual" not in group.data


def test_one_token_doesnt_decide_that_a_decoder_is_an_encoder() -> None:
    lens = normlens.load((tiny.build("bloom"), None))
    assert lens.analyze([5]).groups == ["decoder"]
    assert lens.analyze(IDS).groups == ["decoder"]


def test_layers_taken_away_are_gone_from_the_result() -> None:
    model = tiny.build("llama")
    lens = normlens.load((model, None))
    assert lens.analyze(IDS)["decoder"].data.sizes["layer"] == 3
    model.layers = model.layers[:1]
    assert lens.analyze(IDS)["decoder"].data.sizes["layer"] == 1


@pytest.mark.parametrize(
    "wrong",
    [np.array([101.7, 203.9]), [11, True], [11, "a"], [2**70], [[[1, 2]]], b"text", 5, None],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_is_no_input_is_refused(wrong: object) -> None:
    lens = normlens.load((tiny.build("bert"), None))
    with pytest.raises(InvalidInput):
        result = lens.analyze(wrong)
        list(result)


@pytest.mark.parametrize("targets", ["abc", [IDS], 5, {"a": 1}])
def test_targets_come_one_for_each_input(targets: object) -> None:
    lens = normlens.load((tiny.build("marian"), None))
    with pytest.raises(InvalidInput, match="expected"):
        list(lens.analyze([IDS, IDS], target_text=targets))


def test_a_file_of_somebody_else_is_no_analysis(tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(NormLensError, match="has no groups"):
        normlens.Analysis.load(tmp_path / "other.nc")
    analysis = normlens.load((tiny.build("bert"), None)).analyze(IDS, reduce="sinks")
    loaded = normlens.Analysis.load(analysis.save(tmp_path / "own.nc"))
    xr.testing.assert_identical(loaded["encoder"].data, analysis["encoder"].data)


def test_two_lenses_on_one_model_wait_for_each_other() -> None:
    model = tiny.build("gpt2").train()
    expected = normlens.load((model, None)).analyze(IDS)["decoder"].norm
    model.train()
    equal: list[bool] = []

    def look() -> None:
        lens = normlens.load((model, None))
        equal.extend(bool(np.array_equal(lens.analyze(IDS)["decoder"].norm, expected)) for _ in range(5))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal == [True] * 15


def test_a_decoder_without_a_start_token_starts_with_the_targets_last_token() -> None:
    model = tiny.build("mbart")
    model.config.decoder_start_token_id = None
    ids = normlens.load((model, None)).analyze(IDS, [21, 22, 23])["decoder"].target_id.values
    assert ids.tolist() == [23, 21, 22]  # as shift_tokens_right of modeling_mbart does


def test_pieces_of_one_character_are_read_once() -> None:
    def read(pieces: list[str], spans: list[tuple[int, int]]) -> str:
        columns = {
            "token": pieces,
            "word": [0] * len(pieces),
            "start": [s for s, _ in spans],
            "end": [e for _, e in spans],
        }
        data = xr.Dataset(coords={f"source_{name}": ("source", column) for name, column in columns.items()})
        return str(merged_labels(data, "source", [""] * len(pieces))["source_token"][1][0])

    assert read(["␣", "😀", "😀", "😀"], [(0, 1), (1, 2), (1, 2), (1, 2)]) == "😀"
    assert read(["play", "ing"], [(0, 4), (4, 7)]) == "playing"
    assert read(["[CLS]"], [(0, 0)]) == "[CLS]"


def test_two_texts_among_single_ones_keep_their_token_types() -> None:
    lens = normlens.load("minilm-l6")
    pair = {"text": "Where did it sit?", "text_pair": "It sat on the mat."}
    alone = lens.analyze(pair)["encoder"].weight
    long = (
        "A cat sat on the mat in the kitchen, and nobody in the house knew why it would not move from there any more."
    )
    for texts in (["A cat.", pair, long], [pair, "A cat."]):
        weights = list(lens.analyze(texts, progress=False))[texts.index(pair)]["encoder"].weight
        assert float(abs(weights - alone).max()) < 1e-5


def test_a_long_text_in_a_batch_does_not_turn_the_short_ones() -> None:
    model = tiny.build("phi3")
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 12}
    factors = model.config.hidden_size // model.config.num_attention_heads // 2
    model.config.rope_parameters = {**rope, "short_factor": [1.0] * factors, "long_factor": [4.0] * factors}
    model.config.original_max_position_embeddings = 12
    lens = normlens.load((type(model)(model.config).eval(), None))
    for texts in ([IDS, IDS * 2], [IDS, (IDS * 4)[:15]], [IDS, IDS * 10]):  # the first fits; nearly as long, and longer
        for text, result in zip(texts, lens.analyze(texts, progress=False), strict=True):
            np.testing.assert_allclose(result["decoder"].weight, lens.analyze(text)["decoder"].weight, atol=1e-6)
        for text, result in zip(texts, lens.attribute(texts), strict=True):
            np.testing.assert_allclose(result, lens.attribute(text), atol=1e-6)


def test_sparse_attention_stays_what_it_was_whatever_is_analyzed() -> None:
    config = BigBirdConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, block_size=4,
        num_random_blocks=1, max_position_embeddings=256,
    )  # fmt: skip
    model = BigBirdModel(config).eval()
    lens, long = normlens.load((model, None)), IDS * 32
    with pytest.raises(UnsupportedArchitecture):
        lens.analyze(long)
    assert model.attention_type == "block_sparse"
    lens.analyze(IDS * 2)
    assert model.attention_type == "block_sparse"
    with pytest.raises(UnsupportedArchitecture, match="original_full"):
        pull_back(model, {"input_ids": torch.tensor([IDS])}, lambda output: output.last_hidden_state[:, 0, 0])


@pytest.mark.parametrize("model_type", ["llama", "zaya"])
def test_an_adapter_put_on_after_an_analysis_is_seen(model_type: str) -> None:
    model = tiny.build(model_type)
    lens = normlens.load((model, None))
    lens.analyze(IDS)

    class Adapted(nn.Module):
        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base, self.down, self.up = base, nn.Linear(base.in_features, 2), nn.Linear(2, base.out_features)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.up(self.down(x))

    attention = next(module for module in model.modules() if hasattr(module, "o_proj"))
    attention.o_proj = Adapted(attention.o_proj)
    with pytest.raises(UnsupportedArchitecture):
        lens.analyze(IDS)


def test_what_a_decoder_adds_is_greedy_whatever_it_ships_with(smollm2: LoadedModel) -> None:
    lens = normlens.load((deepcopy(smollm2.model), smollm2.tokenizer))
    plain = lens.analyze("Once upon a time", generate=5).attrs["text"]
    settings = lens.model.generation_config
    settings.num_beams, settings.repetition_penalty = 3, 1.8
    lens.model.train()
    assert lens.analyze("Once upon a time", generate=5).attrs["text"] == plain
    assert lens.model.generation_config is settings


@pytest.mark.parametrize("method", ["alti", "norm_rollout"])
def test_a_norm_is_known_in_half_precision(method: str) -> None:
    one, other = (
        normlens.load((tiny.build("bert", dtype=dtype), None)).attribute(IDS, method=method)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert one.attrs["rule"] == other.attrs["rule"]
    assert float(abs(one - other).max()) < 0.05 * float(one.max())


def test_vectors_of_a_model_in_half_precision_have_lengths() -> None:
    one, other = (
        normlens.load((tiny.build("bert", dtype=dtype), None)).attribute(IDS)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert other.dtype == np.float32
    assert float(abs(one - other).max()) < 0.1 * float(one.max())


@pytest.mark.parametrize("model_type", ["vit_mae", "diffusion_gemma"])
def test_a_model_that_draws_what_it_reads_is_refused(model_type: str) -> None:
    model = tiny.build(model_type)
    inputs = torch.rand(3, 16, 16) if model_type == "vit_mae" else IDS
    with pytest.raises(NormLensError, match="random numbers"):
        normlens.load((model, None)).analyze(inputs)


def test_behind_a_norm_of_all_heads_a_source_has_no_length_of_its_own() -> None:
    group = normlens.load((tiny.build("bitnet"), None)).analyze(IDS)["decoder"]
    assert group.vector_norm.isnull().all()
    assert group.norm.notnull().all()


def test_weights_may_be_looked_at_before_an_analysis() -> None:
    model = tiny.build("mixtral")
    plain = normlens.load((model, None)).analyze(IDS)["decoder"].norm
    with torch.no_grad():
        model(torch.tensor([IDS]), output_attentions=True, output_router_logits=True)
    model.activation_checkpointing_enable()
    model.enable_input_require_grads()
    xr.testing.assert_identical(normlens.load((model, None)).analyze(IDS)["decoder"].norm, plain)
