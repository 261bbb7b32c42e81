"""Ways to a silent wrong number that a reviewer found: each stays closed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny
from torch import Tensor, nn

import normlens
from normlens.errors import InvalidInput, NormLensError, UnsupportedArchitecture
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
    [{"input_ids": IDS}, np.array([101.7, 203.9]), [11, True], [11, "a"], [2**70], [[[1, 2]]], b"text", 5, None],
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
    with pytest.raises(InvalidInput, match="expected one"):
        list(lens.analyze([IDS, IDS], targets))


def test_a_file_of_somebody_else_is_no_analysis(tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(NormLensError, match="holds no analysis"):
        normlens.Analysis.load(tmp_path / "other.nc")
    analysis = normlens.load((tiny.build("bert"), None)).analyze(IDS, reduce="sinks")
    loaded = normlens.Analysis.load(analysis.save(tmp_path / "own.nc"))
    xr.testing.assert_identical(loaded["encoder"].data, analysis["encoder"].data)


def test_two_lenses_on_one_model_wait_for_each_other() -> None:
    model = tiny.build("gpt2").train()
    expected = normlens.load((model, None)).analyze(IDS)["decoder"].norm
    model.train()
    found: list[bool] = []

    def look() -> None:
        lens = normlens.load((model, None))
        found.extend(bool(np.array_equal(lens.analyze(IDS)["decoder"].norm, expected)) for _ in range(5))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 15


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
        return str(merged_labels(data, "source")["source_token"][1][0])

    assert read(["␣", "😀", "😀", "😀"], [(0, 1), (1, 2), (1, 2), (1, 2)]) == "😀"
    assert read(["play", "ing"], [(0, 4), (4, 7)]) == "playing"
    assert read(["[CLS]"], [(0, 0)]) == "[CLS]"
